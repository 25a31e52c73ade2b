package jsonata

// Limits on the text of an expression, because the parser is recursive.
const (
	maxTokens  = 20_000
	maxNesting = 500
)

// powers are the binding powers of the operators that can follow an operand, as in the reference implementation: a higher power
// binds tighter, and 0 ends an expression.
var powers = map[string]int{
	".": 75, "[": 80, "{": 70, "(": 80, "@": 80, "#": 80, "^": 40, "?": 20, ":=": 10, "~>": 40,
	"+": 50, "-": 50, "*": 60, "/": 60, "%": 60, "&": 50,
	"=": 40, "<": 40, ">": 40, "!=": 40, "<=": 40, ">=": 40, "in": 40, "and": 30, "or": 25,
}

// known reports whether an operator has a meaning in the language. The lexer also reads others, such as !.
func known(op string) bool {
	switch op {
	case ":", ";", ",", ")", "]", "}", "..", "|", "**":
		return true
	}
	return powers[op] > 0
}

// parser parses an expression by operator precedence, as a Pratt parser. Its tree follows the text; the linker then finds
// paths, parents and tail calls.
type parser struct {
	lexer
	tok   token
	depth int

	record   bool // for Tokens
	recorded []span
}

// parse parses a whole expression.
func parse(src string) (*node, error) {
	p := parser{lexer: lexer{src: src}}
	return p.parse()
}

func (p *parser) parse() (*node, error) {
	if err := p.advance(false); err != nil {
		return nil, err
	}
	n, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	if p.tok.kind != tokenEnd {
		return nil, newError("S0201", p.tok.pos).with("token", p.tok.text)
	}
	return n, nil
}

// advance reads the next token.
func (p *parser) advance(afterOperand bool) (err error) {
	p.tok, err = p.next(afterOperand)
	if p.record && err == nil && p.tok.kind != tokenEnd {
		p.recorded = append(p.recorded, span{p.tok.kind, p.tok.pos, p.pos})
	}
	if err == nil && p.tok.kind == tokenOperator && !known(p.tok.text) {
		return newError("S0204", p.tok.pos).with("token", p.tok.text)
	}
	return err
}

// is reports whether the current token is the operator op.
func (p *parser) is(op string) bool { return p.tok.kind == tokenOperator && p.tok.text == op }

// expect skips an operator. It is an error if the operator is missing.
func (p *parser) expect(op string, afterOperand bool) error {
	if p.is(op) {
		return p.advance(afterOperand)
	}
	code := "S0202"
	if p.tok.kind == tokenEnd {
		code = "S0203"
	}
	return newError(code, p.tok.pos).with("token", p.tok.text).with("value", op)
}

// power returns the binding power of the current token.
func (p *parser) power() int {
	if p.tok.kind == tokenOperator {
		return powers[p.tok.text]
	}
	return 0
}

// expression parses an operand and all operators after it that bind tighter than power.
func (p *parser) expression(power int) (*node, error) {
	if p.depth++; p.depth > maxNesting {
		return nil, &CompileError{"the expression is nested too deeply", p.tok.pos}
	}
	defer func() { p.depth-- }()
	t := p.tok
	if err := p.advance(true); err != nil {
		return nil, err
	}
	n, err := p.operand(t)
	for err == nil && power < p.power() {
		t := p.tok
		if err := p.advance(false); err != nil {
			return nil, err
		}
		n, err = p.infix(t, n)
	}
	return n, err
}

// operand parses an operand that begins with a token.
func (p *parser) operand(t token) (*node, error) {
	switch t.kind {
	case tokenEnd: // an error, but the parser may find another one, which takes precedence
		return &node{kind: kindEnd, pos: t.pos}, nil
	case tokenName:
		return p.name(t), nil
	case tokenVariable:
		return &node{kind: kindVariable, pos: t.pos, text: t.text}, nil
	case tokenString:
		return &node{kind: kindLiteral, pos: t.pos, value: t.text}, nil
	case tokenNumber:
		return &node{kind: kindLiteral, pos: t.pos, value: t.num}, nil
	case tokenConstant:
		return &node{kind: kindLiteral, pos: t.pos, value: constants[t.text]}, nil
	case tokenRegex:
		return &node{kind: kindRegex, pos: t.pos, regex: t.regex}, nil
	}
	return p.prefix(t)
}

