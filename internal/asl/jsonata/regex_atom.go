package jsonata

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// atom parses one character, a class or a reference.
func (p *regexParser) atom() {
	switch c := p.src[p.pos]; c {
	case '.':
		p.pos++
		p.set(&runeSet{ranges: lineEnds, not: true})
	case '[':
		p.class()
	case '\\':
		p.pos++
		p.escape()
	default:
		r, size := utf8.DecodeRuneInString(p.src[p.pos:])
		p.pos += size
		p.one(r)
	}
}

// escape parses the rest of an escape: a reference to a group, a class, or a character.
func (p *regexParser) escape() {
	if !p.more() {
		p.fail("ends in a backslash")
		return
	}
	c := p.src[p.pos]
	if c >= '1' && c <= '9' {
		digits := 1
		for p.pos+digits < len(p.src) && isDigit(p.src[p.pos+digits]) {
			digits++
		}
		if n, err := strconv.Atoi(p.src[p.pos : p.pos+digits]); err == nil && n <= p.allGroups {
			p.pos += digits
			p.emit(instruction{op: opBack, x: n})
			return
		}
	}
	if name, _, ok := strings.Cut(p.src[p.pos+1:], ">"); c == 'k' && ok && strings.HasPrefix(name, "<") && p.names[name[1:]] > 0 {
		p.pos += len(name) + 2
		p.emit(instruction{op: opBack, x: p.names[name[1:]]})
		return
	}
	if s := p.classEscape(); s != nil {
		p.set(s)
		return
	}
	p.one(p.charEscape())
}

// classEscape parses an escape for a class, such as \d or \p{L}.
func (p *regexParser) classEscape() *runeSet {
	c := p.src[p.pos]
	if s, ok := classSets[c|0x20]; ok {
		p.pos++
		return &runeSet{inner: []*runeSet{s}, not: c < 'a'}
	}
	if name, _, ok := strings.Cut(p.src[p.pos+1:], "}"); (c == 'p' || c == 'P') && ok && strings.HasPrefix(name, "{") {
		table := unicode.Categories[name[1:]]
		if table == nil {
			table = unicode.Scripts[name[1:]]
		}
		if table != nil {
			p.pos += len(name) + 2
			return &runeSet{tables: []*unicode.RangeTable{table}, not: c == 'P'}
		}
	}
	return nil
}

// charEscape parses an escape for one character.
func (p *regexParser) charEscape() rune {
	rest := p.src[p.pos:]
	c := rest[0]
	p.pos++
	if r, ok := controls[c]; ok {
		return r
	}
	digits := map[byte]int{'x': 2, 'u': 4}[c]
	switch {
	case digits > 0 && len(rest) > digits:
		if n, err := strconv.ParseUint(rest[1:1+digits], 16, 32); err == nil {
			p.pos += digits
			return rune(n)
		}
	case c >= '0' && c <= '7':
		return p.octal(c)
	case c == 'c' && len(rest) > 1 && unicode.IsLetter(rune(rest[1])):
		p.pos++
		return rune(rest[1] % 32)
	}
	r, size := utf8.DecodeRuneInString(rest)
	p.pos += size - 1
	return r
}

// octal parses the rest of \0, or of \12 if no group has this number.
func (p *regexParser) octal(first byte) rune {
	r := rune(first - '0')
	for n := 1; n < 3 && p.more() && p.src[p.pos] >= '0' && p.src[p.pos] <= '7' && r < 32; n++ {
		r = r*8 + rune(p.src[p.pos]-'0')
		p.pos++
	}
	return r
}

// class parses [a-z\d].
func (p *regexParser) class() {
	p.pos++
	s := &runeSet{not: p.take("^")}
	for p.more() && p.src[p.pos] != ']' {
		from, inner := p.classAtom()
		if inner != nil {
			s.inner = append(s.inner, inner)
			continue
		}
		to := from
		if strings.HasPrefix(p.src[p.pos:], "-") && !strings.HasPrefix(p.src[p.pos:], "-]") {
			p.pos++
			if to, inner = p.classAtom(); inner != nil { // [a-\d] is a, - and digits
				s.inner = append(s.inner, inner)
				s.ranges = append(s.ranges, '-', '-')
				to = from
			}
		}
		if to < from {
			p.fail("has a range out of order")
		}
		s.ranges = append(s.ranges, from, to)
	}
	if !p.take("]") {
		p.fail("has an unclosed class")
	}
	p.set(s)
}

// classAtom parses one character of a class, or a class inside it.
func (p *regexParser) classAtom() (rune, *runeSet) {
	if !p.take(`\`) {
		r, size := utf8.DecodeRuneInString(p.src[p.pos:])
		p.pos += size
		return r, nil
	}
	if !p.more() {
		p.fail("ends in a backslash")
		return 0, nil
	}
	if p.take("b") {
		return '\b', nil
	}
	if s := p.classEscape(); s != nil {
		return 0, s
	}
	return p.charEscape(), nil
}
