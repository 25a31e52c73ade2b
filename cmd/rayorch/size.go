package main

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// parseSize parses the value of a flag: a size in bytes, at least 1, with an optional unit.
func parseSize(flag, text string) (uint64, error) {
	number, unit := text, uint64(1)
	for suffix, bytes := range map[string]uint64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if cut, ok := strings.CutSuffix(text, suffix); ok {
			number, unit = cut, bytes
		}
	}
	n, err := strconv.ParseUint(number, 10, 64)
	over, size := bits.Mul64(n, unit)
	if err != nil || over > 0 || size == 0 {
		return 0, fmt.Errorf("%s must be a size of at least 1 byte such as 64MiB or 1GiB, got %q", flag, text)
	}
	return size, nil
}

// byteSize formats a size for people: with one decimal place in the largest unit that it reaches.
func byteSize(n uint64) string {
	for _, unit := range []struct {
		name string
		size uint64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= unit.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(unit.size), unit.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}
