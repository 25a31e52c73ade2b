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

// A .jsonata file is an expression, or several with semicolons between them, of which the last is the result. The comment at its top
// describes the result. After a line "Inputs:", it lists the inputs, each on a line "$name  what it is"; after a line "Reads:", what the
// file reads from the state machine itself: its variables, and parts of $states.

//go:embed *.jsonata
var files embed.FS

var loaded = sync.OnceValue(func() map[string]*file {
	all := map[string]*file{}
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(fmt.Sprintf("query: %v", err)) // an embedded directory can be read
	}
	for _, e := range entries {
		src, err := files.ReadFile(e.Name())
		if err == nil {
			all[strings.TrimSuffix(e.Name(), ".jsonata")], err = load(string(src))
		}
		if err != nil {
			panic(fmt.Sprintf("query: %s: %v", e.Name(), err)) // a test loads all
		}
	}
	return all
})

// File is the expression of a file, with all its inputs. An input that is a variable, a path or a literal is inserted where the file
// uses it, if that is not longer than a binding, and so is any other that the file uses once, so that it is evaluated only if the
// file gets there; the rest are bound to variables first. Wrong inputs are a bug in the caller: File panics.
func File(name string, inputs ...Binding) Expr {
	f := loaded()[name]
	if f == nil {
		panic("query: there is no file " + name + ".jsonata")
	}
	if problem := f.mismatch(inputs); problem != "" {
		panic("query: " + name + ".jsonata: " + problem)
	}
	return f.expr(inputs)
}

// mismatch is what is wrong with the inputs, or empty.
func (f *file) mismatch(inputs []Binding) string {
	var given []string
	for _, in := range inputs {
		switch {
		case !slices.Contains(f.inputs, in.name):
			return "has no input $" + in.name
		case slices.Contains(given, in.name):
			return "the input $" + in.name + " is given twice"
		case in.expr.IsZero():
			return "the input $" + in.name + " is empty"
		}
		given = append(given, in.name)
	}
	for _, name := range f.inputs {
		if !slices.Contains(given, name) {
			return "lacks the input $" + name
		}
	}
	return ""
}

// expr prints the file with its inputs. An input that is a variable of the input's own name needs neither insertion nor binding.
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

// printed is the text of parts. A text and an inserted text or number that are concatenated become one text: messages contain limits
// and names, and definitions have to be short.
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

// tight reports whether a part is an operator that binds an operand before a concatenation does, or that is evaluated before it.
func tight(parts []part, i int) bool {
	return i >= 0 && i < len(parts) && parts[i].text != "&" && powers[parts[i].text] >= powers["&"]
}

// joins reports whether two parts, of which one is inserted, may be one text.
func (p part) joins(q part) bool {
	return (p.input != "" || q.input != "") && joinable(p.text) && joinable(q.text)
}

// joinable reports whether an expression is a text in single quotes or a whole number.
func joinable(text string) bool {
	_, err := strconv.ParseUint(text, 10, 64)
	return err == nil || strings.HasPrefix(text, "'")
}

// checkBound panics if an input uses a variable of the name of another input that is bound before it.
func checkBound(bound []Binding) {
	for i, in := range bound {
		for _, earlier := range bound[:i] {
			if uses(in.expr, earlier.name) {
				panic("query: the input $" + in.name + " uses another variable $" + earlier.name)
			}
		}
	}
}

// rename gives other names to variables that the file binds, if an inserted expression uses a variable of that name: the file would
// capture it. The keys and values of the result begin with $.
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

// inserts reports whether an input is inserted rather than bound.
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

// simple reports whether evaluating the expression again costs nothing: it is a variable, a path or a text or number.
func (e Expr) simple() bool {
	return e.op == path || e.op == atom && !strings.ContainsAny(e.text[:1], "([{") && !(e.text[0] == '$' && strings.Contains(e.text, "("))
}

var variables = regexp.MustCompile(`\$[A-Za-z_][A-Za-z0-9_]*`)

// uses reports whether an expression may use a variable. It also finds names in its strings, and names that it binds itself.
func uses(e Expr, name string) bool {
	return slices.Contains(variables.FindAllString(e.text, -1), "$"+name)
}
