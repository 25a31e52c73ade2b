package jsonata

import "math"

// If a side of an operator is Undefined, arithmetic and order comparisons return Undefined; =, != and in return false; & takes an
// empty string; "and" and "or" take false. A side of the wrong type is an error.

func (ev *evaluator) negate(n *node, input any, env *frame) (any, error) {
	v, err := ev.eval(n.left, input, env)
	if err != nil || IsUndefined(v) {
		return v, err
	}
	f, ok := number(v)
	if err := finite(n, f); err != nil {
		return nil, err
	}
	if !ok || math.IsNaN(f) {
		return nil, newError("D1002", n.pos).with("token", "-").with("value", v)
	}
	return -f, nil
}

// binary evaluates an operator. and and or evaluate their right side only if needed.
func (ev *evaluator) binary(n *node, input any, env *frame) (any, error) {
	left, err := ev.eval(n.left, input, env)
	if err != nil {
		return nil, err
	}
	if n.text == "and" || n.text == "or" {
		yes, err := ev.truth(left)
		if err != nil || yes == (n.text == "or") {
			return yes, err
		}
		right, err := ev.eval(n.right, input, env)
		if err != nil {
			return nil, err
		}
		return ev.truth(right)
	}
	right, err := ev.eval(n.right, input, env)
	if err != nil {
		return nil, err
	}
	switch n.text {
	case "+", "-", "*", "/", "%":
		return arithmetic(n, left, right)
	case "=", "!=":
		if IsUndefined(left) || IsUndefined(right) {
			return false, nil
		}
		same, err := ev.equal(left, right, 0)
		return same == (n.text == "="), err
	case "<", "<=", ">", ">=":
		return compare(n, left, right)
	case "&":
		return ev.concat(left, right)
	case "..":
		return ev.rangeOf(n, left, right)
	}
	return ev.contains(left, right) // in
}

// arithmetic returns Undefined if a side is Undefined. A side of another type than number, or a number that is infinite, is
// an error.
func arithmetic(n *node, left, right any) (any, error) {
	a, isLeft := number(left)
	b, isRight := number(right)
	if err := finite(n, a, b); err != nil {
		return nil, err
	}
	isLeft, isRight = isLeft && !math.IsNaN(a), isRight && !math.IsNaN(b)
	switch {
	case !isLeft && !IsUndefined(left):
		return nil, newError("T2001", n.pos).with("token", n.text).with("value", left)
	case !isRight && !IsUndefined(right):
		return nil, newError("T2002", n.pos).with("token", n.text).with("value", right)
	case !isLeft || !isRight:
		return Undefined, nil
	}
	switch n.text {
	case "+":
		return a + b, nil
	case "-":
		return a - b, nil
	case "*":
		return a * b, nil
	case "/":
		return a / b, nil
	}
	return math.Mod(a, b), nil
}

// finite returns an error for a number that is infinite.
func finite(n *node, numbers ...float64) error {
	for _, f := range numbers {
		if math.IsInf(f, 0) {
			return newError("D1001", n.pos).with("value", f)
		}
	}
	return nil
}

// compare evaluates <, <=, > and >= for two numbers or two strings.
func compare(n *node, left, right any) (any, error) {
	for _, v := range []any{left, right} {
		if _, isText := v.(string); !isText && !isNumber(v) && !IsUndefined(v) {
			return nil, newError("T2010", n.pos).with("token", n.text).with("value", v)
		}
	}
	if IsUndefined(left) || IsUndefined(right) {
		return Undefined, nil
	}
	a, isNumber := number(left)
	b, isNumber2 := number(right)
	if isNumber != isNumber2 {
		return nil, newError("T2009", n.pos).with("token", n.text).with("value", left).with("value2", right)
	}
	before, after := a < b, a > b
	if !isNumber {
		s, t := left.(string), right.(string)
		before, after = less(s, t), less(t, s)
	}
	switch n.text {
	case "<":
		return before, nil
	case "<=":
		return before || !after && (!isNumber || a == b), nil
	case ">":
		return after, nil
	}
	return after || !before && (!isNumber || a == b), nil
}

// concat evaluates &: both sides are converted to strings.
func (ev *evaluator) concat(left, right any) (any, error) {
	a, err := ev.text(left)
	if err != nil {
		return nil, err
	}
	b, err := ev.text(right)
	if err != nil {
		return nil, err
	}
	if err := ev.chargeText(len(a) + len(b)); err != nil {
		return nil, err
	}
	return a + b, nil
}

// maxRange is the maximum length of a range in the reference implementation. rangeBytes are charged while a range is built, so that
// a limit of 20 MiB allows the same range as Step Functions: 873,782 numbers.
const (
	maxRange   = 10_000_000
	rangeBytes = 752
)

// rangeOf evaluates a..b for integers.
func (ev *evaluator) rangeOf(n *node, left, right any) (any, error) {
	a, isLeft := number(left)
	b, isRight := number(right)
	switch {
	case !IsUndefined(left) && !(isLeft && a == math.Trunc(a) && !math.IsInf(a, 0)):
		return nil, newError("T2003", n.pos).with("value", left)
	case !IsUndefined(right) && !(isRight && b == math.Trunc(b) && !math.IsInf(b, 0)):
		return nil, newError("T2004", n.pos).with("value", right)
	case !isLeft || !isRight || a > b:
		return Undefined, nil
	}
	size := b - a + 1
	if size > maxRange {
		return nil, newError("D2014", n.pos).with("value", size)
	}
	if err := ev.charge(int64(size)*numberBytes + rangeBytes); err != nil {
		return nil, err
	}
	ev.used -= rangeBytes
	out := make([]any, int(size))
	for i := range out {
		out[i] = a + float64(i)
	}
	return &sequence{items: out}, nil
}

// contains evaluates the operator in.
func (ev *evaluator) contains(left, right any) (any, error) {
	if IsUndefined(left) || IsUndefined(right) {
		return false, nil
	}
	for _, item := range listOf(right) {
		if same, err := ev.equal(left, item, 0); same || err != nil {
			return same, err
		}
	}
	return false, nil
}
