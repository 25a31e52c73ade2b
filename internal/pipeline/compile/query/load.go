package query

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/asl/jsonata"
)

// file is a loaded .jsonata file: its tokens, with the information that File needs. Files are not evaluated, so there is no syntax tree.
type file struct {
	parts  []part
	inputs []string
	binds  map[string]bool // the variables that the file itself binds
	op     string          // as in Expr
	open   bool            // as in Expr
	many   bool            // the file has several expressions
}

// part is a token with the white space before it.
type part struct {
	gap, text string
	input     string // the name of the input, if the token is one
	index     bool   // an index or a predicate follows
	enclosed  bool   // between brackets, commas and semicolons, so that any expression can be inserted without parentheses
	function  bool   // in the body of a function, which may be evaluated many times
}

// load parses a file.
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
			return nil, fmt.Errorf("the file binds its input $%s", name)
		}
	}
	return f, nil
}

// inputsOf returns the names that the comment at the top of a file lists after the line "Inputs:".
func inputsOf(src string) ([]string, error) {
	comment, _, ok := strings.Cut(src, "*/")
	if !strings.HasPrefix(comment, "/*") || !ok {
		return nil, errors.New("the file does not start with a comment")
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

// read converts tokens to parts. The first and the last token are the parentheses that load added.
func (f *file) read(tokens []jsonata.Token) {
	var brackets []string // open brackets, each with the token before it
	lowest, conditionals := powers[atom], 0
	for i := 1; i < len(tokens)-1; i++ {
		before, t, after := tokens[i-1], tokens[i], tokens[i+1]
		// The body of a function follows the closing parenthesis of its parameters. A block after a parenthesis looks the same; its inputs
		// are then bound to variables unnecessarily, which is harmless.
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

// outermost records an operator outside all brackets, so that File knows where the expression needs parentheses. lowest is the lowest
// binding power of the operators before it. It returns the new lowest power.
func (f *file) outermost(operator string, lowest int) int {
	f.many = f.many || operator == ";"
	if power, known := powers[operator]; known && power < lowest {
		f.op = operator
		return power
	}
	return lowest
}

// variable records whether a part, whose token is a variable, is an input, or binds the variable (by := or as a parameter).
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

// gap returns the white space to print before a token: a space if the file has white space, except for a line break next to a bracket.
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
