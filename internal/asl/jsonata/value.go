package jsonata

import (
	"math"
	"strconv"

	"github.com/rayorch/rayorch/internal/value"
)

// In an evaluation a value is one of: nil (null), undefinedType, bool, string, float64 or value.Number, []any or *sequence,
// *value.Object, *Function. A number of the input stays a value.Number, which keeps its text, until it is used in a computation;
// computed numbers are float64.

type undefinedType struct{}

// Undefined is the result of an expression that finds nothing.
var Undefined any = undefinedType{}

// IsUndefined reports whether a value is Undefined.
func IsUndefined(v any) bool {
	_, ok := v.(undefinedType)
	return ok
}

// sequence is a list of results, or an array with flags. A list with one result is equivalent to that result, unless keep is
// set.
type sequence struct {
	items []any
	keep  bool // a single result stays in a list
	array bool // an array that was constructed, not a list of results
	cons  bool // is not flattened when lists are joined
	outer bool // wraps an input that is an array
}

// items returns the items of an array or of a list of results.
func items(v any) ([]any, bool) {
	switch v := v.(type) {
	case []any:
		return v, true
	case *sequence:
		return v.items, true
	}
	return nil, false
}

// listOf returns the items of a list, and a list with one item for any other value.
func listOf(v any) []any {
	if list, ok := items(v); ok {
		return list
	}
	return []any{v}
}

// Items returns the items of an array, for native functions.
func Items(v any) ([]any, bool) { return items(v) }

// Number returns a value as a number, for native functions.
func Number(v any) (float64, bool) { return number(v) }

// results returns a value as a list of results, if it is one.
func results(v any) (*sequence, bool) {
	s, ok := v.(*sequence)
	return s, ok && !s.array
}

// isNumber reports whether a value is a number, from the input or computed.
func isNumber(v any) bool {
	switch v.(type) {
	case float64, value.Number:
		return true
	}
	return false
}

// number returns a value as a number for computations.
func number(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case value.Number:
		return v.Float64(), true
	}
	return 0, false
}

// allNumbers returns the items of a list that holds only numbers.
func allNumbers(v any) ([]float64, bool) {
	list, ok := items(v)
	if !ok {
		return nil, false
	}
	out := make([]float64, len(list))
	for i, item := range list {
		if out[i], ok = number(item); !ok {
			return nil, false
		}
	}
	return out, true
}

// truth converts a value to a boolean, as a condition does. Undefined and functions are false.
func (ev *evaluator) truth(v any) (bool, error) {
	switch v := v.(type) {
	case bool:
		return v, nil
	case string:
		return v != "", nil
	case float64:
		return v != 0 && !math.IsNaN(v), nil
	case value.Number:
		return v.Float64() != 0, nil
	case *value.Object:
		return v.Len() > 0, nil
	}
	list, _ := items(v)
	for _, item := range list {
		if err := ev.step(1); err != nil {
			return false, err
		}
		if yes, err := ev.truth(item); yes || err != nil {
			return yes, err
		}
	}
	return false, nil
}

// maxValueDepth is the maximum nesting of values into which functions recurse.
const maxValueDepth = 10_000

// equal compares two values: numbers numerically, objects regardless of the order of their keys.
func (ev *evaluator) equal(a, b any, depth int) (bool, error) {
	if err := ev.step(1); err != nil {
		return false, err
	}
	if depth > maxValueDepth {
		return false, &LimitError{Limit: LimitMemory}
	}
	if x, ok := number(a); ok {
		y, ok := number(b)
		return ok && x == y, nil
	}
	if x, ok := items(a); ok {
		y, ok := items(b)
		if !ok || len(x) != len(y) {
			return false, nil
		}
		for i := range x {
			if same, err := ev.equal(x[i], y[i], depth+1); !same || err != nil {
				return false, err
			}
		}
		return true, nil
	}
	if x, ok := a.(*value.Object); ok {
		y, ok := b.(*value.Object)
		if !ok || x.Len() != y.Len() {
			return false, nil
		}
		return ev.equalFields(x, y, depth)
	}
	switch b.(type) {
	case []any, *sequence:
		return false, nil
	}
	return a == b, nil
}

func (ev *evaluator) equalFields(x, y *value.Object, depth int) (bool, error) {
	for i := range x.Len() {
		k, v := x.At(i)
		w, ok := y.Get(k)
		if !ok {
			return false, nil
		}
		if same, err := ev.equal(v, w, depth+1); !same || err != nil {
			return false, err
		}
	}
	return true, nil
}

// less compares strings as JavaScript and Java do: by UTF-16 units.
func less(a, b string) bool {
	for i := 0; i < len(a) && i < len(b); i++ {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		// Bytes compare like UTF-16 units, except for code points beyond 16 bits (0xF0 and up), which come before U+E000.
		if x >= 0xEE && y >= 0xEE && (x >= 0xF0) != (y >= 0xF0) {
			return x >= 0xF0
		}
		return x < y
	}
	return len(a) < len(b)
}

