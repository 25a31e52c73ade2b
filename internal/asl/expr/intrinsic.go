package expr

import (
	"errors"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// maxIntrinsicDepth is how deep calls of intrinsic functions may stand in each other, as Step Functions has it.
const maxIntrinsicDepth = 10

// Intrinsic is a compiled call of an intrinsic function: States.Format('...', $.x).
type Intrinsic struct {
	text string
	name string
	fn   intrinsicFunc
	args []intrinsicArg
}

// intrinsicArg is one argument; exactly one of path and call is set, else it is a literal.
type intrinsicArg struct {
	path    *Path
	call    *Intrinsic
	literal any
}

// CompileIntrinsic reads a call of an intrinsic function. The number and types of arguments are not looked at: Step
// Functions tells of them when the call is evaluated.
func CompileIntrinsic(text string) (*Intrinsic, error) {
	if !utf8.ValidString(text) {
		return nil, &SyntaxError{text, 0, "invalid UTF-8"}
	}
	p := pathParser{text: text}
	f, err := p.intrinsic(1)
	if err != nil {
		return nil, err
	}
	p.space()
	if p.pos < len(text) {
		return nil, p.fail("unexpected text after the call")
	}
	return f, nil
}

// Text is the call as written.
func (f *Intrinsic) Text() string { return f.text }

// intrinsic reads a call where one stands, also as an argument of another; depth counts from 1.
func (p *pathParser) intrinsic(depth int) (*Intrinsic, error) {
	if depth > maxIntrinsicDepth {
		return nil, p.fail("intrinsic functions nest deeper than 10")
	}
	start := p.pos
	for c := p.peek(); c == '.' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'; c = p.peek() {
		p.pos++
	}
	f := &Intrinsic{name: p.text[start:p.pos]}
	if f.fn = intrinsics[f.name]; f.fn == nil {
		p.pos = start
		return nil, p.fail("there is no such intrinsic function")
	}
	if !p.skip('(') {
		return nil, p.fail("expected (")
	}
	if err := p.intrinsicArgs(f, depth); err != nil {
		return nil, err
	}
	f.text = p.text[start:p.pos]
	return f, nil
}

// intrinsicArgs reads what follows the opening parenthesis. White space is free between arguments, not inside names.
func (p *pathParser) intrinsicArgs(f *Intrinsic, depth int) error {
	p.space()
	if p.skip(')') {
		return nil
	}
	for {
		p.space()
		arg, err := p.intrinsicArg(depth)
		if err != nil {
			return err
		}
		f.args = append(f.args, arg)
		p.space()
		if p.skip(')') {
			return nil
		}
		if !p.skip(',') {
			return p.fail("expected , or )")
		}
	}
}

// intrinsicArg reads one argument. Arrays and objects cannot be written out: States.Array and States.StringToJson make them.
func (p *pathParser) intrinsicArg(depth int) (intrinsicArg, error) {
	switch c := p.peek(); {
	case c == '\'':
		s, err := p.intrinsicString()
		return intrinsicArg{literal: s}, err
	case c == '$':
		path, err := p.path(0)
		return intrinsicArg{path: path}, err
	case c == 'S':
		call, err := p.intrinsic(depth + 1)
		return intrinsicArg{call: call}, err
	}
	start, end := p.pos, p.literalEnd()
	v, err := value.Parse([]byte(p.text[start:end]))
	switch v.(type) {
	case nil, bool, value.Number:
		if err == nil {
			p.pos = end
			return intrinsicArg{literal: v}, nil
		}
	}
	return intrinsicArg{}, p.fail("expected a path, a call, or a literal ('...', a number, true, false, null)")
}

// intrinsicString reads a string in single quotes. Only ' { } \ may be escaped; the escapes of braces stay, for
// States.Format reads them. A double quote cannot be escaped: Step Functions refuses \" .
func (p *pathParser) intrinsicString() (string, error) {
	p.pos++
	var b strings.Builder
	for p.pos < len(p.text) {
		c := p.text[p.pos]
		p.pos++
		switch c {
		case '\'':
			return b.String(), nil
		case '\\':
			switch e := p.peek(); e {
			case '\'':
				b.WriteByte(e)
			case '{', '}', '\\':
				b.WriteByte('\\')
				b.WriteByte(e)
			default:
				return "", p.fail(`only ' { } \ can be escaped in a string`)
			}
			p.pos++
		default:
			b.WriteByte(c)
		}
	}
	return "", p.fail("a string does not end")
}

