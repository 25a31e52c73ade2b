package expr

import (
	"errors"
	"regexp"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// filter is the condition of a filter [?( )]. match reports whether an item matches; e is the evaluation of the path around
// the filter, which has the root and the budget.
type filter interface {
	match(e *pathEval, item any) (bool, error)
}

type (
	filterAnd []filter
	filterOr  []filter
	filterNot struct{ of filter }
	// filterExists tests whether a path matches anything, even null.
	filterExists struct{ of *operand }
	filterCmp    struct {
		op          string
		left, right *operand
	}
)

// operand is one side of a comparison: a path from the item (@), a path from the root ($), or a literal.
type operand struct {
	path     *Path
	fromRoot bool
	literal  any
	regex    *regexp.Regexp
}

// eval returns the operand's value, or false if its path matches nothing.
func (o *operand) eval(e *pathEval, item any) (any, bool, error) {
	if o.path == nil {
		return o.literal, true, nil
	}
	if err := e.spend(1); err != nil {
		return nil, false, err
	}
	from := item
	if o.fromRoot {
		from = e.root
	}
	return o.follow(e, from)
}

// follow evaluates a path inside a filter. It uses the budget of the outer path, so that nested filters are bounded.
func (o *operand) follow(e *pathEval, from any) (any, bool, error) {
	var v any
	var err error
	switch {
	case o.path.function != nil:
		v, err = o.path.evalFunction(from)
	case o.path.definite:
		v, err = o.path.walk(from)
	default:
		inner := pathEval{path: o.path, root: e.root, out: []any{}, budget: e.budget}
		err = inner.run(from, o.path.steps)
		e.budget, v = inner.budget, inner.out
	}
	var missing *NoResultsError
	if errors.As(err, &missing) {
		return nil, false, nil
	}
	return v, err == nil, err
}

func (f filterAnd) match(e *pathEval, item any) (bool, error) {
	for _, part := range f {
		if ok, err := part.match(e, item); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

func (f filterOr) match(e *pathEval, item any) (bool, error) {
	for _, part := range f {
		if ok, err := part.match(e, item); err != nil || ok {
			return ok, err
		}
	}
	return false, nil
}

func (f filterNot) match(e *pathEval, item any) (bool, error) {
	ok, err := f.of.match(e, item)
	return !ok, err
}

func (f filterExists) match(e *pathEval, item any) (bool, error) {
	if f.of.path == nil {
		b, _ := f.of.literal.(bool)
		return b, nil
	}
	_, exists, err := f.of.eval(e, item)
	return exists, err
}

// match compares the operands. A missing operand equals nothing, not even another missing one (Jayway).
func (f *filterCmp) match(e *pathEval, item any) (bool, error) {
	left, leftExists, err := f.left.eval(e, item)
	if err != nil {
		return false, err
	}
	right, rightExists, err := f.right.eval(e, item)
	if err != nil {
		return false, err
	}
	if f.op == "=~" {
		return leftExists && rightExists && matches(left, right, f), nil
	}
	if !leftExists || !rightExists { // a missing value is not equal to anything
		return f.op == "!=" || f.op == "!==" || f.op == "nin" || f.op == "noneof", nil
	}
	return compare(f.op, left, right), nil
}

// matches applies the pattern, which can be on either side, to the text of the other operand.
func matches(left, right any, f *filterCmp) bool {
	re, subject := f.right.regex, left
	if re == nil {
		re, subject = f.left.regex, right
	}
	if re == nil {
		return false
	}
	switch s := subject.(type) {
	case string:
		return re.MatchString(s)
	case value.Number:
		return re.MatchString(string(s))
	case bool:
		return re.MatchString(value.Text(s))
	}
	return false
}

// compare evaluates the operators on single values. Unlike == and !=, the operators === and !== distinguish '1' from 1.
func compare(op string, left, right any) bool {
	switch op {
	case "==":
		return looseEqual(left, right)
	case "!=":
		return !looseEqual(left, right)
	case "===":
		return value.Equal(left, right)
	case "!==":
		return !value.Equal(left, right)
	case "<":
		c, ok := order(left, right)
		return ok && c < 0
	case "<=":
		c, ok := order(left, right)
		return ok && c <= 0
	case ">":
		c, ok := order(left, right)
		return ok && c > 0
	case ">=":
		c, ok := order(left, right)
		return ok && c >= 0
	}
	return compareSets(op, left, right)
}

// looseEqual is Jayway's ==: a number equals a string that contains it.
func looseEqual(a, b any) bool {
	if s, ok := a.(string); ok {
		if n, ok := b.(value.Number); ok {
			return s == string(n)
		}
	}
	if n, ok := a.(value.Number); ok {
		if s, ok := b.(string); ok {
			return s == string(n)
		}
	}
	return value.Equal(a, b)
}

// order compares two numbers or two strings; other values have no order.
func order(a, b any) (int, bool) {
	switch a := a.(type) {
	case value.Number:
		if b, ok := b.(value.Number); ok {
			x, y := a.Float64(), b.Float64()
			switch {
			case x < y:
				return -1, true
			case x > y:
				return 1, true
			}
			return 0, true
		}
	case string:
		if b, ok := b.(string); ok {
			return strings.Compare(a, b), true
		}
	}
	return 0, false
}

// compareSets evaluates the operators on arrays.
func compareSets(op string, left, right any) bool {
	l, leftArray := left.([]any)
	r, rightArray := right.([]any)
	switch op {
	case "in":
		return rightArray && holds(r, left)
	case "nin":
		return !rightArray || !holds(r, left)
	case "contains":
		if s, ok := left.(string); ok {
			sub, ok := right.(string)
			return ok && strings.Contains(s, sub)
		}
		return leftArray && holds(l, right)
	case "size":
		n, ok := length(left)
		return ok && looseEqual(value.Int(int64(n)), right)
	case "empty":
		n, ok := length(left)
		want, isBool := right.(bool)
		return ok && isBool && (n == 0) == want
	case "subsetof":
		return leftArray && rightArray && countIn(l, r) == len(l)
	case "anyof":
		return leftArray && rightArray && countIn(l, r) > 0
	case "noneof":
		return leftArray && rightArray && countIn(l, r) == 0
	case "all":
		return leftArray && rightArray && countIn(r, l) == len(r)
	}
	return false
}

// holds reports whether an array contains a value.
func holds(a []any, v any) bool {
	for _, item := range a {
		if looseEqual(item, v) {
			return true
		}
	}
	return false
}

// countIn counts the elements of a that the array in contains.
func countIn(a, in []any) int {
	n := 0
	for _, v := range a {
		if holds(in, v) {
			n++
		}
	}
	return n
}

// length returns the length of a string (in characters), an array or an object.
func length(v any) (int, bool) {
	switch v := v.(type) {
	case []any:
		return len(v), true
	case *value.Object:
		return v.Len(), true
	case string:
		return len([]rune(v)), true
	}
	return 0, false
}