var constants = map[string]any{"true": true, "false": false, "null": nil}

func (p *parser) name(t token) *node { return &node{kind: kindName, pos: t.pos, text: t.text} }

// prefix parses an operand that begins with an operator.
func (p *parser) prefix(t token) (*node, error) {
	switch t.text {
	case "and", "or", "in":
		return p.name(t), nil
	case "*":
		return &node{kind: kindWildcard, pos: t.pos}, nil
	case "**":
		return &node{kind: kindDescendant, pos: t.pos}, nil
	case "%":
		return &node{kind: kindParent, pos: t.pos, slot: &slot{level: 1}}, nil
	case "-":
		left, err := p.expression(70) // tighter than all arithmetic
		return &node{kind: kindNegate, pos: t.pos, left: left}, err
	case "(":
		return p.items(&node{kind: kindBlock, pos: t.pos}, ";", ")")
	case "[":
		return p.array(&node{kind: kindArray, pos: t.pos})
	case "{":
		n := &node{kind: kindObject, pos: t.pos}
		return n, p.object(n)
	case "|":
		return p.transform(&node{kind: kindTransform, pos: t.pos})
	}
	return nil, newError("S0211", t.pos).with("token", t.text)
}

// infix parses what follows an operand and an operator.
func (p *parser) infix(t token, left *node) (*node, error) {
	n := &node{kind: kindBinary, pos: t.pos, text: t.text, left: left}
	switch t.text {
	case "(":
		return p.call(t, left)
	case "[":
		return p.predicate(n)
	case "{":
		return n, p.object(n)
	case "^":
		return n, p.orderBy(n)
	case "?":
		return p.condition(n)
	}
	power := powers[t.text]
	if t.text == ":=" {
		power-- // right-associative
		if left.kind != kindVariable {
			return nil, newError("S0212", left.pos).with("token", p.tokenAt(left))
		}
	}
	var err error
	if n.right, err = p.expression(power); err != nil {
		return nil, err
	}
	if (t.text == "@" || t.text == "#") && n.right.kind != kindVariable {
		return nil, newError("S0214", n.right.pos).with("token", t.text)
	}
	return n, nil
}

// tokenAt returns the text of the token at the position of a node.
func (p *parser) tokenAt(n *node) string {
	l := lexer{src: p.src, pos: n.pos}
	t, err := l.next(true)
	if err != nil {
		return n.text
	}
	return t.text
}

// list parses items with a separator between them, up to the closing bracket.
func (p *parser) list(separator, end string, item func() error) error {
	for !p.is(end) {
		if err := item(); err != nil {
			return err
		}
		if !p.is(separator) {
			break
		}
		if err := p.advance(false); err != nil {
			return err
		}
		if separator == "," && p.is(end) {
			return newError("S0211", p.tok.pos).with("token", end)
		}
	}
	return p.expect(end, true)
}

// items parses a list of expressions into a node.
func (p *parser) items(n *node, separator, end string) (*node, error) {
	return n, p.list(separator, end, func() error {
		item, err := p.expression(0)
		n.items = append(n.items, item)
		return err
	})
}

// array parses [a, b, 1..3].
func (p *parser) array(n *node) (*node, error) {
	return n, p.list(",", "]", func() error {
		item, err := p.expression(0)
		if err == nil && p.is("..") {
			item = &node{kind: kindBinary, pos: p.tok.pos, text: "..", left: item}
			if err = p.advance(false); err == nil {
				item.right, err = p.expression(0)
			}
		}
		n.items = append(n.items, item)
		return err
	})
}

// object parses the pairs of {k: v}, in a constructor or a grouping.
func (p *parser) object(n *node) error {
	return p.list(",", "}", func() error {
		key, err := p.expression(0)
		if err != nil {
			return err
		}
		if err := p.expect(":", false); err != nil {
			return err
		}
		v, err := p.expression(0)
		n.pairs = append(n.pairs, pair{key, v})
		return err
	})
}