// Eval evaluates the call. What fails is an *Error; its cause names the outermost call, as Step Functions does.
func (f *Intrinsic) Eval(s *Scope) (any, error) {
	v, err := f.eval(s)
	var e *Error
	if errors.As(err, &e) && e.Name != stepfn.StatesDataLimitExceeded {
		words := "The function '" + f.text + "' had the following error: "
		if strings.HasPrefix(e.Cause, "Invalid arguments") { // recorded
			words = "There was an error while evaluating the intrinsic function: " + f.text + ". "
		}
		return nil, &Error{Name: e.Name, Cause: words + e.Cause}
	}
	return v, err
}

// eval evaluates a call at any depth; its error carries no more than the reason.
func (f *Intrinsic) eval(s *Scope) (any, error) {
	args := make([]any, len(f.args))
	for i := range f.args {
		v, err := f.arg(s, i)
		if err != nil {
			return nil, err
		}
		args[i] = v
	}
	if err := f.fits(args); err != nil {
		return nil, err
	}
	v, ok := f.fn(&call{f, s}, args)
	if !ok {
		return nil, &Error{Name: stepfn.StatesRuntime, Cause: "Invalid arguments in " + f.name}
	}
	return v, nil
}

// fits returns an error if the arguments are too long in total. It does not measure a few paths, which cannot be too long: the input
// of a state is at most a sixteenth of maxBuilt.
func (f *Intrinsic) fits(args []any) error {
	few := len(args) <= 8
	for i := range f.args {
		few = few && f.args[i].call == nil
	}
	left := budget(maxBuilt)
	for i := 0; i < len(args) && !few; i++ {
		if err := left.take(args[i]); err != nil {
			return err
		}
	}
	return nil
}

// arg is the value of one argument. The template of States.Format keeps its backslashes: format itself reads them, for \{
// must not become a place to fill.
func (f *Intrinsic) arg(s *Scope, i int) (any, error) {
	switch a := &f.args[i]; {
	case a.call != nil:
		return a.call.eval(s)
	case a.path != nil:
		return a.resolve(s)
	default:
		text, ok := a.literal.(string)
		if ok && (i > 0 || f.name != "States.Format") {
			return unescapeBraces(text), nil
		}
		return a.literal, nil
	}
}

// resolve evaluates a path that is an argument. When it leads nowhere the cause shows the path without its root's
// second $, and the state's input whatever the root was.
func (a *intrinsicArg) resolve(s *Scope) (any, error) {
	v, err := a.path.Resolve(s)
	var missing *NoResultsError
	if !errors.As(err, &missing) {
		return v, err
	}
	if missing.library != nil {
		return nil, &Error{Name: stepfn.StatesRuntime, Cause: missing.library()}
	}
	text := a.path.text
	if a.path.source == FromContext {
		text = text[1:]
	}
	return nil, &Error{Name: stepfn.StatesRuntime, Cause: "The JsonPath argument for the field '" + text +
		"' could not be found in the input '" + value.Text(s.Input) + "'"}
}

// unescapeBraces takes the backslashes away that intrinsicString left.
func unescapeBraces(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func (f *Intrinsic) variables(add func(string)) {
	for i := range f.args {
		if a := &f.args[i]; a.call != nil {
			a.call.variables(add)
		} else if a.path != nil && a.path.source == FromVariable {
			add(a.path.variable)
		}
	}
}

// truncated is a number without its fraction, which is how Step Functions takes sizes, indices and bounds.
func truncated(v any) (int64, bool) {
	n, ok := v.(value.Number)
	if !ok {
		return 0, false
	}
	f := n.Float64()
	if math.IsNaN(f) || math.Abs(f) > 1<<53 {
		return 0, false
	}
	return int64(f), true
}
