package expr

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/rayorch/rayorch/internal/value"
)

// Step Functions is written in Java, which is visible in a few results: States.Format prints objects like Java's maps, and
// States.ArrayUnique has the order of Java's hash sets. The functions in this file reproduce such results.

// javaText formats a value like Java's String.valueOf: {Id=1, Tags=[a, b]}.
func javaText(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return string(appendJava(nil, v))
}

// appendJava does not quote strings, so that the text is ambiguous.
func appendJava(b []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return append(b, v...)
	case []any:
		b = append(b, '[')
		for i, item := range v {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = appendJava(b, item)
		}
		return append(b, ']')
	case *value.Object:
		b = append(b, '{')
		for i := range v.Len() {
			if i > 0 {
				b = append(b, ", "...)
			}
			k, item := v.At(i)
			b = append(append(b, k...), '=')
			b = appendJava(b, item)
		}
		return append(b, '}')
	}
	return value.Append(b, v)
}

// utf16Len returns a string's length as Java and JavaScript count it. Limits of Step Functions are in this unit.
func utf16Len(s string) int {
	n := 0
	for _, r := range s {
		n += utf16.RuneLen(r)
	}
	return n
}

// javaSet returns the distinct items of an array in the iteration order of a java.util.HashSet.
func javaSet(items []any) []any {
	type entry struct {
		bucket uint32
		v      any
	}
	buckets := uint32(16)
	for float64(buckets) < float64(len(items))/0.75+1 {
		buckets *= 2
	}
	seen := make(map[string]bool, len(items))
	entries := make([]entry, 0, len(items))
	for _, v := range items {
		key := string(appendKey(nil, v))
		if seen[key] {
			continue
		}
		seen[key] = true
		h := uint32(javaHash(v))
		entries = append(entries, entry{(h ^ h>>16) & (buckets - 1), v})
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return cmp.Compare(a.bucket, b.bucket) })
	out := make([]any, len(entries))
	for i, e := range entries {
		out[i] = e.v
	}
	return out
}

// appendKey appends a text that is equal exactly for equal values. The order of an object's keys does not matter.
func appendKey(b []byte, v any) []byte {
	switch v := v.(type) {
	case value.Number:
		if i, ok := integer(v); ok {
			return strconv.AppendInt(b, i, 10)
		}
		return append(strconv.AppendFloat(b, v.Float64(), 'g', -1, 64), 'f')
	case []any:
		b = append(b, '[')
		for _, item := range v {
			b = append(appendKey(b, item), ',')
		}
		return append(b, ']')
	case *value.Object:
		keys := append([]string{}, v.Keys()...)
		slices.Sort(keys)
		b = append(b, '{')
		for _, k := range keys {
			item, _ := v.Get(k)
			b = append(value.AppendString(b, k), ':')
			b = append(appendKey(b, item), ',')
		}
		return append(b, '}')
	}
	return value.Append(b, v)
}

// integer parses a number that Java represents as an integer: without a fraction or exponent, and within 64 bits.
func integer(n value.Number) (int64, bool) {
	if strings.ContainsAny(string(n), ".eE") {
		return 0, false
	}
	i, err := strconv.ParseInt(string(n), 10, 64)
	return i, err == nil
}

// javaHash returns the hashCode of the Java object that represents v in Step Functions.
func javaHash(v any) int32 {
	switch v := v.(type) {
	case bool:
		if v {
			return 1231
		}
		return 1237
	case value.Number:
		return javaNumberHash(v)
	case string:
		h := int32(0)
		for _, u := range utf16.Encode([]rune(v)) {
			h = 31*h + int32(u)
		}
		return h
	case []any:
		h := int32(1)
		for _, item := range v {
			h = 31*h + javaHash(item)
		}
		return h
	case *value.Object:
		h := int32(0)
		for i := range v.Len() {
			k, item := v.At(i)
			h += javaHash(k) ^ javaHash(item)
		}
		return h
	}
	return 0
}

// javaNumberHash returns the hashCode of an Integer, a Long or a Double, the first of these that can represent the number.
func javaNumberHash(n value.Number) int32 {
	i, ok := integer(n)
	if !ok {
		i = int64(math.Float64bits(n.Float64()))
	} else if i == int64(int32(i)) {
		return int32(i)
	}
	return int32(i ^ int64(uint64(i)>>32))
}

// javaRandom returns the first nextDouble of a java.util.Random with this seed.
func javaRandom(seed int64) float64 {
	const multiplier, increment, mask = 0x5DEECE66D, 0xB, 1<<48 - 1
	state := (uint64(seed) ^ multiplier) & mask
	next := func(bits int) uint64 {
		state = (state*multiplier + increment) & mask
		return state >> (48 - bits)
	}
	return float64(next(26)<<27+next(27)) / (1 << 53)
}