// predicate parses a[b], and a[], which marks the step before it.
func (p *parser) predicate(n *node) (*node, error) {
	if p.is("]") {
		step := n.left
		for step.kind == kindBinary && step.text == "[" {
			step = step.left
		}
		step.keepArray = true
		return n.left, p.expect("]", false)
	}
	var err error
	if n.right, err = p.expression(0); err != nil {
		return nil, err
	}
	return n, p.expect("]", true)
}

// orderBy parses a^(b, >c).
func (p *parser) orderBy(n *node) error {
	if err := p.expect("(", false); err != nil {
		return err
	}
	for {
		var t sortTerm
		if t.descending = p.is(">"); t.descending || p.is("<") {
			if err := p.advance(false); err != nil {
				return err
			}
		}
		var err error
		if t.expr, err = p.expression(0); err != nil {
			return err
		}
		n.terms = append(n.terms, t)
		if !p.is(",") {
			return p.expect(")", false)
		}
		if err := p.advance(false); err != nil {
			return err
		}
	}
}

func (p *parser) condition(n *node) (*node, error) {
	n.kind = kindCondition
	var err error
	if n.right, err = p.expression(0); err != nil || !p.is(":") {
		return n, err
	}
	if err := p.advance(false); err != nil {
		return nil, err
	}
	n.third, err = p.expression(0)
	return n, err
}

// transform parses |pattern|update, delete|.
func (p *parser) transform(n *node) (*node, error) {
	var err error
	if n.left, err = p.expression(0); err != nil {
		return nil, err
	}
	if err := p.expect("|", false); err != nil {
		return nil, err
	}
	if n.right, err = p.expression(0); err != nil {
		return nil, err
	}
	if p.is(",") {
		if err := p.advance(false); err != nil {
			return nil, err
		}
		if n.third, err = p.expression(0); err != nil {
			return nil, err
		}
	}
	return n, p.expect("|", false)
}

// call parses the arguments of a call, or the definition of a function.
func (p *parser) call(t token, left *node) (*node, error) {
	n := &node{kind: kindCall, pos: t.pos, left: left}
	err := p.list(",", ")", func() error {
		if p.is("?") {
			n.kind = kindPartial
			n.items = append(n.items, &node{kind: kindPlaceholder, pos: p.tok.pos})
			return p.advance(false)
		}
		item, err := p.expression(0)
		n.items = append(n.items, item)
		return err
	})
	if err == nil && left.kind == kindName && (left.text == "function" || left.text == "λ") {
		return p.lambda(n)
	}
	return n, err
}

// lambda parses a function's signature and body. Its parameters were parsed as arguments of a call.
func (p *parser) lambda(n *node) (*node, error) {
	l := &node{kind: kindLambda, pos: n.left.pos}
	for i, param := range n.items {
		if param.kind != kindVariable {
			return nil, newError("S0208", param.pos).with("token", p.tokenAt(param)).with("value", float64(i+1))
		}
		l.params = append(l.params, param.text)
	}
	if p.is("<") {
		if err := p.lambdaSignature(l); err != nil {
			return nil, err
		}
	}
	if err := p.expect("{", false); err != nil {
		return nil, err
	}
	var err error
	if l.right, err = p.expression(0); err != nil {
		return nil, err
	}
	return l, p.expect("}", true)
}

// lambdaSignature parses <s-n:b>, which it first joins from its tokens.
func (p *parser) lambdaSignature(l *node) error {
	text, pos, depth := "", p.tok.pos, 0
	for p.tok.kind != tokenEnd && !p.is("{") {
		text += p.tok.text
		switch {
		case p.is("<"):
			depth++
		case p.is(">"):
			depth--
		}
		if err := p.advance(true); err != nil {
			return err
		}
		if depth == 0 {
			break
		}
	}
	if depth > 0 {
		return p.expect(">", true)
	}
	var err error
	l.signature, err = parseSignature(text)
	if e, ok := err.(*Error); ok { //nolint:errorlint // parseSignature does not wrap
		e.Position = pos
	}
	return err
}
