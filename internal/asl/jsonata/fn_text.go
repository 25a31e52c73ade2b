package jsonata

import (
	"encoding/base64"
	"fmt"
	"math"
	"net/url"
	"strings"
	"unicode/utf8"
)

var textFunctions = map[string]builtin{
	"string":             {"x-b?:s", 1, stringFunc},
	"length":             {"s-:n", 1, onText(lengthFunc)},
	"substring":          {"s-nn?:s", 3, onText(substringFunc)},
	"substringBefore":    {"s-s:s", 2, onText(substringBeforeFunc)},
	"substringAfter":     {"s-s:s", 2, onText(substringAfterFunc)},
	"uppercase":          {"s-:s", 1, onText(mapText(strings.ToUpper))},
	"lowercase":          {"s-:s", 1, onText(mapText(strings.ToLower))},
	"trim":               {"s-:s", 1, onText(mapText(trim))},
	"pad":                {"s-ns?:s", 3, onText(padFunc)},
	"join":               {"a<s>s?:s", 2, onList(joinFunc)},
	"base64encode":       {"s-:s", 1, onText(base64encodeFunc)},
	"base64decode":       {"s-:s", 1, onText(base64decodeFunc)},
	"encodeUrlComponent": {"s-:s", 1, onText(encodeFunc(componentMarks))},
	"encodeUrl":          {"s-:s", 1, onText(encodeFunc(urlMarks))},
	"decodeUrlComponent": {"s-:s", 1, onText(decodeFunc(""))},
	"decodeUrl":          {"s-:s", 1, onText(decodeFunc(reservedMarks))},
}

// stringFunc converts a value to a string: with true as its second argument, as indented JSON.
func stringFunc(c *Call, args []any) (any, error) {
	v := args[0]
	if IsUndefined(v) {
		return Undefined, nil
	}
	if s, ok := v.(*sequence); ok && s.outer {
		v = s.items[0]
	}
	if pretty, _ := args[1].(bool); pretty {
		switch v.(type) {
		case string, *Function, float64:
		default:
			w := jsonWriter{ev: c.evaluator, indent: true}
			err := w.write(v, 0)
			return string(w.out), err
		}
	}
	return c.text(v)
}

func lengthFunc(_ *Call, s string, _ []any) (any, error) {
	return float64(utf8.RuneCountInString(s)), nil
}

// substringFunc counts characters; a negative start counts from the end.
func substringFunc(c *Call, s string, args []any) (any, error) {
	runes := utf8.RuneCountInString(s)
	n := float64(runes)
	start := numberOr(args[1], math.NaN())
	if n+start < 0 {
		start = 0
	}
	end := n
	if length, ok := number(args[2]); ok {
		if !(length > 0) {
			return "", nil
		}
		end = start + length
		if start < 0 {
			end += n
		}
	}
	return s[runeIndex(s, sliceIndex(start, n), runes):runeIndex(s, max(sliceIndex(start, n), sliceIndex(end, n)), runes)],
		c.step(len(s) >> 6)
}

// sliceIndex returns an index as JavaScript's slice interprets it.
func sliceIndex(f, n float64) int {
	f = math.Trunc(f)
	if f < 0 {
		f += n
	}
	if math.IsNaN(f) {
		return 0
	}
	return int(max(0, min(f, n)))
}

// runeIndex returns the byte offset of a character in a string, which has a number of characters (runes).
func runeIndex(s string, index, runes int) int {
	if runes == len(s) { // all characters are one byte long
		return index
	}
	for i := range s {
		if index == 0 {
			return i
		}
		index--
	}
	return len(s)
}

func substringBeforeFunc(_ *Call, s string, args []any) (any, error) {
	before, _, _ := strings.Cut(s, textOr(args[1], "undefined"))
	return before, nil
}

func substringAfterFunc(_ *Call, s string, args []any) (any, error) {
	if _, after, found := strings.Cut(s, textOr(args[1], "undefined")); found {
		return after, nil
	}
	return s, nil
}

func mapText(f func(string) string) func(*Call, string, []any) (any, error) {
	return func(c *Call, s string, _ []any) (any, error) {
		if err := c.chargeText(len(s)); err != nil {
			return nil, err
		}
		return f(s), nil
	}
}

// trim replaces each run of white space by one space, and removes white space at the ends.
func trim(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; c {
		case ' ', '\t', '\n', '\r':
		default:
			if b.Len() > 0 && strings.IndexByte(" \t\n\r", s[i-1]) >= 0 {
				b.WriteByte(' ')
			}
			b.WriteByte(c)
		}
	}
	return b.String()
}

