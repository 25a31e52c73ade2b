package query

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/asl/jsonata"
)

// file is a loaded file: its tokens, with what File needs to know about them. Files are not evaluated, so no syntax tree is kept.
type file struct {
	parts  []part
	inputs []string
	binds  map[string]bool // the variables that the file binds itself
	op     string          // as in Expr
	open   bool            // as in Expr
	many   bool            // it has several expressions
}

// part is a token with the white space before it.
type part struct {
	gap, text string
	input     string // the input's name, if the token is one
	index     bool   // an index or predicate follows
	enclosed  bool   // between brackets, commas and semicolons, so that any expression can stand here
	function  bool   // in the body of a function, which may be evaluated many times
}

// load reads a file.
func load(src string) (*file, error) {
	inputs, err := inputsOf(src)
	if err != nil {
		return nil, err
	}
	tokens, err := jsonata.Tokens("(" + src + "\n)")
	if err != nil {
		return nil, err
	}
	f := &file{inputs: inputs, binds: map[string]bool{}}
	f.read(tokens)
	for name := range f.binds {
		if slices.Contains(inputs, name) {
			return nil, fmt.Errorf("it binds its input $%s", name)
		}
	}
	return f, nil
}

// inputsOf are the names that the comment at the top of a file lists after the line "Inputs:".
func inputsOf(src string) ([]string, error) {
	comment, _, ok := strings.Cut(src, "*/")
	if !strings.HasPrefix(comment, "/*") || !ok {
		return nil, errors.New("no comment at its top")
	}
	var names []string
	in := false
	for line := range strings.Lines(comment) {
		line = strings.TrimSpace(line)
		switch name, found := strings.CutPrefix(line, "$"); {
		case strings.HasSuffix(line, ":") && !strings.Contains(line, " "):
			in = line == "Inputs:"
		case in && found:
			names = append(names, strings.Fields(name)[0])
		}
	}
	return names, nil
}

// read makes parts of tokens, of which the first and last are the parentheses around the file.
func (f *file) read(tokens []jsonata.Token) {
	var brackets []string // that are open: each with the token before it
	lowest, conditionals := powers[atom], 0
	for i := 1; i < len(tokens)-1; i++ {
		before, t, after := tokens[i-1], tokens[i], tokens[i+1]
		// The body of a function follows the parenthesis of its parameters. A grouping may look the same, and is then bound to a variable
		// without need.
		p := part{gap: gap(before, t), text: t.Text, index: after.Text == "[", function: slices.Contains(brackets, "){")}
		if i == 1 {
			p.gap = ""
		}
		if t.Kind == jsonata.TokenVariable {
			f.variable(&p, before, after, len(brackets) > 0 && brackets[len(brackets)-1] == "function(")
		}
		f.parts = append(f.parts, p)
		if t.Kind != jsonata.TokenOperator {
			continue
		}
		if len(brackets) == 0 {
			lowest = f.outermost(t.Text, lowest)
			conditionals += map[string]int{cond: 1, ":": -1}[t.Text]
		}
		switch t.Text {
		case "(", "[", "{":
			brackets = append(brackets, before.Text+t.Text)
		case ")", "]", "}":
			brackets = brackets[:len(brackets)-1]
		}
	}
	f.open = conditionals > 0
}

// outermost records an operator outside of all brackets, so that File knows where the expression needs parentheses. lowest is the least
// power of the operators before it.
func (f *file) outermost(operator string, lowest int) int {
	f.many = f.many || operator == ";"
	if power, known := powers[operator]; known && power < lowest {
		f.op = operator
		return power
	}
	return lowest
}

// variable records what the part is whose token is a variable: an input, or a variable that the file binds, as a parameter does.
func (f *file) variable(p *part, before, after jsonata.Token, parameter bool) {
	name := p.text[1:]
	if parameter || after.Text == ":=" {
		f.binds[name] = true
	}
	if slices.Contains(f.inputs, name) {
		p.input = name
		p.enclosed = slices.Contains([]string{"(", "[", ",", ";", ":", ":=", "{"}, before.Text) &&
			slices.Contains([]string{")", "]", ",", ";", "}"}, after.Text)
	}
}

// gap is the white space that is printed before a token: one space as the file has it, none for a line break beside a bracket.
func gap(before, t jsonata.Token) string {
	switch {
	case t.Gap == "":
		return ""
	case !strings.Contains(t.Gap, "\n"):
		return " "
	case strings.Contains("([{", before.Text) || strings.Contains(")]}", t.Text):
		return ""
	}
	return " "
}
