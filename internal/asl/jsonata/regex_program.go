package jsonata

import "unicode"

// Limits on a pattern: repetitions multiply its program, and the parser is recursive.
const (
	maxProgram    = 10_000
	maxRegexDepth = 200
)

// opcode is the operation of an instruction.
type opcode uint8

const (
	opChar     opcode = iota // matches one character of set
	opLoop                   // matches min to max characters of set: as many as possible first, if lazy as few as possible
	opSplit                  // continues at x, and at y if that fails
	opJump                   // continues at x
	opSave                   // stores the position in slot x
	opReset                  // clears the slots from x up to y
	opMark                   // stores the position in mark x, at the start of a repetition
	opProgress               // fails if nothing was matched since mark x
	opBegin                  // ^
	opEnd                    // $
	opWord                   // \b; \B if the field not is set
	opLook                   // the instructions up to opFound must match, or with the field not, must not match; continues at x
	opFound                  // the end of the instructions of opLook
	opBack                   // matches the text that group x has matched
	opMatch                  // the end of the program
)

// instruction is one step of a program. Inside a lookbehind, instructions match backwards.
type instruction struct {
	op       opcode
	set      *runeSet
	x, y     int
	min, max int // of opLoop; max is -1 for no limit
	lazy     bool
	not      bool
	backward bool
}

// runeSet is a set of characters that a part of a pattern matches.
type runeSet struct {
	ranges []rune // pairs of first and last
	tables []*unicode.RangeTable
	inner  []*runeSet
	not    bool
	fold   bool // ignores case
	cost   int  // of a call of has, in addition to that of the instruction
}

// has reports whether the set contains a character, in any case if fold is set.
func (s *runeSet) has(r rune) bool {
	if s.hasExactly(r) {
		return !s.not
	}
	if s.fold {
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			if s.hasExactly(f) {
				return !s.not
			}
		}
	}
	return s.not
}

func (s *runeSet) hasExactly(r rune) bool {
	for i := 0; i+1 < len(s.ranges); i += 2 {
		if r >= s.ranges[i] && r <= s.ranges[i+1] {
			return true
		}
	}
	for _, t := range s.tables {
		if unicode.Is(t, r) {
			return true
		}
	}
	for _, inner := range s.inner {
		if inner.has(r) {
			return true
		}
	}
	return false
}

var (
	lineEnds  = []rune{'\n', '\n', '\r', '\r', 0x2028, 0x2029}
	digitSet  = runeSet{ranges: []rune{'0', '9'}}
	wordSet   = runeSet{ranges: []rune{'0', '9', 'A', 'Z', '_', '_', 'a', 'z'}}
	spaceSet  = runeSet{ranges: []rune{'\t', '\r', ' ', ' ', 0xA0, 0xA0, 0xFEFF, 0xFEFF, 0x2028, 0x2029}, tables: []*unicode.RangeTable{unicode.Zs}}
	classSets = map[byte]*runeSet{'d': &digitSet, 'w': &wordSet, 's': &spaceSet}
	controls  = map[byte]rune{'t': '\t', 'n': '\n', 'v': '\v', 'f': '\f', 'r': '\r'}
)
