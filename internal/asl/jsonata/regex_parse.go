package jsonata

import (
	"strconv"
	"strings"
)

// regexParser parses JavaScript's regular expression syntax and generates a program, in one pass by recursive descent. Code is
// generated before its context is known, for example before the quantifier that follows a group; then it is moved or repeated
// (addMoved).
type regexParser struct {
	src       string
	pos       int
	program   []instruction
	groups    int            // so far
	allGroups int            // in the whole pattern
	names     map[string]int // of groups
	marks     int
	depth     int // of nested groups
	fold      bool
	multiline bool
	backward  bool   // inside a lookbehind
	err       string // the first error
}

func (p *regexParser) fail(text string) {
	if p.err == "" {
		p.err = text
	}
}

func (p *regexParser) more() bool { return p.err == "" && p.pos < len(p.src) }

func (p *regexParser) take(prefix string) bool {
	if strings.HasPrefix(p.src[p.pos:], prefix) {
		p.pos += len(prefix)
		return true
	}
	return false
}

// emit adds an instruction that matches in the current direction.
func (p *regexParser) emit(i instruction) int {
	i.backward = p.backward
	return p.add(i)
}

// add adds an instruction as it is.
func (p *regexParser) add(i instruction) int {
	if len(p.program) >= maxProgram {
		p.fail("is too large")
		return 0
	}
	p.program = append(p.program, i)
	return len(p.program) - 1
}

// addMoved adds instructions that were generated at another address.
func (p *regexParser) addMoved(part []instruction, from int) {
	by := len(p.program) - from
	for _, i := range part {
		i.move(by)
		p.add(i)
	}
}

// cut removes the instructions from an address on, and returns them.
func (p *regexParser) cut(from int) []instruction {
	part := append([]instruction(nil), p.program[from:]...)
	p.program = p.program[:from]
	return part
}

// move shifts the jump targets of an instruction.
func (i *instruction) move(by int) {
	switch i.op {
	case opSplit:
		i.x += by
		i.y += by
	case opJump, opLook:
		i.x += by
	}
}

// count finds the groups before they are parsed, because a reference may precede its group.
func (p *regexParser) count() {
	p.names = map[string]int{}
	class := false
	for i := 0; i < len(p.src); i++ {
		switch c := p.src[i]; {
		case c == '\\':
			i++
		case class:
			class = c != ']'
		case c == '[':
			class = true
		case c == '(' && !strings.HasPrefix(p.src[i:], "(?"):
			p.allGroups++
		case strings.HasPrefix(p.src[i:], "(?<") && !strings.HasPrefix(p.src[i:], "(?<=") && !strings.HasPrefix(p.src[i:], "(?<!"):
			p.allGroups++
			if name, _, ok := strings.Cut(p.src[i+3:], ">"); ok {
				p.names[name] = p.allGroups
			}
		}
	}
}

// alternatives parses a|b.
func (p *regexParser) alternatives() {
	if p.depth++; p.depth > maxRegexDepth {
		p.fail("is nested too deeply")
		return
	}
	defer func() { p.depth-- }()
	start := len(p.program)
	var parts [][]instruction
	for {
		p.sequence()
		parts = append(parts, p.cut(start))
		if !p.more() || !p.take("|") {
			break
		}
	}
	var jumps []int
	for i, part := range parts {
		if i < len(parts)-1 {
			at := len(p.program)
			p.emit(instruction{op: opSplit, x: at + 1, y: at + len(part) + 2})
		}
		p.addMoved(part, start)
		if i < len(parts)-1 {
			jumps = append(jumps, p.emit(instruction{op: opJump}))
		}
	}
	for _, at := range jumps {
		if p.err == "" {
			p.program[at].x = len(p.program)
		}
	}
}

// sequence parses terms up to | or ). In a lookbehind, the last term comes first in the program.
func (p *regexParser) sequence() {
	start := len(p.program)
	for p.more() && p.src[p.pos] != '|' && p.src[p.pos] != ')' {
		before := len(p.program)
		p.term()
		if p.backward && p.err == "" {
			last, first := p.cut(before), p.cut(start)
			p.addMoved(last, before)
			p.addMoved(first, start)
		}
	}
}

// term parses an atom with its quantifier.
func (p *regexParser) term() {
	start, group := len(p.program), p.groups
	c := p.src[p.pos]
	switch {
	case p.take("^"):
		p.emit(instruction{op: opBegin})
		return
	case p.take("$"):
		p.emit(instruction{op: opEnd})
		return
	case p.take(`\b`), p.take(`\B`):
		p.emit(instruction{op: opWord, not: p.src[p.pos-1] == 'B'})
		return
	case c == '(':
		p.group()
	case c == '*' || c == '+' || c == '?':
		p.fail("has nothing to repeat")
	default:
		p.atom()
	}
	if p.more() {
		p.quantifier(start, group)
	}
}

