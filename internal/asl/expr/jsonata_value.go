package expr

import (
	"encoding/json"
	"errors"
	"math"
	"sort"

	"github.com/recolabs/gnata"

	"github.com/rayorch/rayorch/internal/value"
)

// errNoValue says that a result is no JSON value: a function, or nothing.
var errNoValue = errors.New("no value")

// libraryNull is how the library holds JSON's null; nil is "undefined" there.
var libraryNull = func() any {
	v, err := gnata.DecodeJSON([]byte("null"))
	if err != nil {
		panic(err)
	}
	return v
}()

// orderedMap is the library's object, whose type it does not export.
type orderedMap interface {
	Set(key string, v any)
	Get(key string) (any, bool)
	Keys() []string
}

// toLibrary turns a value into what the library evaluates.
func toLibrary(v any) any {
	switch v := v.(type) {
	case nil:
		return libraryNull
	case value.Number:
		return libraryNumber(v)
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = toLibrary(item)
		}
		return out
	case *value.Object:
		m := newOrderedMap()
		for i := range v.Len() {
			k, item := v.At(i)
			m.Set(k, toLibrary(item))
		}
		return m
	}
	return v
}

// libraryNumber keeps the text of whole numbers that fit in 64 bits; larger ones become floating, as they do in Step
// Functions.
func libraryNumber(n value.Number) any {
	if _, ok := integer(n); ok {
		return json.Number(n)
	}
	f := n.Float64()
	if value.Float(f) == n || !math.IsInf(f, 0) && len(n) <= maxFloatText {
		return json.Number(n)
	}
	return f
}

// maxFloatText is the longest text of a number that a float can hold without loss.
const maxFloatText = 17

// fromLibrary turns a result into a value.
func fromLibrary(v any, depth int) (any, error) {
	if depth > value.MaxDepth {
		return nil, errors.New("the result nests too deep")
	}
	switch v := v.(type) {
	case nil:
		return nil, errNoValue
	case bool, string:
		return v, nil
	case json.Number:
		return value.Number(v), nil
	case float64:
		return number(v), nil
	case []any:
		return arrayFromLibrary(v, depth)
	case orderedMap:
		return objectFromLibrary(v.Keys(), func(k string) any { item, _ := v.Get(k); return item }, depth)
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		return objectFromLibrary(keys, func(k string) any { return v[k] }, depth)
	}
	if gnata.IsNull(v) {
		return nil, nil
	}
	return otherFromLibrary(v, depth)
}

// otherFromLibrary takes the library's sequences, whose type is not exported; what then is still unknown is a function.
func otherFromLibrary(v any, depth int) (any, error) {
	switch plain := gnata.NormalizeValue(v).(type) {
	case bool, string, json.Number, float64, []any, map[string]any:
		return fromLibrary(plain, depth+1)
	}
	return nil, errNoValue
}

// number is a result's number. What JSON cannot hold Step Functions gives as a string.
func number(f float64) any {
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

// arrayFromLibrary turns an array; the library may hold null as nil inside one.
func arrayFromLibrary(a []any, depth int) (any, error) {
	out := make([]any, 0, len(a))
	for _, item := range a {
		if item == nil {
			out = append(out, nil)
			continue
		}
		v, err := fromLibrary(item, depth+1)
		if err == errNoValue { //nolint:errorlint // it is never wrapped
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// objectFromLibrary leaves out keys whose value is a function: JSON has none.
func objectFromLibrary(keys []string, get func(string) any, depth int) (any, error) {
	o := value.NewObject(len(keys))
	for _, k := range keys {
		item := get(k)
		if item == nil {
			o.Set(k, nil)
			continue
		}
		v, err := fromLibrary(item, depth+1)
		if err == errNoValue { //nolint:errorlint // it is never wrapped
			continue
		}
		if err != nil {
			return nil, err
		}
		o.Set(k, v)
	}
	return o, nil
}
