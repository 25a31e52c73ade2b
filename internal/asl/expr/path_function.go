package expr

import (
	"math"
	"strconv"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// function is a function at the end of a path, such as .length().
type function struct {
	name string
	args []any // literals
}

// pathFunctions are the functions by name. sum() exists in Jayway, but gives no result in Step Functions
// (https://repost.aws/questions/QUYiQKP0XfThWEc_ahsMnLOA).
var pathFunctions = map[string]func(v any, args []any) (any, bool){
	"length": pathLength,
	"size":   pathLength,
	"keys":   pathKeys,
	"first":  func(v any, _ []any) (any, bool) { return pathIndex(v, 0) },
	"last":   func(v any, _ []any) (any, bool) { return pathIndex(v, -1) },
	"index":  pathIndexArg,
	"min":    aggregate(func(n []float64) float64 { return fold(n, math.Min) }),
	"max":    aggregate(func(n []float64) float64 { return fold(n, math.Max) }),
	"avg":    aggregate(mean),
	"stddev": aggregate(deviation),
	"sum":    func(any, []any) (any, bool) { return nil, false },
	"concat": pathConcat,
	"append": pathAppend,
}

// function parses the arguments of a function, which ends a path.
func (p *pathParser) function(path *Path, name string, start int) error {
	if pathFunctions[name] == nil {
		p.pos = start
		return p.fail("unknown function " + strconv.Quote(name))
	}
	if n := len(path.steps); n > 0 && path.steps[n-1].kind == stepScan {
		return p.fail("a function cannot directly follow ..")
	}
	p.pos++
	f := &function{name: name}
	for {
		p.space()
		if p.skip(')') {
			path.function = f
			return nil
		}
		if len(f.args) > 0 && !p.skip(',') {
			return p.fail("expected , or )")
		}
		p.space()
		arg, err := p.argument()
		if err != nil {
			return err
		}
		f.args = append(f.args, arg)
	}
}

// argument parses a literal. Jayway also accepts paths, but no use of them in Step Functions is known.
func (p *pathParser) argument() (any, error) {
	if p.peek() == '\'' {
		return p.quoted()
	}
	o, err := p.literal()
	if err != nil {
		return nil, err
	}
	return o.literal, nil
}

// evalFunction applies the function to the value of a definite path, to the array of all results of a path with a deep scan,
// and to each result of any other path.
func (p *Path) evalFunction(root any) (any, error) {
	bare := *p
	bare.function = nil
	bare.settle()
	v, err := bare.eval(root, root)
	if err != nil {
		return nil, err
	}
	apply := pathFunctions[p.function.name]
	if bare.definite || bare.scans() {
		if out, ok := apply(v, p.function.args); ok {
			return out, nil
		}
		return nil, &NoResultsError{Path: p.text, At: bare.bracketed(len(bare.steps)) + "." + p.function.name + "()"}
	}
	out := []any{}
	for _, item := range v.([]any) {
		if r, ok := apply(item, p.function.args); ok {
			out = append(out, r)
		}
	}
	return out, nil
}

// scans reports whether the path has a deep scan (..).
func (p *Path) scans() bool {
	for i := range p.steps {
		if p.steps[i].kind == stepScan {
			return true
		}
	}
	return false
}

func pathLength(v any, _ []any) (any, bool) {
	n, ok := length(v)
	return value.Int(int64(n)), ok
}

func pathKeys(v any, _ []any) (any, bool) {
	o, ok := v.(*value.Object)
	if !ok {
		return nil, false
	}
	return value.FromGo(o.Keys()), true
}

func pathIndex(v any, i int) (any, bool) {
	a, ok := v.([]any)
	if !ok {
		return nil, false
	}
	return at(a, i)
}

// pathIndexArg implements .index(n).
func pathIndexArg(v any, args []any) (any, bool) {
	if len(args) != 1 {
		return nil, false
	}
	n, ok := args[0].(value.Number)
	if !ok {
		return nil, false
	}
	i, ok := n.Int64()
	if !ok || i < math.MinInt32 || i > math.MaxInt32 {
		return nil, false
	}
	return pathIndex(v, int(i))
}

// aggregate returns a function of the numbers in an array and among the arguments.
func aggregate(f func([]float64) float64) func(any, []any) (any, bool) {
	return func(v any, args []any) (any, bool) {
		a, _ := v.([]any)
		var numbers []float64
		for _, list := range [][]any{a, args} {
			for _, item := range list {
				if n, ok := item.(value.Number); ok {
					numbers = append(numbers, n.Float64())
				}
			}
		}
		if len(numbers) == 0 {
			return nil, false
		}
		return double(f(numbers))
	}
}

// double returns a number that Jayway represents as a floating-point number: 2 is shown as 2.0.
func double(f float64) (any, bool) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, false
	}
	n := value.Float(f)
	if !strings.ContainsAny(string(n), ".eE") {
		n += ".0"
	}
	return n, true
}

func fold(n []float64, f func(a, b float64) float64) float64 {
	out := n[0]
	for _, x := range n[1:] {
		out = f(out, x)
	}
	return out
}

func mean(n []float64) float64 {
	return fold(n, func(a, b float64) float64 { return a + b }) / float64(len(n))
}

// deviation returns the population standard deviation.
func deviation(n []float64) float64 {
	m, sum := mean(n), 0.0
	for _, x := range n {
		sum += (x - m) * (x - m)
	}
	return math.Sqrt(sum / float64(len(n)))
}

// pathConcat joins the strings of an array and of the arguments. It ignores other values.
func pathConcat(v any, args []any) (any, bool) {
	var b strings.Builder
	a, _ := v.([]any)
	for _, list := range [][]any{a, args} {
		for _, item := range list {
			if s, ok := item.(string); ok {
				b.WriteString(s)
			}
		}
	}
	return b.String(), true
}

// pathAppend copies the array, because values are immutable.
func pathAppend(v any, args []any) (any, bool) {
	a, ok := v.([]any)
	if !ok {
		return nil, false
	}
	return append(append([]any{}, a...), args...), true
}
