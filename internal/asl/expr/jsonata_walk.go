package expr

import (
	"slices"
	"strings"
)

// walker goes over an expression's tokens once and keeps track of brackets, to tell which names are looked up in the
// top-level context and which variables are bound.
type walker struct {
	*scan
	text  string
	pos   int
	bound map[string]bool
	stack []frame
	// parents says that the operator % is there: it sees what is beside the names of a path.
	parents bool
}

// frame is what is known inside a pair of brackets.
type frame struct {
	inner    bool // names are looked up in a value that an earlier step gave, not in the top-level context
	afterDot bool // the operand at hand follows a dot
}

// run goes over all tokens. Brackets that do not match are left to the library, but for their depth.
func (w *walker) run() error {
	w.stack = []frame{{}}
	for w.pos = 0; w.pos < len(w.tokens); w.pos++ {
		if err := w.step(); err != nil {
			return err
		}
		if len(w.stack) > maxNesting {
			return w.fail("brackets nest too deep")
		}
	}
	w.finish()
	return nil
}

// finish draws the conclusions that need the whole text: what is bound anywhere is not asked for.
func (w *walker) finish() {
	for _, name := range w.used {
		if !w.bound[name] && !builtinFunctions[name] {
			w.free = append(w.free, name)
		}
	}
	w.code = w.substitute(w.text, w.bound)
	for i := range w.tokens {
		if w.at(i).kind == tokenVariable && !w.inPath(i) {
			w.pos = i
			w.want(w.at(i).text)
		}
	}
	for _, c := range w.roots.names {
		c.all = c.all || w.parents
	}
}

// inPath says whether an alias stands for the variable at a token.
func (w *walker) inPath(token int) bool {
	for i := range w.paths {
		if w.paths[i].from == token {
			return true
		}
	}
	return false
}

// fail is an error at the token at hand.
func (w *walker) fail(msg string) error {
	return &SyntaxError{w.text, w.tokens[min(w.pos, len(w.tokens)-1)].pos, msg}
}

// top is the innermost bracket pair.
func (w *walker) top() *frame { return &w.stack[len(w.stack)-1] }

// at is a token; outside the text it is an operator without a text, which equals none.
func (w *walker) at(i int) token {
	if i >= 0 && i < len(w.tokens) {
		return w.tokens[i]
	}
	return token{kind: tokenOp}
}

func (w *walker) isOp(i int, text string) bool {
	t := w.at(i)
	return t.kind == tokenOp && t.text == text
}

// infix says whether the token at hand follows an operand.
func (w *walker) infix() bool {
	t := w.at(w.pos - 1)
	return w.pos > 0 && (t.kind != tokenOp && !w.keywordAt(w.pos-1) || t.text == ")" || t.text == "]" || t.text == "}")
}

// keywordAt says whether and, or, in stand as operators: after an operand.
func (w *walker) keywordAt(i int) bool {
	t := w.at(i)
	if t.kind != tokenName || t.text != "and" && t.text != "or" && t.text != "in" || i == 0 {
		return false
	}
	before := w.at(i - 1)
	return before.kind != tokenOp || before.text == ")" || before.text == "]" || before.text == "}"
}

func (w *walker) step() error {
	switch t := w.at(w.pos); t.kind {
	case tokenOp:
		return w.operator(t)
	case tokenVariable:
		w.variable(t)
	case tokenName:
		if (t.text == "function" || t.text == "λ") && w.isOp(w.pos+1, "(") && !w.infix() {
			return w.lambda()
		}
		w.name(t)
	}
	return nil
}

// operator handles what changes the context of names, and refuses operators that came after 2.0.6.
func (w *walker) operator(t token) error {
	switch t.text {
	case "??", "?:":
		return w.fail("the operator " + t.text + " is not supported: Step Functions runs JSONata 2.0.6")
	case "?":
		if w.isOp(w.pos+1, ":") {
			return w.fail("the operator ?: is not supported: Step Functions runs JSONata 2.0.6")
		}
	case "(", "[", "{":
		w.open(t.text)
		return nil
	case ")", "]", "}":
		if len(w.stack) > 1 {
			w.stack = w.stack[:len(w.stack)-1]
		}
		return nil
	case ".":
		w.top().afterDot = true
		return nil
	case "%":
		w.parents = w.parents || !w.infix()
	case "|":
		w.top().inner = true // a transform's parts see the value that it is applied to
	case "@", "#":
		if next := w.at(w.pos + 1); next.kind == tokenVariable {
			w.bound[next.text] = true
		}
		return nil
	}
	w.top().afterDot = false
	return nil
}

