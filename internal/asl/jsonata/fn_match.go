package jsonata

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rayorch/rayorch/internal/value"
)

var matchFunctions = map[string]builtin{
	"contains": {"s-(sf):b", 2, onText(containsFunc)},
	"match":    {"s-f<s:o>n?:a<o>", 3, onText(matchFunc)},
	"replace":  {"s-(sf)(sf)n?:s", 4, onText(replaceFunc)},
	"split":    {"s-(sf)n?:a<s>", 3, onText(splitFunc)},
}

func containsFunc(c *Call, s string, args []any) (any, error) {
	f, ok := args[1].(*Function)
	if !ok {
		return strings.Contains(s, textOr(args[1], "undefined")), nil
	}
	m, err := c.matcher(f, s)
	return m != nil, err
}

// limitOf returns the maximum number of matches that a function handles; -1 for no limit.
func limitOf(v any, code string, index int) (limit float64, err error) {
	limit = numberOr(v, -1)
	if !IsUndefined(v) && limit < 0 {
		return 0, ArgumentError(code, index, v)
	}
	return limit, nil
}

// eachMatch visits the matches in a string, at most limit of them. A negative limit means no limit.
func (c *Call) eachMatch(f *Function, s string, limit float64, visit func(*match) error) error {
	if limit == 0 {
		return nil
	}
	m, err := c.matcher(f, s)
	for n := 0.0; m != nil && err == nil && (limit < 0 || n < limit); n++ {
		if err = visit(m); err == nil {
			err = c.step(1)
		}
		if err == nil {
			m, err = m.next()
		}
	}
	return err
}

// matchFunc returns an object for each match: its text, its index in UTF-16 units, and its groups.
func matchFunc(c *Call, s string, args []any) (any, error) {
	limit, err := limitOf(args[2], "D3040", 3)
	if err != nil {
		return nil, err
	}
	out := &sequence{}
	at, units := 0, 0 // the start of the last match, in bytes and in UTF-16 units
	err = c.eachMatch(args[1].(*Function), s, limit, func(m *match) error {
		if m.start < at {
			at, units = 0, 0
		}
		units += utf16Len(s[at:m.start])
		at = m.start
		o := value.NewObject(3)
		o.Set("match", m.text)
		o.Set("index", float64(units))
		o.Set("groups", m.groups)
		out.items = append(out.items, o)
		return c.charge(m.bytes() + itemBytes)
	})
	return out, err
}

// splitFunc splits a string at a separator or a pattern into at most limit parts.
func splitFunc(c *Call, s string, args []any) (any, error) {
	limit, err := limitOf(args[2], "D3020", 3)
	if err != nil {
		return nil, err
	}
	out := []any{}
	add := func(part string) error {
		out = append(out, part)
		return c.charge(2 * itemBytes)
	}
	f, ok := args[1].(*Function)
	if !ok {
		err := c.splitText(s, textOr(args[1], "undefined"), limit, &out)
		return out, err
	}
	if limit == 0 {
		return out, nil
	}
	from := 0
	err = c.eachMatch(f, s, limit, func(m *match) error {
		part := s[min(from, m.start):m.start]
		from = m.end
		return add(part)
	})
	if err == nil && (limit < 0 || float64(len(out)) < limit) {
		err = add(s[from:])
	}
	return out, err
}

// splitText splits at a separator, or between all characters if the separator is empty.
func (c *Call) splitText(s, separator string, limit float64, out *[]any) error {
	if s == "" && separator == "" {
		return nil
	}
	limit = math.Trunc(limit)
	for limit < 0 || float64(len(*out)) < limit {
		part, rest, found := strings.Cut(s, separator)
		if separator == "" {
			_, size := utf8.DecodeRuneInString(s)
			part, rest, found = s[:size], s[size:], size < len(s)
		}
		*out = append(*out, part)
		if err := c.charge(2 * itemBytes); err != nil || !found {
			return err
		}
		s = rest
	}
	return nil
}

// replaceFunc replaces the matches of a string or a pattern, at most limit of them.
func replaceFunc(c *Call, s string, args []any) (any, error) {
	if args[1] == "" {
		return nil, ArgumentError("D3010", 2, args[1])
	}
	limit, err := limitOf(args[3], "D3011", 4)
	if err != nil {
		return nil, err
	}
	pattern, ok := args[1].(*Function)
	if !ok {
		return c.replaceText(s, textOr(args[1], "undefined"), args[2], limit)
	}
	var b strings.Builder
	from := 0
	err = c.eachMatch(pattern, s, limit, func(m *match) error {
		with, err := c.replacement(args[2], m, s)
		if err != nil {
			return err
		}
		before := s[min(from, m.start):m.start]
		if err := c.chargeText(len(before) + len(with)); err != nil {
			return err
		}
		b.WriteString(before)
		b.WriteString(with)
		from = min(len(s), m.start+len(m.text))
		return nil
	})
	if err != nil {
		return nil, err
	}
	b.WriteString(s[from:])
	return b.String(), c.chargeText(len(s) - from)
}

// replaceText replaces a string. $ has no special meaning in the replacement.
func (c *Call) replaceText(s, old string, with any, limit float64) (any, error) {
	text, ok := with.(string)
	if !ok {
		return nil, newError("D3012", -1).with("value", with)
	}
	n := strings.Count(s, old)
	if limit >= 0 && limit < float64(n) {
		n = int(limit)
	}
	if err := c.charge(charBytes * (int64(len(s)) + int64(n)*int64(len(text)-len(old)))); err != nil {
		return nil, err
	}
	return strings.Replace(s, old, text, n), nil
}

// replacement returns the replacement of a match: the result of a function, or a string in which $1 and similar references
// are expanded.
func (c *Call) replacement(with any, m *match, s string) (string, error) {
	f, ok := with.(*Function)
	if !ok {
		return c.expand(textOr(with, ""), m)
	}
	v, err := c.invoke(f, []any{m.object(s)}, nil, c.env)
	if err != nil {
		return "", err
	}
	text, ok := v.(string)
	if !ok {
		return "", newError("D3012", -1).with("value", v)
	}
	return text, nil
}

// expand inserts groups into a replacement: $0 is the match, $$ a dollar sign.
func (c *Call) expand(with string, m *match) (string, error) {
	if !strings.Contains(with, "$") {
		return with, nil
	}
	var b strings.Builder
	digits := len(strconv.Itoa(max(1, len(m.groups))))
	for {
		before, rest, found := strings.Cut(with, "$")
		b.WriteString(before)
		if !found {
			return b.String(), c.step(b.Len() >> 6)
		}
		text, size := m.reference(rest, digits)
		if err := c.chargeText(len(text)); err != nil {
			return "", err
		}
		b.WriteString(text)
		with = rest[size:]
	}
}

// reference returns the replacement of a dollar sign and the characters after it, and the number of bytes of rest that it
// replaces.
func (m *match) reference(rest string, digits int) (text string, size int) {
	switch {
	case strings.HasPrefix(rest, "$"):
		return "$", 1
	case strings.HasPrefix(rest, "0"):
		return m.text, 1
	}
	for size < len(rest) && size < digits && isDigit(rest[size]) {
		size++
	}
	if size == 0 {
		return "$", 0
	}
	n, _ := strconv.Atoi(rest[:size])
	if size > 1 && n > len(m.groups) {
		size--
		n, _ = strconv.Atoi(rest[:size])
	}
	if n >= 1 && n <= len(m.groups) {
		text = textOr(m.groups[n-1], "")
	}
	return text, size
}
