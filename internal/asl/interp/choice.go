package interp

import (
	"cmp"
	"errors"
	"strings"
	"time"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/asl/expr"
	"github.com/rayorch/rayorch/internal/value"
)

// choice takes the first rule that matches, in the order of Choices (States Language, "Choice State").
func (r *Run) choice(f *frame) *failure {
	in, fail := r.path(f, f.state.InputPath, f.input)
	if fail != nil {
		return fail
	}
	for i := range f.state.Choices {
		rule := &f.state.Choices[i]
		ok, fail := r.holds(f, rule, in)
		if fail != nil {
			return fail
		}
		if ok {
			return r.choose(f, rule.Next, rule.Output, rule.Assign)
		}
	}
	if f.state.Default == nil {
		// The States Language specifies States.NoChoiceMatched, but Step Functions fails with this error.
		return runtimeFailure(f, "Failed to transition out of the state. The state does not point to a next state.")
	}
	return r.choose(f, f.state.Default, f.state.Output, f.state.Assign)
}

// choose leaves the state through a rule, or through Default. Output and Assign of the rule replace those of the state.
func (r *Run) choose(f *frame, next *asl.State, output, assign asl.Template) *failure {
	var out *data
	var fail *failure
	if f.state.JSONata {
		out, fail = r.jsonataOutput(f, output, nil, nil)
	} else {
		out, fail = r.pathOutput(f, nil)
	}
	if fail != nil {
		return fail
	}
	if out.tooBig() {
		return dataLimit(f.state.Name)
	}
	assigned, fail := r.assign(f, assign, nil, nil)
	if fail != nil {
		return fail
	}
	r.leave(f, out, assigned, next)
	return nil
}

// holds evaluates one rule. A JSONata Condition must give a boolean: other values fail the state, although JSONata itself
// would convert them.
func (r *Run) holds(f *frame, rule *asl.Rule, in *data) (bool, *failure) {
	if rule.Test != nil {
		return r.check(f, rule.Test, in)
	}
	if rule.Condition == nil {
		return rule.Always, nil
	}
	v, err := rule.Condition.Eval(r.scope(f, f.input.value(), onScalar), rule.Location)
	if err != nil {
		return false, r.evalFailure(f, err)
	}
	b, ok := v.(bool)
	if !ok {
		return false, r.evalFailure(f, rule.Condition.WrongType(rule.Location, "boolean", v))
	}
	return b, nil
}

// check evaluates a tree of tests. And and Or stop early, so that IsPresent can guard a later comparison.
func (r *Run) check(f *frame, t *asl.Test, in *data) (bool, *failure) {
	switch {
	case t.Not != nil:
		ok, fail := r.check(f, t.Not, in)
		return !ok, fail
	case t.And != nil:
		return r.checkAll(f, t.And, in, false)
	case t.Or != nil:
		return r.checkAll(f, t.Or, in, true)
	}
	return r.compare(f, t, in)
}

// checkAll evaluates tests until the result of one of them is stop.
func (r *Run) checkAll(f *frame, list []*asl.Test, in *data, stop bool) (bool, *failure) {
	for _, t := range list {
		if ok, fail := r.check(f, t, in); fail != nil || ok == stop {
			return ok, fail
		}
	}
	return !stop, nil
}

// compare evaluates one comparison. If its path matches nothing, IsPresent is false, and any other comparison fails the state
// (recorded).
func (r *Run) compare(f *frame, t *asl.Test, in *data) (bool, *failure) {
	scope := r.scope(f, in.value(), onScalar)
	v, err := t.Variable.Resolve(scope)
	if t.Operator == "IsPresent" {
		present := err == nil && (t.Variable.Definite() || !emptyList(v))
		return present == (t.Value == true), nil
	}
	if err != nil {
		return false, r.choiceFailure(f, t.Variable.Text(), err)
	}
	want := t.Value
	if t.Path != nil {
		if want, err = t.Path.Resolve(scope); err != nil {
			return false, r.choiceFailure(f, t.Path.Text(), err)
		}
	}
	return Compare(strings.TrimSuffix(t.Operator, "Path"), v, want), nil
}

