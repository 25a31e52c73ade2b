package jsonata

import (
	"errors"
	"regexp"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/rayorch/rayorch/internal/value"
)

// Regex is a pattern of JavaScript, matched by Go's engine, whose time is linear.
type Regex struct {
	source string
	re     *regexp.Regexp
	weight int            // what a character costs to match, in steps of 64
	behind *regexp.Regexp // for what looks back (^, \b): passes over a rune and more, then matches as its first group
}

var errBacktracking = errors.New("the regular expression needs backtracking: lookahead, lookbehind and backreferences are not supported")

// compileRegex reads a pattern with the flags i and m.
func compileRegex(pattern, flags string) (*Regex, error) {
	translated, err := translateRegex(pattern)
	if err != nil {
		return nil, err
	}
	if flags != "" {
		translated = "(?" + strings.Replace(flags, "ii", "i", 1) + ")" + translated
	}
	re, err := regexp.Compile(translated)
	if err != nil {
		return nil, errors.New("the regular expression /" + pattern + "/ is not supported: " + err.Error())
	}
	out := &Regex{source: pattern, re: re, weight: 1 + len(re.String())>>5}
	if strings.Contains(translated, "^") || strings.Contains(translated, `\b`) || strings.Contains(translated, `\B`) {
		out.behind, err = regexp.Compile(`\A(?s:.)(?s:.*?)(` + translated + `)`)
	}
	return out, err
}

// jsEscapes are escapes that JavaScript reads otherwise than Go.
var jsEscapes = map[byte]string{
	's': `[\t\n\v\f\r \x{00a0}\x{feff}\p{Z}]`, 'S': `[^\t\n\v\f\r \x{00a0}\x{feff}\p{Z}]`,
	'0': `\x00`, '/': `/`, '-': `\-`, 'Z': "Z", 'z': "z", 'a': "a", 'A': "A", 'e': "e", 'C': "C", 'Q': "Q", 'E': "E", 'G': "G",
}

// inBrackets are those escapes inside a character class.
var inBrackets = map[byte]string{
	's': `\t\n\v\f\r \x{00a0}\x{feff}\p{Z}`, 'b': `\x08`, 'S': `\S`,
}

