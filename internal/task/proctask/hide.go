package proctask

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/rayorch/rayorch/internal/task/joblog"
)

// hidingLog is a log file that gets whole lines, without the values of secrets. A secret that is printed in two writes
// is hidden as well; one that goes over several lines is hidden line by line (joblog.NewRedactor).
type hidingLog struct {
	file io.Writer
	hide joblog.Redactor
	rest []byte // the beginning of a line
	lost int64  // bytes that found no room, and of which the log does not tell yet
	why  error
}

// longestLine bounds what is held back while a line has no end.
const longestLine = 1 << 20

// Write never fails: a process must not end because its log cannot be kept.
func (l *hidingLog) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	end := bytes.LastIndexByte(l.rest, '\n') + 1
	if end == 0 && len(l.rest) > longestLine {
		end = len(l.rest)
	}
	l.put(l.rest[:end])
	l.rest = append(l.rest[:0], l.rest[end:]...)
	return len(p), nil
}

// put drops what cannot be written, and says so in the log as soon as it can.
func (l *hidingLog) put(text []byte) {
	if len(text) == 0 || !l.tellLost() {
		l.lost += int64(len(text))
		return
	}
	n, err := io.WriteString(l.file, l.hide.Text(string(text)))
	if err != nil {
		l.lost, l.why = l.lost+max(int64(len(text)-n), 1), err
	}
}

// tellLost writes a note of the lost bytes and reports whether the log can be written.
func (l *hidingLog) tellLost() bool {
	if l.lost == 0 {
		return true
	}
	// What was cut off has no line end.
	note := fmt.Sprintf("\nrayorch: %d bytes of output are lost: %v\n", l.lost, l.why)
	if n, err := io.WriteString(l.file, note); err != nil {
		l.lost, l.why = l.lost+int64(n), err // a piece of the note stands in the log
		return false
	}
	l.lost = 0
	return true
}

// close writes an unfinished line. It reports whether all that is lost was said.
func (l *hidingLog) close() bool {
	l.put(l.rest)
	l.rest = nil
	return l.tellLost()
}

// isFull reports whether an error is caused by a full disk or by the user's quota.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// fullEvery is how often a write to a full disk is retried.
const fullEvery = 200 * time.Millisecond

// whenRoom retries a write until the disk has space for it.
func whenRoom(do func() error) error {
	for {
		if err := do(); !isFull(err) {
			return err
		}
		time.Sleep(fullEvery)
	}
}
