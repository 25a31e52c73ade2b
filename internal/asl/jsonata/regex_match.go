package jsonata

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// machine executes a program by backtracking, within the limits of an evaluation.
type machine struct {
	ev    *evaluator
	re    *Regex
	s     string
	slots []int // of groups, -1 if nothing matched
	marks []int
	stack []choice
	work  int // instructions since the last count
	held  int // choices whose memory is charged
}

// choice is an entry of the stack for backtracking: an instruction and a position, or the previous value of a slot. For a loop, it
// stands for a range of positions.
type choice struct {
	kind  choiceKind
	at    int // the instruction, or the slot
	pos   int // the position, or the previous value of the slot
	limit int // of a loop: the lowest position, or the maximum number of further characters
}

// choiceKind is the kind of a choice.
type choiceKind uint8

const (
	choiceBranch choiceKind = iota
	choiceShorter
	choiceLonger
	choiceSlot
	choiceMark
)

// workPerStep is the number of instructions that count as one step of an evaluation.
const workPerStep = 8

// count counts the work and the memory of the stack.
func (m *machine) count() error {
	n := m.work / workPerStep
	m.work = 0
	if grown := cap(m.stack) - m.held; grown > 0 {
		m.held += grown
		if err := m.ev.charge(int64(grown) * 32); err != nil {
			return err
		}
	}
	return m.ev.step(n)
}

// find returns the slots of the first match that begins at or after a position, nil if there is none.
func (m *machine) find(from int) ([]int, error) {
	defer func() { m.ev.used -= int64(m.held) * 32 }()
	m.slots = make([]int, 2*m.re.groups+2)
	m.marks = make([]int, m.re.marks)
	for at := from; at <= len(m.s); {
		if m.re.prefix != "" {
			skip := strings.Index(m.s[at:], m.re.prefix)
			if err := m.ev.step(1 + max(0, skip)>>6); err != nil || skip < 0 {
				return nil, err
			}
			at += skip
		}
		for i := range m.slots {
			m.slots[i] = -1
		}
		m.stack = m.stack[:0]
		found, end, err := m.run(0, at)
		if err != nil {
			return nil, err
		}
		if found {
			m.slots[0], m.slots[1] = at, end
			return m.slots, m.count()
		}
		if m.re.anchored {
			break
		}
		_, size := utf8.DecodeRuneInString(m.s[at:])
		at += max(1, size)
	}
	return nil, m.count()
}

// run executes the program from an instruction up to opMatch or opFound. It leaves its choices on the stack.
func (m *machine) run(pc, pos int) (found bool, end int, err error) {
	base := len(m.stack)
	for {
		if m.work++; m.work >= 512 {
			if err := m.count(); err != nil {
				return false, 0, err
			}
		}
		i := &m.re.program[pc]
		var ok bool
		switch i.op {
		case opMatch, opFound:
			return true, pos, nil
		case opChar:
			pos, ok = m.char(i, pos)
		case opLoop:
			pos, ok = m.loop(i, pc, pos)
		case opSplit:
			m.stack = append(m.stack, choice{choiceBranch, i.y, pos, 0})
			pc = i.x
			continue
		case opJump:
			pc = i.x
			continue
		case opLook:
			if ok, err = m.look(i, pc, pos); err != nil {
				return false, 0, err
			}
			if ok {
				pc = i.x
				continue
			}
		default:
			pos, ok = m.simple(i, pos)
		}
		if ok {
			pc++
			continue
		}
		if pc, pos, ok = m.back(base); !ok {
			return false, 0, nil
		}
	}
}

// char matches one character.
func (m *machine) char(i *instruction, pos int) (int, bool) {
	r, size := m.next(i, pos)
	m.work += i.set.cost
	if size == 0 || !i.set.has(r) {
		return pos, false
	}
	if i.backward {
		return pos - size, true
	}
	return pos + size, true
}

func (m *machine) next(i *instruction, pos int) (r rune, size int) {
	if i.backward {
		return utf8.DecodeLastRuneInString(m.s[:pos])
	}
	return utf8.DecodeRuneInString(m.s[pos:])
}

// loop matches as many characters as possible, and adds a choice for fewer characters. A lazy loop matches as few as
// possible, and adds a choice for more.
func (m *machine) loop(i *instruction, pc, pos int) (int, bool) {
	n := 0
	for n < i.min {
		var ok bool
		if pos, ok = m.char(i, pos); !ok {
			return pos, false
		}
		n++
	}
	m.work += n
	if i.lazy {
		if i.max < 0 || n < i.max {
			m.stack = append(m.stack, choice{choiceLonger, pc, pos, i.max - n})
		}
		return pos, true
	}
	least := pos
	for i.max < 0 || n < i.max {
		after, ok := m.char(i, pos)
		if !ok {
			break
		}
		pos = after
		n++
		m.work++
	}
	if pos > least {
		m.stack = append(m.stack, choice{choiceShorter, pc, pos, least})
	}
	return pos, true
}