// maxPad is the maximum number of characters that $pad adds. Step Functions rejects one more, whatever the length of the
// string.
const maxPad = 262_144

// padFunc pads a string to a width, on the left if the width is negative.
func padFunc(c *Call, s string, args []any) (any, error) {
	width := math.Trunc(numberOr(args[1], 0))
	missing := math.Abs(width) - float64(utf8.RuneCountInString(s))
	if !(missing > 0) {
		return s, nil
	}
	unit := textOr(args[2], " ")
	if unit == "" {
		unit = " "
	}
	runes := utf8.RuneCountInString(unit)
	size := missing / float64(runes) * float64(len(unit))
	if missing > maxPad || size > math.MaxInt32 {
		return nil, &LimitError{Limit: LimitMemory}
	}
	if err := c.chargeText(int(size) + len(unit) + len(s)); err != nil {
		return nil, err
	}
	n := int(missing)
	padding := strings.Repeat(unit, n/runes) + unit[:runeIndex(unit, n%runes, runes)]
	if width < 0 {
		return padding + s, nil
	}
	return s + padding, nil
}

func joinFunc(c *Call, list, args []any) (any, error) {
	separator := textOr(args[1], "")
	size := 0
	texts := make([]string, len(list))
	for i, item := range list {
		texts[i], _ = item.(string)
		size += len(texts[i]) + len(separator)
	}
	if err := c.chargeText(size + 8*len(list)); err != nil {
		return nil, err
	}
	return strings.Join(texts, separator), nil
}

func base64encodeFunc(c *Call, s string, _ []any) (any, error) {
	if err := c.chargeText(base64.StdEncoding.EncodedLen(len(s))); err != nil {
		return nil, err
	}
	return base64.StdEncoding.EncodeToString([]byte(s)), nil
}

// base64decodeFunc accepts strings with and without padding.
func base64decodeFunc(c *Call, s string, _ []any) (any, error) {
	if err := c.chargeText(len(s)); err != nil {
		return nil, err
	}
	data, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
	if err != nil {
		return nil, fmt.Errorf("base64decode: %w", err) // the reference implementation accepts this, Step Functions does not
	}
	return strings.ToValidUTF8(string(data), "\uFFFD"), nil
}

// Characters that URL encoding does not change, in addition to letters and digits.
const (
	componentMarks = "-_.!~*'()"
	reservedMarks  = ";/?:@&=+$,#"
	urlMarks       = componentMarks + reservedMarks
)

// encodeFunc returns a function that percent-encodes everything except letters, digits and marks.
func encodeFunc(marks string) func(*Call, string, []any) (any, error) {
	return func(c *Call, s string, _ []any) (any, error) {
		if strings.ContainsRune(s, utf8.RuneError) {
			return nil, newError("D3140", -1).with("value", s).with("functionName", c.Name)
		}
		if err := c.chargeText(3 * len(s)); err != nil {
			return nil, err
		}
		var b strings.Builder
		for i := range len(s) {
			ch := s[i]
			if ch >= 'a' && ch <= 'z' || ch >= 'A' && ch <= 'Z' || isDigit(ch) || strings.IndexByte(marks, ch) >= 0 {
				b.WriteByte(ch)
			} else {
				b.WriteByte('%')
				b.WriteByte("0123456789ABCDEF"[ch>>4])
				b.WriteByte("0123456789ABCDEF"[ch&15])
			}
		}
		return b.String(), nil
	}
}

// decodeFunc does not decode the characters in keep: in a complete URL, that would change its meaning.
func decodeFunc(keep string) func(*Call, string, []any) (any, error) {
	return func(c *Call, s string, _ []any) (any, error) {
		if err := c.chargeText(2 * len(s)); err != nil {
			return nil, err
		}
		encoded := s
		for _, mark := range keep {
			hex := "%" + strings.ToUpper(string("0123456789abcdef"[mark>>4])+string("0123456789abcdef"[mark&15]))
			encoded = strings.ReplaceAll(encoded, hex, "%25"+hex[1:])
			encoded = strings.ReplaceAll(encoded, strings.ToLower(hex), "%25"+strings.ToLower(hex[1:]))
		}
		out, err := url.PathUnescape(encoded)
		if err != nil || !utf8.ValidString(out) {
			return nil, newError("D3140", -1).with("value", s).with("functionName", c.Name)
		}
		return out, nil
	}
}
