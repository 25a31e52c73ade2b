package jsonata

import "unicode"

// Bounds of a pattern: repetitions multiply its program, and the parser recurses.
const (
	maxProgram    = 10_000
	maxRegexDepth = 200
)

// opcode is what an instruction of a compiled pattern does.
type opcode uint8

const (
	opChar     opcode = iota // set: one character
	opLoop                   // set: as many characters as min and max allow, the most or the fewest first
	opSplit                  // goes on at x, and at y if that fails
	opJump                   // goes on at x
	opSave                   // the position into slot x
	opReset                  // forgets the groups from slot x to y
	opMark                   // the position into mark x, at the start of a repetition
	opProgress               // fails where nothing was matched since mark x
	opBegin                  // ^
	opEnd                    // $
	opWord                   // \b, or \B where not is set
	opLook                   // what follows up to opFound must match, or must not; goes on at x
	opFound                  // the end of what opLook looks for
	opBack                   // what group x has matched
	opMatch                  // the end
)

// instruction is one step of a program. Inside a lookbehind all instructions go backwards.
type instruction struct {
	op       opcode
	set      *runeSet
	x, y     int
	min, max int // of opLoop; max is -1 for no bound
	lazy     bool
	not      bool
	backward bool
}

// runeSet are the characters that a part of a pattern takes.
type runeSet struct {
	ranges []rune // from and to in turn
	tables []*unicode.RangeTable
	inner  []*runeSet
	not    bool
	fold   bool // upper and lower case are the same
	cost   int  // of a look, beyond that of an instruction
}

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