// simple executes an instruction that continues with the next one.
func (m *machine) simple(i *instruction, pos int) (int, bool) {
	switch i.op {
	case opSave:
		m.setSlot(i.x, pos)
	case opReset:
		for slot := i.x; slot < i.y; slot++ {
			if m.slots[slot] >= 0 {
				m.setSlot(slot, -1)
			}
		}
	case opMark:
		m.stack = append(m.stack, choice{choiceMark, i.x, m.marks[i.x], 0})
		m.marks[i.x] = pos
	case opProgress:
		return pos, m.marks[i.x] != pos
	case opBegin:
		return pos, pos == 0 || m.re.multiline && isLineEnd(m.before(pos))
	case opEnd:
		return pos, pos == len(m.s) || m.re.multiline && isLineEnd(m.after(pos))
	case opWord:
		return pos, (wordSet.has(m.before(pos)) != wordSet.has(m.after(pos))) != i.not
	case opBack:
		return m.reference(i, pos)
	}
	return pos, true
}

// before and after return the character before or after a position, -1 at the ends.
func (m *machine) before(pos int) rune {
	if pos == 0 {
		return -1
	}
	r, _ := utf8.DecodeLastRuneInString(m.s[:pos])
	return r
}

func (m *machine) after(pos int) rune {
	if pos == len(m.s) {
		return -1
	}
	r, _ := utf8.DecodeRuneInString(m.s[pos:])
	return r
}

func isLineEnd(r rune) bool { return r == '\n' || r == '\r' || r == 0x2028 || r == 0x2029 }

func (m *machine) setSlot(slot, pos int) {
	m.stack = append(m.stack, choice{choiceSlot, slot, m.slots[slot], 0})
	m.slots[slot] = pos
}

// reference matches the text that a group has matched. For a group that has not matched, it matches the empty string.
func (m *machine) reference(i *instruction, pos int) (int, bool) {
	from, to := m.slots[2*i.x], m.slots[2*i.x+1]
	if from < 0 || to < from {
		return pos, true
	}
	text := m.s[from:to]
	m.work += len(text) >> 3
	start, end := pos, pos+len(text)
	if i.backward {
		start, end = pos-len(text), pos
	}
	if start < 0 || end > len(m.s) {
		return pos, false
	}
	same := m.s[start:end] == text || m.re.fold && strings.EqualFold(m.s[start:end], text)
	if i.backward {
		return start, same
	}
	return end, same
}

// look evaluates a lookahead or lookbehind. If it matches, its groups keep their values, but its other choices are not tried.
func (m *machine) look(i *instruction, pc, pos int) (bool, error) {
	base := len(m.stack)
	found, _, err := m.run(pc+1, pos)
	if err != nil {
		return false, err
	}
	if found && !i.not {
		kept := m.stack[:base]
		for _, c := range m.stack[base:] {
			if c.kind == choiceSlot || c.kind == choiceMark {
				kept = append(kept, c)
			}
		}
		m.stack = kept
		return true, nil
	}
	for len(m.stack) > base {
		m.undo()
	}
	return found != i.not, nil
}

// undo removes the last choice from the stack. If the choice is of a slot, undo restores the slot.
func (m *machine) undo() choice {
	c := m.stack[len(m.stack)-1]
	m.stack = m.stack[:len(m.stack)-1]
	switch c.kind {
	case choiceSlot:
		m.slots[c.at] = c.pos
	case choiceMark:
		m.marks[c.at] = c.pos
	}
	return c
}

// back returns to the last choice above base on the stack.
func (m *machine) back(base int) (pc, pos int, ok bool) {
	for len(m.stack) > base {
		c := m.undo()
		switch c.kind {
		case choiceBranch:
			return c.at, c.pos, true
		case choiceShorter:
			_, size := utf8.DecodeLastRuneInString(m.s[:c.pos])
			c.pos -= size
			if c.pos > c.limit {
				m.stack = append(m.stack, c)
			}
			return c.at + 1, c.pos, true
		case choiceLonger:
			pos, ok := m.char(&m.re.program[c.at], c.pos)
			if !ok {
				continue
			}
			if c.limit--; c.limit != 0 {
				m.stack = append(m.stack, choice{choiceLonger, c.at, pos, c.limit})
			}
			return c.at + 1, pos, true
		}
	}
	return 0, 0, false
}

// firstText returns the text with which every match begins, as far as the first instructions determine it.
func (re *Regex) firstText() string {
	var b strings.Builder
	for i := range re.program {
		in := &re.program[i]
		if in.op == opSave {
			continue
		}
		if in.op != opChar || in.set.fold || in.set.not || len(in.set.ranges) != 2 || in.set.ranges[0] != in.set.ranges[1] ||
			len(in.set.inner)+len(in.set.tables) > 0 || in.set.ranges[0] == unicode.ReplacementChar {
			break
		}
		b.WriteRune(in.set.ranges[0])
	}
	return b.String()
}
