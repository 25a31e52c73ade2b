package engine

import (
	"time"

	"github.com/rayorch/rayorch/internal/asl/interp"
)

// RecodePosition decodes a log's position and encodes it again.
func RecodePosition(b []byte) ([]byte, bool) {
	p, ok := decodePosition(b)
	return p.encode(), ok
}

// Position is a log's position as it is written.
func Position(number uint64, segment int, at int64, source []byte) []byte {
	return logPosition{number, segment, at, source}.encode()
}

// NewClock is how the engine reads a wall clock and an uptime.
func NewClock(now func() time.Time, uptime func() time.Duration) func() interp.Moment {
	return newClock(&Config{Now: now, Uptime: uptime}, clockMark{}).now
}
