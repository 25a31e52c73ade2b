package expr

import (
	"errors"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// maxIntrinsicDepth is the limit of Step Functions on nested calls of intrinsic functions.
const maxIntrinsicDepth = 10

// Intrinsic is a compiled call of an intrinsic function: States.Format('...', $.x).
type Intrinsic struct {
	text string
	name string
	fn   intrinsicFunc
	args []intrinsicArg
}

// intrinsicArg is an argument: a path, a call, or, if both are nil, a literal.
type intrinsicArg struct {
	path    *Path
	call    *Intrinsic
	literal any
}

// CompileIntrinsic compiles a call of an intrinsic function. It does not check the number and types of the arguments: as in
// Step Functions, they are checked by Eval.
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

// Text returns the call as it is written.
func (f *Intrinsic) Text() string { return f.text }

// intrinsic parses a call, which may be an argument of another one. depth counts from 1.
func (p *pathParser) intrinsic(depth int) (*Intrinsic, error) {
	if depth > maxIntrinsicDepth {
		return nil, p.fail("calls of intrinsic functions are nested more than 10 levels deep")
	}
	start := p.pos
	for c := p.peek(); c == '.' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'; c = p.peek() {
		p.pos++
	}
	f := &Intrinsic{name: p.text[start:p.pos]}
	if f.fn = intrinsics[f.name]; f.fn == nil {
		p.pos = start
		return nil, p.fail("unknown intrinsic function")
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

// intrinsicArgs parses the part after the opening parenthesis. White space is allowed between arguments, but not inside
// names.
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

// intrinsicArg parses an argument. There are no literals for arrays and objects: States.Array and States.StringToJson create
// them.
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

// intrinsicString parses a string in single quotes. Only ' { } \ can be escaped; Step Functions rejects \" . Escaped braces
// and backslashes stay escaped, because States.Format needs them.
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
	return "", p.fail("unterminated string")
}

// Eval evaluates the call. An error is an *Error; its cause contains the outermost call, as in Step Functions.
func (f *Intrinsic) Eval(s *Scope) (any, error) {
	v, err := f.eval(s)
	var e *Error
	if errors.As(err, &e) && e.Name != stepfn.StatesDataLimitExceeded {
		prefix := "The function '" + f.text + "' had the following error: "
		if strings.HasPrefix(e.Cause, "Invalid arguments") { // recorded
			prefix = "There was an error while evaluating the intrinsic function: " + f.text + ". "
		}
		return nil, &Error{Name: e.Name, Cause: prefix + e.Cause}
	}
	return v, err
}

// eval evaluates a call at any depth. The cause of its error is only the reason.
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

// fits returns an error if the arguments are too long in total. It does not measure a small number of paths, which cannot be
// too long: the input of a state is at most a sixteenth of maxBuilt.
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

// arg returns the value of an argument. The template of States.Format keeps its backslashes, so that format can distinguish
// \{\} from a placeholder.
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

// resolve evaluates a path. If it matches nothing, the message contains the path with one $ instead of two, and the state's
// input, even for a path from the context object or a variable.
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

// unescapeBraces removes the backslashes that intrinsicString kept.
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

// truncated returns a number without its fraction. Step Functions treats sizes, indices and bounds this way.
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
