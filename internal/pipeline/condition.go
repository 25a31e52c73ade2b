package pipeline

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// Condition is the condition in when: comparisons of references and literals, combined with and, or, not and parentheses.
type Condition struct {
	Text string
	Expr Expr
}

// Expr is a node of a condition.
type Expr struct {
	Op    string // or, and, not, a comparison (== != < <= > >= in), ref or literal
	Args  []Expr // operands, unless Op is ref or literal
	Ref   *Ref   // if Op is ref
	Value any    // if Op is literal
}

// maxCondition is the maximum length of a condition in bytes. It also limits the depth of the parser's recursion.
const maxCondition = 2000

// ParseCondition parses a condition. The whole condition can be enclosed in ${{ }}.
func ParseCondition(text string) (*Condition, error) {
	inner := strings.TrimSpace(text)
	if strings.HasPrefix(inner, "${{") && strings.HasSuffix(inner, "}}") && strings.Count(inner, "${{") == 1 {
		inner = strings.TrimSpace(inner[3 : len(inner)-2])
	}
	if len(inner) > maxCondition {
		return nil, fmt.Errorf("a condition must have at most %d characters, got %d", maxCondition, len(inner))
	}
	p := condParser{rest: inner}
	expr, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.space(); p.rest != "" {
		return nil, p.unexpected("and, or, or the end of the condition")
	}
	return &Condition{Text: inner, Expr: expr}, nil
}

// condParser is a recursive descent parser; rest is the text that it has not parsed yet.
type condParser struct{ rest string }

func (p *condParser) space() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

// unexpected returns an error with the position and what the parser expects there.
func (p *condParser) unexpected(want string) error {
	got := "the end"
	if p.rest != "" {
		got = fmt.Sprintf("%q", p.rest)
	}
	return fmt.Errorf("not a valid condition: at %s: expected %s", got, want)
}

// word consumes and returns the first of the words that comes next, or returns "" if none does.
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

// chain parses parts that are joined by one operator. A single part is returned as it is.
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

// not parses a negation, which takes precedence over and.
func (p *condParser) not() (Expr, error) {
	p.space()
	if strings.HasPrefix(p.rest, "!=") || p.word("not", "!") == "" {
		return p.comparison()
	}
	arg, err := p.not()
	return Expr{Op: "not", Args: []Expr{arg}}, err
}

// comparison parses an operand, or two operands with a comparison between them. Comparisons cannot be chained: a < b < c is an error.
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

// operand parses a condition in parentheses, a list, a literal or a reference.
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
	return Expr{}, p.unexpected("a reference, a number, a string in quotes, true, false or null")
}

// list parses the rest of a list of literals, after its opening bracket. Lists are the right side of in.
func (p *condParser) list() (Expr, error) {
	items := []any{}
	for p.word("]") == "" {
		if len(items) > 0 && p.word(",") == "" {
			return Expr{}, p.unexpected(", or ]")
		}
		p.space()
		v, ok := p.literal()
		if !ok {
			return Expr{}, p.unexpected("a number, a string in quotes, true, false or null")
		}
		items = append(items, v)
	}
	return Expr{Op: "literal", Value: items}, nil
}

var (
	numberPattern = regexp.MustCompile(`^-?(?:0|[1-9]\d{0,15})(?:\.\d{1,15})?(?:[eE][+-]?\d{1,2})?`)
	quotedPattern = regexp.MustCompile(`^(?:'([^']*)'|"([^"]*)")`)
)

// literal consumes a literal. It returns false if none comes next.
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