// translateRegex turns JavaScript's syntax into Go's.
func translateRegex(pattern string) (string, error) {
	var b strings.Builder
	class := false
	for i := 0; i < len(pattern); i++ {
		c := pattern[i]
		switch {
		case c == '\\' && i+1 < len(pattern):
			i++
			text, size, err := translateEscape(pattern[i:], class)
			if err != nil {
				return "", err
			}
			i += size - 1
			b.WriteString(text)
		case class:
			switch {
			case c == ']':
				class = false
			case c == '[':
				b.WriteByte('\\')
			}
			b.WriteByte(c)
		case c == '[':
			class = true
			i += openClass(&b, pattern[i:])
		case strings.HasPrefix(pattern[i:], "(?<") && !strings.HasPrefix(pattern[i:], "(?<=") && !strings.HasPrefix(pattern[i:], "(?<!"):
			b.WriteString("(?P<")
			i += 2
		case strings.HasPrefix(pattern[i:], "(?=") || strings.HasPrefix(pattern[i:], "(?!") || strings.HasPrefix(pattern[i:], "(?<"):
			return "", errBacktracking
		case c == '.':
			b.WriteString(`[^\n\r\x{2028}\x{2029}]`)
		case c == '{' && !quantifier.MatchString(pattern[i:]):
			b.WriteString(`\{`)
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

var quantifier = regexp.MustCompile(`^\{\d+(,\d*)?\}`)

// openClass writes the start of a character class; [] is nothing in JavaScript and [^] is everything.
func openClass(b *strings.Builder, rest string) int {
	switch {
	case strings.HasPrefix(rest, "[^]"):
		b.WriteString(`[^\x{10FFFF}`)
		return 1
	case strings.HasPrefix(rest, "[]"):
		b.WriteString(`[^\x00-\x{10FFFF}`)
		return 0
	case strings.HasPrefix(rest, "[^"):
		b.WriteString("[^")
		return 1
	}
	b.WriteByte('[')
	return 0
}

// translateEscape turns what follows a backslash; size is how much of it that is.
func translateEscape(rest string, class bool) (text string, size int, err error) {
	c := rest[0]
	if class {
		if text, ok := inBrackets[c]; ok {
			return text, 1, nil
		}
	}
	if text, ok := jsEscapes[c]; ok {
		return text, 1, nil
	}
	switch {
	case c >= '1' && c <= '9' || c == 'k':
		return "", 0, errBacktracking
	case c == 'u' && len(rest) >= 5 && isHex(rest[1:5]):
		return `\x{` + rest[1:5] + `}`, 5, nil
	case c == 'c' && len(rest) >= 2:
		return `\x{` + string("0123456789abcdef"[rest[1]>>4&1]) + string("0123456789abcdef"[rest[1]&15]) + `}`, 2, nil
	case strings.IndexByte(`dDwWbBnrtvfxpP`, c) >= 0:
		return `\` + rest[:1], 1, nil
	}
	r, size := utf8.DecodeRuneInString(rest)
	return regexp.QuoteMeta(string(r)), size, nil
}

func isHex(s string) bool {
	for _, c := range s {
		if !strings.ContainsRune("0123456789abcdefABCDEF", c) {
			return false
		}
	}
	return true
}

// match is one match of a pattern in a text, or of a function that stands in for a pattern.
type match struct {
	text       string
	start, end int // in bytes
	groups     []any
	next       func() (*match, error)
}

// regexFunction is a pattern as a value: a function of a text.
func regexFunction(re *Regex) *Function { return &Function{regex: re, arity: 2} }

// find gives the first match at or after a position.
func (ev *evaluator) find(re *Regex, s string, from int) (*match, error) {
	if from > len(s) {
		return nil, nil
	}
	loc := re.findFrom(s, from)
	if loc == nil {
		return nil, ev.step(1 + (len(s)-from)>>6*re.weight)
	}
	// How far behind a match the engine has looked is not known.
	if err := ev.step(1 + ((loc[1]-from)>>6+(len(s)-from)>>12)*re.weight); err != nil {
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

// findFrom matches behind a position, at which ^ and \b see what is before it: the engine can only match whole texts, so
// those before the position are passed over.
func (re *Regex) findFrom(s string, from int) []int {
	if from == 0 {
		return re.re.FindStringSubmatchIndex(s)
	}
	if re.behind == nil {
		return shifted(re.re.FindStringSubmatchIndex(s[from:]), from)
	}
	// One rune of what is before is enough for ^, \b and \B to see; a match must not begin there.
	_, size := utf8.DecodeLastRuneInString(s[:from])
	back := from - size
	loc := shifted(re.behind.FindStringSubmatchIndex(s[back:]), back)
	if loc == nil {
		return nil
	}
	return loc[2:]
}

func shifted(loc []int, by int) []int {
	for i := range loc {
		if loc[i] >= 0 {
			loc[i] += by
		}
	}
	return loc
}

// utf16Len is a length as JavaScript and Java count it.
func utf16Len(s string) int {
	n := 0
	for _, r := range s {
		n += utf16.RuneLen(r)
	}
	return n
}

// matchOnce is a pattern that is called as a function of a text and a position.
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

// object is a match as functions of the expression see it.
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

// bytes are what an object of a match takes. Matches that functions look at one after the other are not counted.
func (m *match) bytes() int64 {
	if m == nil {
		return 0
	}
	return objectBytes + 5*fieldBytes + int64(len(m.groups))*itemBytes
}

// matcher gives the first match of a pattern, or of a function that stands in for one, in a text.
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

// ownMatch reads what a function gave in place of a match.
func (c *Call) ownMatch(v any, s string) (*match, error) {
	o, ok := v.(*value.Object)
	if !ok {
		if !isSet(v) {
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

// byteIndex is where in a text a number of UTF-16 units ends.
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
