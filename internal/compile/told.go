package compile

// told is the expression of a cause for people. A failed call's cause is its answer whole, as JSON: what Kubernetes says in
// it stands in the body's message, and Ray's body is text. A cause that was cut short, or is another's, stays as it is.
//
// Runs of plain characters are taken at once, for some engines of regular expressions recurse once a repetition.
func told(cause string) string {
	return "($c := $substring(" + cause + `, 0, 8000); $m := $match($c, /^."ResponseBody":(?:[^"].*?"message":)?"((?:[^\\"]+|\\.)*)"/).groups[0]; ` +
		`$m ? $parse('"' & $m & '"') : $c)`
}
