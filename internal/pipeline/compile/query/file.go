package query

import (
	"cmp"
	"embed"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A .jsonata file contains an expression, or several that are separated by semicolons, of which the last one is the result. A comment at
// the top describes the result. After a line "Inputs:", it lists the inputs, each on a line "$name  description". After a line "Reads:", it
// lists what the file reads from the state machine directly: variables, and parts of $states.

//go:embed *.jsonata
var files embed.FS

var loaded = sync.OnceValue(func() map[string]*file {
	all := map[string]*file{}
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(fmt.Sprintf("query: %v", err)) // cannot happen: the directory is embedded
	}
	for _, e := range entries {
		src, err := files.ReadFile(e.Name())
		if err == nil {
			all[strings.TrimSuffix(e.Name(), ".jsonata")], err = load(string(src))
		}
		if err != nil {
			panic(fmt.Sprintf("query: %s: %v", e.Name(), err)) // cannot happen: a test loads all files
		}
	}
	return all
})

// File returns the expression of a file with its inputs, all of which are required. An input that is a variable, a path or a literal is
// inserted wherever the file uses it, unless a binding is shorter. Any other input that the file uses only once is inserted as well, so
// that it is evaluated only if necessary. The remaining inputs are bound to variables first. File panics if the inputs do not match those
// of the file.
func File(name string, inputs ...Binding) Expr {
	f := loaded()[name]
	if f == nil {
		panic("query: no file " + name + ".jsonata")
	}
	if problem := f.mismatch(inputs); problem != "" {
		panic("query: " + name + ".jsonata: " + problem)
	}
	return f.expr(inputs)
}

// mismatch returns the error of the inputs, or "".
func (f *file) mismatch(inputs []Binding) string {
	var given []string
	for _, in := range inputs {
		switch {
		case !slices.Contains(f.inputs, in.name):
			return "unknown input $" + in.name
		case slices.Contains(given, in.name):
			return "duplicate input $" + in.name
		case in.expr.IsZero():
			return "the input $" + in.name + " has no expression"
		}
		given = append(given, in.name)
	}
	for _, name := range f.inputs {
		if !slices.Contains(given, name) {
			return "missing input $" + name
		}
	}
	return ""
}

// expr returns the expression of the file with its inputs. An input that is a variable with the name of the input needs neither insertion
// nor a binding.
func (f *file) expr(inputs []Binding) Expr {
	insert, bound := map[string]Expr{}, []Binding{}
	for _, in := range inputs {
		switch {
		case f.inserts(in):
			insert[in.name] = in.expr
		case in.expr.text != "$"+in.name:
			bound = append(bound, in)
		}
	}
	checkBound(bound)
	names := f.rename(insert)
	parts := slices.Clone(f.parts)
	for i, p := range parts {
		e, ok := insert[p.input]
		switch {
		case !ok:
			parts[i].text = cmp.Or(names[p.text], p.text)
		case p.enclosed || e.op == atom || e.op == path && !p.index:
			parts[i].text = e.text
		default:
			parts[i].text = "(" + e.text + ")"
		}
	}
	text := printed(parts)
	if f.many || len(bound) > 0 {
		return Block(Expr{text: text}, bound...)
	}
	return Expr{text: text, op: f.op, open: f.open}
}

// printed returns the text of parts. It merges a string literal with an inserted literal to which it is concatenated: messages contain
// limits and names, and definitions must be short.
func printed(parts []part) string {
	var out []part
	for i, p := range parts {
		n := len(out)
		if n > 1 && out[n-1].text == "&" && out[n-2].joins(p) && !tight(out, n-3) && !tight(parts, i+1) && !p.index {
			joined := "'" + strings.Trim(out[n-2].text, "'") + strings.Trim(p.text, "'") + "'"
			out[n-2].text, out[n-2].input, out = joined, cmp.Or(out[n-2].input, p.input), out[:n-1]
			continue
		}
		out = append(out, p)
	}
	var b strings.Builder
	for _, p := range out {
		b.WriteString(p.gap + p.text)
	}
	return b.String()
}

// tight reports whether a part is an operator that binds its operands at least as tightly as a concatenation. The operator & itself does
// not count.
func tight(parts []part, i int) bool {
	return i >= 0 && i < len(parts) && parts[i].text != "&" && powers[parts[i].text] >= powers["&"]
}

// joins reports whether two parts, at least one of which is inserted, can be merged into one string literal.
func (p part) joins(q part) bool {
	return (p.input != "" || q.input != "") && joinable(p.text) && joinable(q.text)
}

// joinable reports whether an expression is a string in single quotes or a non-negative integer.
func joinable(text string) bool {
	_, err := strconv.ParseUint(text, 10, 64)
	return err == nil || strings.HasPrefix(text, "'")
}

// checkBound panics if an input uses a variable that has the name of an input which is bound before it: the binding would hide the variable.
func checkBound(bound []Binding) {
	for i, in := range bound {
		for _, earlier := range bound[:i] {
			if uses(in.expr, earlier.name) {
				panic("query: the input $" + in.name + " uses a variable with the name of the input $" + earlier.name)
			}
		}
	}
}

// rename returns new names for variables that the file binds if an inserted expression uses a variable with the same name, which the
// file would capture. The keys and values of the result start with $.
func (f *file) rename(insert map[string]Expr) map[string]string {
	taken := func(name string) bool {
		for _, e := range insert {
			if uses(e, name) {
				return true
			}
		}
		return false
	}
	names := map[string]string{}
	for name := range f.binds {
		other := name
		for n := 1; taken(other) || other != name && f.binds[other]; n++ {
			other = name + strconv.Itoa(n)
		}
		names["$"+name] = "$" + other
	}
	return names
}

// inserts reports whether an input is inserted instead of bound.
func (f *file) inserts(in Binding) bool {
	count, function := 0, false
	for _, p := range f.parts {
		if p.input == in.name {
			count++
			function = function || p.function
		}
	}
	if !in.expr.simple() {
		return count <= 1 && !function
	}
	name := len("$" + in.name)
	return count*len(in.expr.text) <= name+len(" := ; ")+len(in.expr.text)+count*name
}

// simple reports whether the expression is cheap to evaluate repeatedly: a variable, a path, a string or a number.
func (e Expr) simple() bool {
	return e.op == path || e.op == atom && !strings.ContainsAny(e.text[:1], "([{") && !(e.text[0] == '$' && strings.Contains(e.text, "("))
}

var variables = regexp.MustCompile(`\$[A-Za-z_][A-Za-z0-9_]*`)

// uses reports whether an expression may use a variable. It is conservative: names in strings, and names that the expression itself binds,
// count as well.
func uses(e Expr, name string) bool {
	return slices.Contains(variables.FindAllString(e.text, -1), "$"+name)
}
