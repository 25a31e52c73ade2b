package value

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Append appends v as compact JSON to dst. Keys keep their order, and only what JSON requires is escaped.
func Append(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return strconv.AppendBool(dst, v)
	case Number:
		return appendNumber(dst, string(v))
	case string:
		return AppendString(dst, v)
	case []any:
		dst = append(dst, '[')
		for i, item := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = Append(dst, item)
		}
		return append(dst, ']')
	case *Object:
		dst = append(dst, '{')
		for i := range v.Len() {
			if i > 0 {
				dst = append(dst, ',')
			}
			k, item := v.At(i)
			dst = append(AppendString(dst, k), ':')
			dst = Append(dst, item)
		}
		return append(dst, '}')
	}
	panic(fmt.Sprintf("value: %T is not a JSON value: convert it with FromGo", v))
}

// appendNumber writes a number as Step Functions does. A number with a fraction or an exponent is a double there: 1.00
// becomes 1.0, and 1e3 becomes 1000.0. Integers keep their digits. So do fractions that Java would write with an exponent,
// for which there is no recording.
func appendNumber(dst []byte, text string) []byte {
	if text == "-0" {
		return append(dst, '0')
	}
	if strings.ContainsAny(text, "eE") {
		return appendScientific(dst, text)
	}
	if point := strings.IndexByte(text, '.'); point >= 0 {
		kept := strings.TrimRight(text[point+2:], "0")
		text = text[:point+2+len(kept)]
	}
	return append(dst, text...)
}

// appendScientific writes a number that has an exponent, in the format of Java's Double.toString.
func appendScientific(dst []byte, text string) []byte {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return append(dst, text...) // too large for a double: unchanged
	}
	if abs := math.Abs(f); abs == 0 || abs >= 1e-3 && abs < 1e7 {
		shown := strconv.AppendFloat(nil, f, 'f', -1, 64)
		if bytes.IndexByte(shown, '.') < 0 {
			shown = append(shown, ".0"...)
		}
		return append(dst, shown...)
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'E', -1, 64), "E")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	power, _ := strconv.Atoi(exponent) // removes the sign and padding of Go's format
	return strconv.AppendInt(append(append(dst, mantissa...), 'E'), int64(power), 10)
}

// Len returns the length of v as compact JSON, in bytes. It stops counting when the length exceeds most: a value can contain
// the same part many times, so that its JSON can be much larger than the value in memory.
func Len(v any, most int) int {
	left := most
	within(v, &left)
	return most - left
}

// within subtracts the length of v from left, and stops when left is negative.
func within(v any, left *int) {
	switch v := v.(type) {
	case string:
		*left -= textLen(v)
	case []any:
		*left -= 1 + max(1, len(v))
		for i := 0; i < len(v) && *left >= 0; i++ {
			within(v[i], left)
		}
	case *Object:
		*left -= 1 + max(1, v.Len())
		for i := 0; i < v.Len() && *left >= 0; i++ {
			k, item := v.At(i)
			*left -= textLen(k) + 1
			within(item, left)
		}
	default:
		var scratch [32]byte
		*left -= len(Append(scratch[:0], v))
	}
}

// textLen returns the length of a string in the format of AppendString.
func textLen(s string) int {
	n := len(s) + 2
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"', c == '\\', c == '\n', c == '\r', c == '\t', c == '\b', c == '\f':
			n++
		case c < 0x20:
			n += 5
		}
	}
	return n
}

// Bytes returns v as compact JSON.
func Bytes(v any) []byte { return Append(nil, v) }

// Text returns v as compact JSON, in a string.
func Text(v any) string { return string(Append(nil, v)) }

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string to dst.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(append(dst, s[from:]...), '"')
}

// FromGo converts Go data to a value: the types that encoding/json decodes into any, integers, floats, lists and maps of
// strings, and values themselves. Keys of maps are sorted. It panics on other types, because its arguments are created in
// code.
func FromGo(v any) any {
	switch v := v.(type) {
	case nil, bool, string, Number, *Object:
		return v
	case json.Number:
		return Number(v)
	case int:
		return Int(int64(v))
	case int64:
		return Int(v)
	case float64:
		return Float(v)
	case []string:
		out := make([]any, len(v))
		for i, s := range v {
			out[i] = s
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = FromGo(item)
		}
		return out
	case map[string]string:
		o := NewObject(len(v))
		for _, k := range sortedKeys(v) {
			o.Set(k, v[k])
		}
		return o
	case map[string]any:
		o := NewObject(len(v))
		for _, k := range sortedKeys(v) {
			o.Set(k, FromGo(v[k]))
		}
		return o
	}
	panic(fmt.Sprintf("value: cannot convert %T", v))
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Int returns an integer as a value.
func Int(n int64) Number { return Number(strconv.FormatInt(n, 10)) }

// Float returns a number as a value, in the format of JavaScript: no fraction for an integer, and an exponent only from 1e21
// or below 1e-6. Infinity and NaN do not exist in JSON and become 0.
func Float(f float64) Number {
	switch abs := math.Abs(f); {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return "0"
	case abs != 0 && (abs < 1e-6 || abs >= 1e21):
		return Number(strconv.FormatFloat(f, 'e', -1, 64))
	}
	return Number(strconv.FormatFloat(f, 'f', -1, 64))
}

// Double returns a number that always has a fraction, like a double in Java: 1.0.
func Double(f float64) Number {
	n := Float(f)
	if !strings.ContainsAny(string(n), ".e") {
		n += ".0"
	}
	return n
}

// Float64 returns the nearest float64.
func (n Number) Float64() float64 {
	f, _ := strconv.ParseFloat(string(n), 64)
	return f
}

// Int64 returns the number as an integer; false if it has a fraction or does not fit. 1e2 and 2.0 are integers.
func (n Number) Int64() (int64, bool) {
	if i, err := strconv.ParseInt(string(n), 10, 64); err == nil {
		return i, true
	}
	f, err := strconv.ParseFloat(string(n), 64)
	if err != nil || f != float64(int64(f)) || f > 1<<62 || f < -(1<<62) {
		return 0, false
	}
	return int64(f), true
}

// Equal compares two values: numbers by their numeric value, objects regardless of the order of their keys.
func Equal(a, b any) bool {
	switch a := a.(type) {
	case Number:
		b, ok := b.(Number)
		return ok && (a == b || a.equal(b))
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !Equal(a[i], b[i]) {
				return false
			}
		}
		return true
	case *Object:
		b, ok := b.(*Object)
		if !ok || a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			k, v := a.At(i)
			if w, ok := b.Get(k); !ok || !Equal(v, w) {
				return false
			}
		}
		return true
	}
	return a == b
}

// equal compares integers of up to 64 bits exactly, and other numbers as float64.
func (n Number) equal(m Number) bool {
	i, err1 := strconv.ParseInt(string(n), 10, 64)
	j, err2 := strconv.ParseInt(string(m), 10, 64)
	if err1 == nil && err2 == nil {
		return i == j
	}
	return n.Float64() == m.Float64()
}

// ToGo converts a value to the types that encoding/json decodes into any: maps, float64 and so on.
func ToGo(v any) any {
	switch v := v.(type) {
	case Number:
		return v.Float64()
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = ToGo(item)
		}
		return out
	case *Object:
		out := make(map[string]any, v.Len())
		for i := range v.Len() {
			k, item := v.At(i)
			out[k] = ToGo(item)
		}
		return out
	}
	return v
}