// group parses an expression in parentheses.
func (p *regexParser) group() {
	p.pos++
	switch {
	case p.take("?:"):
		p.alternatives()
	case p.take("?="), p.take("?!"):
		p.look(false, p.src[p.pos-1] == '!')
	case p.take("?<="), p.take("?<!"):
		p.look(true, p.src[p.pos-1] == '!')
	case p.take("?<"):
		if end := strings.IndexByte(p.src[p.pos:], '>'); end > 0 {
			p.pos += end + 1
			p.capture()
		} else {
			p.fail("has a group without a name")
		}
	case p.take("?"):
		p.fail("has an unknown kind of group")
	default:
		p.capture()
	}
	if p.err == "" && !p.take(")") {
		p.fail("has an unclosed parenthesis")
	}
}

// capture parses a capturing group. In a lookbehind, its end is matched before its start.
func (p *regexParser) capture() {
	p.groups++
	open, end := 2*p.groups, 2*p.groups+1
	if p.backward {
		open, end = end, open
	}
	p.emit(instruction{op: opSave, x: open})
	p.alternatives()
	p.emit(instruction{op: opSave, x: end})
}

// look parses a lookahead or a lookbehind.
func (p *regexParser) look(backward, not bool) {
	at := p.emit(instruction{op: opLook, not: not})
	around := p.backward
	p.backward = backward
	p.alternatives()
	p.backward = around
	p.emit(instruction{op: opFound})
	if p.err == "" {
		p.program[at].x = len(p.program)
	}
}

// quantifier parses a quantifier, and repeats the instructions from start on.
func (p *regexParser) quantifier(start, group int) {
	least, most := 0, -1
	switch {
	case p.take("*"):
	case p.take("+"):
		least = 1
	case p.take("?"):
		most = 1
	case p.src[p.pos] == '{':
		var ok bool
		if least, most, ok = p.braces(); !ok {
			return
		}
	default:
		return
	}
	lazy := p.take("?")
	if most >= 0 && most < least {
		p.fail("has a repetition out of order")
	}
	if p.err != "" {
		return
	}
	part := p.cut(start)
	if len(part) == 1 && part[0].op == opChar && !p.backward {
		p.add(instruction{op: opLoop, set: part[0].set, min: least, max: most, lazy: lazy})
		return
	}
	r := repetition{part, start, 2*group + 2, 2*p.groups + 2, lazy}
	p.repeat(&r, least, most)
}

// repetition is a part of a program that is repeated, with the slots of its groups.
type repetition struct {
	part                []instruction
	from                int
	firstSlot, lastSlot int
	lazy                bool
}

// braces parses {n}, {n,} or {n,m}. Any other brace is a literal character.
func (p *regexParser) braces() (least, most int, ok bool) {
	inside, _, found := strings.Cut(p.src[p.pos+1:], "}")
	first, second, two := strings.Cut(inside, ",")
	least, err := strconv.Atoi(first)
	if !found || err != nil || !isDigit(inside[0]) {
		return 0, 0, false
	}
	most = least
	if two {
		most = -1
		if second != "" {
			if most, err = strconv.Atoi(second); err != nil || !isDigit(second[0]) {
				return 0, 0, false
			}
		}
	}
	p.pos += len(inside) + 2
	return least, most, true
}

// repeat adds a part as often as it must match, and then as often as it may.
func (p *regexParser) repeat(r *repetition, least, most int) {
	for i := 0; i < least && p.err == ""; i++ {
		p.once(r)
	}
	mark := p.marks
	p.marks++
	var splits []int
	for i := least; (i < most || most < 0) && p.err == ""; i++ {
		at := p.emit(instruction{op: opSplit})
		splits = append(splits, at)
		p.emit(instruction{op: opMark, x: mark})
		p.once(r)
		p.emit(instruction{op: opProgress, x: mark})
		if most < 0 {
			p.emit(instruction{op: opJump, x: at})
			break
		}
	}
	for _, at := range splits {
		if p.err != "" {
			return
		}
		s := &p.program[at]
		s.x, s.y = at+1, len(p.program)
		if r.lazy {
			s.x, s.y = s.y, s.x
		}
	}
}

// once adds a part one time. Its groups are reset first.
func (p *regexParser) once(r *repetition) {
	if r.lastSlot > r.firstSlot {
		p.emit(instruction{op: opReset, x: r.firstSlot, y: r.lastSlot})
	}
	p.addMoved(r.part, r.from)
}

func (p *regexParser) one(r rune) { p.set(&runeSet{ranges: []rune{r, r}}) }

func (p *regexParser) set(s *runeSet) {
	s.cost = (len(s.ranges) + 16*len(s.inner)) >> 3
	if p.fold {
		folded := *s
		folded.fold = true
		s = &folded
	}
	p.emit(instruction{op: opChar, set: s})
}
