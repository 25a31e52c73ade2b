package jsonata

import (
	"errors"
	"unicode/utf16"

	"github.com/rayorch/rayorch/internal/value"
)

// Regex is a compiled JavaScript regular expression. regexParser compiles a pattern to a program, and machine executes it by
// backtracking. The work counts against the limits of the evaluation, so that a pattern with exponential backtracking ends
// with an error.
type Regex struct {
	source    string
	program   []instruction
	groups    int
	marks     int
	fold      bool   // flag i: ignores case
	multiline bool   // flag m: ^ and $ also match at line ends
	anchored  bool   // can match only at the start of a string
	prefix    string // the text with which every match begins
}

// compileRegex compiles a pattern. flags are a combination of i and m.
func compileRegex(pattern, flags string) (*Regex, error) {
	p := regexParser{src: pattern}
	for _, f := range flags {
		p.fold, p.multiline = p.fold || f == 'i', p.multiline || f == 'm'
	}
	p.count()
	p.alternatives()
	if p.err == "" && p.pos < len(pattern) {
		p.fail("has an unmatched parenthesis")
	}
	p.emit(instruction{op: opMatch})
	if p.err != "" {
		return nil, errors.New("the regular expression /" + pattern + "/ " + p.err)
	}
	re := &Regex{source: pattern, program: p.program, groups: p.groups, marks: p.marks, fold: p.fold, multiline: p.multiline}
	re.anchored = re.program[0].op == opBegin && !re.multiline
	re.prefix = re.firstText()
	return re, nil
}

// match is one match in a string, found by a pattern or by a function that replaces a pattern.
type match struct {
	text       string
	start, end int // in bytes
	groups     []any
	next       func() (*match, error)
}

// regexFunction returns a pattern as a value: a function that takes a string.
func regexFunction(re *Regex) *Function { return &Function{regex: re, arity: 2} }

// find returns the first match at or after a position, nil if there is none.
func (ev *evaluator) find(re *Regex, s string, from int) (*match, error) {
	if from > len(s) {
		return nil, nil
	}
	search := machine{ev: ev, re: re, s: s}
	loc, err := search.find(from)
	if loc == nil || err != nil {
		return nil, err
	}
	m := &match{text: s[loc[0]:loc[1]], start: loc[0], end: loc[1], groups: []any{}}
	for i := 2; i < len(loc); i += 2 {
		if loc[i] < 0 {
			m.groups = append(m.groups, Undefined)
		} else {
			m.groups = append(m.groups, s[loc[i]:loc[i+1]])
		}
	}
	m.next = func() (*match, error) {
		if m.end >= len(s) {
			return nil, nil
		}
		next, err := ev.find(re, s, m.end)
		if next != nil && next.text == "" {
			return nil, newError("D1004", -1).with("value", re.source)
		}
		return next, err
	}
	return m, nil
}

// utf16Len returns the length of a string in UTF-16 units, as in JavaScript and Java.
func utf16Len(s string) int {
	n := 0
	for _, r := range s {
		n += utf16.RuneLen(r)
	}
	return n
}

// matchOnce calls a pattern as a function of a string.
func (ev *evaluator) matchOnce(re *Regex, args []any) (any, error) {
	s, ok := append(args, Undefined)[0].(string)
	if !ok {
		return Undefined, nil
	}
	m, err := ev.find(re, s, 0)
	if err == nil {
		err = ev.charge(m.bytes())
	}
	return m.object(s), err
}

// object returns a match as functions of the expression receive it.
func (m *match) object(s string) any {
	if m == nil {
		return Undefined
	}
	before := utf16Len(s[:m.start])
	o := value.NewObject(5)
	o.Set("match", m.text)
	o.Set("start", float64(before))
	o.Set("end", float64(before+utf16Len(m.text)))
	o.Set("groups", m.groups)
	o.Set("next", &Function{name: "next", call: func(c *Call, _ []any) (any, error) {
		next, err := m.next()
		if err == nil {
			err = c.charge(next.bytes())
		}
		return next.object(s), err
	}})
	return o
}

// bytes returns the size of a match's object. Matches that a function visits one after the other are not counted.
func (m *match) bytes() int64 {
	if m == nil {
		return 0
	}
	return objectBytes + 5*fieldBytes + int64(len(m.groups))*itemBytes
}

// matcher returns the first match in a string, found by a pattern or by a function that replaces a pattern.
func (c *Call) matcher(f *Function, s string) (*match, error) {
	if f.regex != nil {
		return c.find(f.regex, s, 0)
	}
	v, err := c.invoke(f, []any{s}, nil, c.env)
	if err != nil {
		return nil, err
	}
	return c.ownMatch(v, s)
}

// ownMatch converts the result of a function that replaces a pattern.
func (c *Call) ownMatch(v any, s string) (*match, error) {
	o, ok := v.(*value.Object)
	if !ok {
		if !isTruthy(v) {
			return nil, nil
		}
		return nil, newError("T1010", -1).with("token", c.Name)
	}
	m := &match{groups: []any{}, next: func() (*match, error) { return nil, nil }}
	text, _ := o.Get("match")
	start, hasStart := o.Get("start")
	end, hasEnd := o.Get("end")
	groups, hasGroups := o.Get("groups")
	next, hasNext := o.Get("next")
	if !hasStart && !hasEnd && !hasGroups && !hasNext {
		return nil, newError("T1010", -1).with("token", c.Name)
	}
	m.text, _ = text.(string)
	from, _ := number(start)
	to, _ := number(end)
	m.start, m.end = byteIndex(s, from), byteIndex(s, to)
	m.end = max(m.start, m.end)
	if list, ok := items(groups); ok {
		m.groups = list
	}
	if f, ok := next.(*Function); ok {
		m.next = func() (*match, error) {
			v, err := c.invoke(f, nil, nil, c.env)
			if err != nil {
				return nil, err
			}
			return c.ownMatch(v, s)
		}
	}
	return m, nil
}

// byteIndex converts an offset in UTF-16 units to one in bytes.
func byteIndex(s string, units float64) int {
	n := 0.0
	for i, r := range s {
		if n >= units {
			return i
		}
		n += float64(utf16.RuneLen(r))
	}
	return len(s)
}