// open enters brackets. A predicate, a sort and a grouping see the value before them; a call's arguments see what the
// call itself sees; other brackets see what is around them, or what is before the dot.
func (w *walker) open(bracket string) {
	here := w.top()
	inner := here.inner || here.afterDot
	if w.infix() && bracket != "(" || w.isOp(w.pos-1, "^") {
		inner = true
	}
	w.stack = append(w.stack, frame{inner: inner})
}

// variable sorts a variable: bound here, $$, $states, or the workflow's.
func (w *walker) variable(t token) {
	switch {
	case w.isOp(w.pos+1, ":="):
		w.bound[t.text] = true
	case t.text == "$":
		w.refuse(t, "Reference to '$$' is not supported.")
	case t.text == "states":
		w.states = append(w.states, w.statesField())
		w.path()
	case t.text == "":
		if here := w.top(); !here.inner && !here.afterDot {
			w.refuse(t, "Reference to '$' at the top level is not supported.")
		}
	case !w.isOp(w.pos+1, "("): // no workflow variable is a function
		if !slices.Contains(w.used, t.text) {
			w.used = append(w.used, t.text)
		}
		w.path()
	}
}

// statesField is the field of $states that is named, empty when $states is taken as a whole.
func (w *walker) statesField() string {
	if next := w.at(w.pos + 2); w.isOp(w.pos+1, ".") && (next.kind == tokenName || next.kind == tokenString) {
		return next.text
	}
	return ""
}

// name refuses a name that would be looked up in the top-level context: an expression of a definition has none.
func (w *walker) name(t token) {
	if w.keywordAt(w.pos) {
		w.top().afterDot = false
		return
	}
	here := w.top()
	quoted := strings.HasPrefix(w.text[t.pos:], "`")
	constant := !quoted && (t.text == "true" || t.text == "false" || t.text == "null")
	if !here.inner && !here.afterDot && !constant {
		w.refuse(t, "Reference to '"+t.text+"' at the top level is not supported.")
	}
}

// refuse reports each message once, as Step Functions does.
func (w *walker) refuse(t token, msg string) {
	if slices.ContainsFunc(w.unsupported, func(e *SyntaxError) bool { return e.Msg == msg }) {
		return
	}
	w.unsupported = append(w.unsupported, &SyntaxError{w.text, t.pos, msg})
}

// lambda reads a function's parameters and signature; its body sees what is around the function.
func (w *walker) lambda() error {
	for w.pos += 2; w.pos < len(w.tokens) && !w.isOp(w.pos, ")"); w.pos++ {
		if t := w.at(w.pos); t.kind == tokenVariable {
			w.bound[t.text] = true
		}
	}
	if w.isOp(w.pos+1, "<") {
		w.signature()
	}
	if w.isOp(w.pos+1, "{") {
		w.pos++
		w.stack = append(w.stack, frame{inner: w.top().inner || w.top().afterDot})
	}
	return nil
}

// signature skips <s-n?:s>, in which ?: is no operator.
func (w *walker) signature() {
	depth := 0
	for w.pos++; w.pos < len(w.tokens); w.pos++ {
		t := w.at(w.pos)
		if t.kind != tokenOp {
			continue
		}
		depth += strings.Count(t.text, "<") - strings.Count(t.text, ">")
		if depth <= 0 {
			return
		}
	}
}

// whole is the expression's path, when it is nothing else.
func (s *scan) whole() *plainPath {
	if len(s.paths) == 1 && s.paths[0].to == len(s.tokens) && s.paths[0].from == 0 {
		return &s.paths[0]
	}
	return nil
}
