package engine

import (
	"time"

	"github.com/rayorch/rayorch/internal/asl/interp"
)

// RecodePosition decodes the stored position of a log and encodes it again.
func RecodePosition(b []byte) ([]byte, bool) {
	p, ok := decodePosition(b)
	return p.encode(), ok
}

// Position encodes the position of a log.
func Position(number uint64, segment int, at int64, source []byte) []byte {
	return logPosition{number, segment, at, source}.encode()
}

// NewClock returns the now function of an engine's clock.
func NewClock(now func() time.Time, uptime func() time.Duration) func() interp.Moment {
	return newClock(&Config{Now: now, Uptime: uptime}, clockMark{}).now
}