// choiceFailure has a separate message for a path that matches nothing (recorded).
func (r *Run) choiceFailure(f *frame, path string, err error) *failure {
	var missing *expr.NoResultsError
	if errors.As(err, &missing) {
		return runtimeFailure(f, "Invalid path '%s': The choice state's condition path references an invalid value.", path)
	}
	return r.evalFailure(f, err)
}

func emptyList(v any) bool {
	list, ok := v.([]any)
	return ok && len(list) == 0
}

// Compare evaluates one comparison operator of a Choice. A value whose type is not the operator's never matches.
func Compare(operator string, v, want any) bool {
	switch operator {
	case "IsNull":
		return (v == nil) == (want == true)
	case "IsString":
		_, is := v.(string)
		return is == (want == true)
	case "IsBoolean":
		_, is := v.(bool)
		return is == (want == true)
	case "IsNumeric":
		_, is := v.(value.Number)
		return is == (want == true)
	case "IsTimestamp":
		_, is := timestamp(v)
		return is == (want == true)
	case "BooleanEquals":
		a, isA := v.(bool)
		b, isB := want.(bool)
		return isA && isB && a == b
	case "StringMatches":
		a, isA := v.(string)
		b, isB := want.(string)
		return isA && isB && wildcard(b, a)
	}
	return ordered(operator, v, want)
}

// ordered evaluates the operators that compare strings, numbers or timestamps by their order.
func ordered(operator string, v, want any) bool {
	var c int
	switch {
	case strings.HasPrefix(operator, "String"):
		a, isA := v.(string)
		b, isB := want.(string)
		if !isA || !isB {
			return false
		}
		c, operator = strings.Compare(a, b), operator[len("String"):]
	case strings.HasPrefix(operator, "Numeric"):
		a, isA := v.(value.Number)
		b, isB := want.(value.Number)
		if !isA || !isB {
			return false
		}
		c, operator = numbers(a, b), operator[len("Numeric"):]
	default:
		a, isA := timestamp(v)
		b, isB := timestamp(want)
		if !isA || !isB {
			return false
		}
		c, operator = a.Compare(b), strings.TrimPrefix(operator, "Timestamp")
	}
	switch operator {
	case "Equals":
		return c == 0
	case "LessThan":
		return c < 0
	case "GreaterThan":
		return c > 0
	case "LessThanEquals":
		return c <= 0
	case "GreaterThanEquals":
		return c >= 0
	}
	return false
}

// numbers compares integers exactly, and other numbers as float64.
func numbers(a, b value.Number) int {
	if i, ok := a.Int64(); ok {
		if j, ok := b.Int64(); ok {
			return cmp.Compare(i, j)
		}
	}
	return cmp.Compare(a.Float64(), b.Float64())
}

// timestamp parses the operand of a Timestamp comparison: a string in the format of ParseTimestamp; never a number.
func timestamp(v any) (time.Time, bool) {
	s, ok := v.(string)
	if !ok {
		return time.Time{}, false
	}
	return ParseTimestamp(s)
}

// wildcard matches s against a pattern of StringMatches: * stands for any characters, \* for a star and \\ for a backslash.
// It backtracks only to the last star, so that its time is bounded by the product of the lengths.
func wildcard(pattern, s string) bool {
	star, from := -1, 0
	i, j := 0, 0
	for j < len(s) {
		c, next, isStar := token(pattern, i)
		switch {
		case isStar:
			star, from = next, j
			i = next
		case next > i && c == s[j]:
			i, j = next, j+1
		case star >= 0:
			from++
			i, j = star, from
		default:
			return false
		}
	}
	for i < len(pattern) && pattern[i] == '*' {
		i++
	}
	return i == len(pattern)
}

// token reads the character of the pattern at i, and returns the index after it: i itself at the end of the pattern.
func token(pattern string, i int) (c byte, next int, star bool) {
	if i == len(pattern) {
		return 0, i, false
	}
	switch c = pattern[i]; {
	case c == '*':
		return c, i + 1, true
	case c == '\\' && i+1 < len(pattern):
		return pattern[i+1], i + 2, false
	}
	return c, i + 1, false
}
