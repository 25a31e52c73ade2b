package pipeline

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// Condition is what when holds: comparisons of references and literals, joined by and, or, not and parentheses.
type Condition struct {
	Text string
	Expr Expr
}

// Expr is a node of a condition: Op is or, and, not, a comparison (== != < <= > >= in), ref or literal.
type Expr struct {
	Op    string
	Args  []Expr
	Ref   *Ref
	Value any // of a literal
}

// maxCondition bounds a condition's length and, by it, its depth.
const maxCondition = 2000

// ParseCondition reads a condition; one pair of ${{ }} around the whole is taken off.
func ParseCondition(text string) (*Condition, error) {
	inner := strings.TrimSpace(text)
	if strings.HasPrefix(inner, "${{") && strings.HasSuffix(inner, "}}") && strings.Count(inner, "${{") == 1 {
		inner = strings.TrimSpace(inner[3 : len(inner)-2])
	}
	if len(inner) > maxCondition {
		return nil, fmt.Errorf("the condition has more than %d characters", maxCondition)
	}
	p := condParser{rest: inner}
	expr, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.space(); p.rest != "" {
		return nil, p.unexpected("and, or, or the condition's end")
	}
	return &Condition{Text: inner, Expr: expr}, nil
}

type condParser struct{ rest string }

func (p *condParser) space() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

// unexpected says where reading stopped and what could have been there.
func (p *condParser) unexpected(want string) error {
	got := "the end"
	if p.rest != "" {
		got = fmt.Sprintf("%q", p.rest)
	}
	return fmt.Errorf("cannot read the condition at %s: expected %s", got, want)
}

// word takes one of the words off the text, if it stands there.
func (p *condParser) word(words ...string) string {
	p.space()
	for _, w := range words {
		if !strings.HasPrefix(p.rest, w) {
			continue
		}
		after := p.rest[len(w):]
		if isLetter(w[0]) && after != "" && (isLetter(after[0]) || after[0] >= '0' && after[0] <= '9') {
			continue
		}
		p.rest = after
		return w
	}
	return ""
}

func isLetter(c byte) bool { return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' }

func (p *condParser) or() (Expr, error)  { return p.chain(p.and, "or", "||") }
func (p *condParser) and() (Expr, error) { return p.chain(p.not, "and", "&&") }

// chain reads parts joined by one operator; a single part stands for itself.
func (p *condParser) chain(part func() (Expr, error), name, sign string) (Expr, error) {
	first, err := part()
	if err != nil {
		return first, err
	}
	args := []Expr{first}
	for p.word(name, sign) != "" {
		next, err := part()
		if err != nil {
			return next, err
		}
		args = append(args, next)
	}
	if len(args) == 1 {
		return first, nil
	}
	return Expr{Op: name, Args: args}, nil
}

// not reads a negation, which binds closer than and.
func (p *condParser) not() (Expr, error) {
	p.space()
	if strings.HasPrefix(p.rest, "!=") || p.word("not", "!") == "" {
		return p.comparison()
	}
	arg, err := p.not()
	return Expr{Op: "not", Args: []Expr{arg}}, err
}

// comparison reads two operands and what is between them. Comparisons do not chain: a < b < c means nothing good.
func (p *condParser) comparison() (Expr, error) {
	left, err := p.operand()
	if err != nil {
		return left, err
	}
	op := p.word("==", "!=", "<=", ">=", "<", ">", "in")
	if op == "" {
		return left, nil
	}
	right, err := p.operand()
	return Expr{Op: op, Args: []Expr{left, right}}, err
}

// operand reads what can be compared.
func (p *condParser) operand() (Expr, error) {
	if p.word("(") != "" {
		inner, err := p.or()
		if err == nil && p.word(")") == "" {
			err = p.unexpected(")")
		}
		return inner, err
	}
	if p.word("[") != "" {
		return p.list()
	}
	if v, ok := p.literal(); ok {
		return Expr{Op: "literal", Value: v}, nil
	}
	if ref, rest := scanRef(p.rest); ref != nil {
		p.rest = rest
		return Expr{Op: "ref", Ref: ref}, nil
	}
	return Expr{}, p.unexpected("a reference, a number, text in quotes, true, false or null")
}

// list reads a list of literals, the right side of in.
func (p *condParser) list() (Expr, error) {
	items := []any{}
	for p.word("]") == "" {
		if len(items) > 0 && p.word(",") == "" {
			return Expr{}, p.unexpected(", or ]")
		}
		p.space()
		v, ok := p.literal()
		if !ok {
			return Expr{}, p.unexpected("a number, text in quotes, true, false or null")
		}
		items = append(items, v)
	}
	return Expr{Op: "literal", Value: items}, nil
}

var (
	numberPattern = regexp.MustCompile(`^-?(?:0|[1-9]\d{0,15})(?:\.\d{1,15})?(?:[eE][+-]?\d{1,2})?`)
	quotedPattern = regexp.MustCompile(`^(?:'([^']*)'|"([^"]*)")`)
)

// literal reads a literal, if one is next.
func (p *condParser) literal() (any, bool) {
	if m := quotedPattern.FindStringSubmatch(p.rest); m != nil {
		p.rest = p.rest[len(m[0]):]
		return m[1] + m[2], true
	}
	if m := numberPattern.FindString(p.rest); m != "" {
		p.rest = p.rest[len(m):]
		return value.Number(m), true
	}
	switch p.word("true", "false", "null") {
	case "true":
		return true, true
	case "false":
		return false, true
	case "null":
		return nil, true
	}
	return nil, false
}