// Approximate sizes of values in bytes, as the memory limit counts them.
const (
	charBytes   = 2 // as in Java
	itemBytes   = 16
	numberBytes = 24
	objectBytes = 96
	fieldBytes  = 40
	frameBytes  = 64
)

// export converts a result to a value of package value, without lists of results, functions and undefined values. Numbers
// that JSON cannot represent become strings, as in Step Functions. defined is false if nothing remains.
func (ev *evaluator) export(v any, depth int) (out any, defined bool, err error) {
	if depth > value.MaxDepth {
		return nil, false, &LimitError{Limit: LimitMemory}
	}
	switch v := v.(type) {
	case nil, bool:
		return v, true, ev.charge(8)
	case string:
		return v, true, ev.chargeText(len(v))
	case value.Number:
		return exportWritten(v), true, ev.charge(numberBytes)
	case float64:
		return exportNumber(v), true, ev.charge(numberBytes)
	case *value.Object:
		out, err := ev.exportObject(v, depth)
		return out, true, err
	}
	list, ok := items(v)
	if !ok {
		return nil, false, nil
	}
	out, err = ev.exportList(list, depth)
	return out, true, err
}

// exportNumber converts a computed number. JSON cannot represent NaN and infinity: they become strings.
func exportNumber(f float64) any {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	case f == 0:
		return value.Number("0") // not -0
	}
	return value.Float(f)
}

// maxWritten is the maximum length of a number that a float can represent without loss, in characters.
const maxWritten = 17

// exportWritten converts a number of the input. Integers that fit in 64 bits keep their digits; longer numbers become
// floats, as in Step Functions.
func exportWritten(n value.Number) any {
	if len(n) <= maxWritten {
		return n
	}
	if _, err := strconv.ParseInt(string(n), 10, 64); err == nil {
		return n
	}
	return exportNumber(n.Float64())
}

// exportList copies a list only if something in it changes.
func (ev *evaluator) exportList(list []any, depth int) (any, error) {
	if err := ev.charge(int64(len(list)) * itemBytes); err != nil {
		return nil, err
	}
	out, same := list[:len(list):len(list)], true
	for i, item := range list {
		v, defined, err := ev.export(item, depth+1)
		if err != nil {
			return nil, err
		}
		if same && defined && identical(v, item) {
			continue
		}
		if same {
			out, same = append(make([]any, 0, len(list)), list[:i]...), false
		}
		if defined {
			out = append(out, v)
		}
	}
	if out == nil {
		out = []any{}
	}
	return out, nil
}

// identical reports whether export returned its input unchanged.
func identical(a, b any) bool {
	switch a := a.(type) {
	case []any:
		b, ok := b.([]any)
		return ok && len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
	case *value.Object:
		return any(a) == b
	case value.Number:
		_, ok := b.(value.Number)
		return ok && any(a) == b
	}
	_, computed := b.(float64)
	return !computed // strings, booleans and null do not change
}

func (ev *evaluator) exportObject(o *value.Object, depth int) (any, error) {
	if err := ev.charge(objectBytes + int64(o.Len())*fieldBytes); err != nil {
		return nil, err
	}
	var out *value.Object
	for i := range o.Len() {
		k, item := o.At(i)
		v, defined, err := ev.export(item, depth+1)
		if err != nil {
			return nil, err
		}
		if out == nil {
			if defined && identical(v, item) {
				continue
			}
			out = value.NewObject(o.Len())
			for j := range i {
				out.Set(o.At(j))
			}
		}
		if defined {
			out.Set(k, v)
		}
	}
	if out == nil {
		return o, nil
	}
	return out, nil
}

// sizer adds up the sizes of values. It stops at a limit, and at a function that was created since mark, because such a
// function holds all values in its scope.
type sizer struct {
	mark, limit, size int64
}

// add adds the size of a value. It returns false if the sizer has stopped.
func (s *sizer) add(v any, depth int) bool {
	switch v := v.(type) {
	case string:
		s.size += int64(len(v)) * charBytes
	case float64:
		s.size += numberBytes
	case *value.Object:
		s.size += objectBytes + int64(v.Len())*fieldBytes
		for i := range v.Len() {
			if _, item := v.At(i); !s.add(item, depth+1) {
				return false
			}
		}
	case *Function:
		return v.born <= s.mark
	default:
		list, _ := items(v)
		s.size += itemBytes + int64(len(list))*itemBytes
		if s.size > s.limit || depth > maxValueDepth {
			return false
		}
		for _, item := range list {
			if !s.add(item, depth+1) {
				return false
			}
		}
	}
	return s.size <= s.limit && depth <= maxValueDepth
}
