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

// redactingLog writes the output of a process to a log file, without the values of secrets. It writes complete lines, so that it also
// finds a secret that the process printed in two writes. A secret of several lines is redacted line by line (joblog.NewRedactor).
type redactingLog struct {
	file io.Writer
	hide joblog.Redactor
	rest []byte // the incomplete last line
	lost int64  // number of bytes that could not be written and that no note in the log reports yet
	why  error  // why they could not be written
}

// longestLine is the maximum number of bytes of an incomplete line that are held back.
const longestLine = 1 << 20

// Write never fails: an error would end the reading of the process's output, although only the log is affected.
func (l *redactingLog) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	end := bytes.LastIndexByte(l.rest, '\n') + 1
	if end == 0 && len(l.rest) > longestLine {
		end = len(l.rest)
	}
	l.put(l.rest[:end])
	l.rest = append(l.rest[:0], l.rest[end:]...)
	return len(p), nil
}

// put writes text to the file. It drops what it cannot write; the next successful write is preceded by a note about the lost bytes.
func (l *redactingLog) put(text []byte) {
	if len(text) == 0 || !l.reportLost() {
		l.lost += int64(len(text))
		return
	}
	n, err := io.WriteString(l.file, l.hide.Text(string(text)))
	if err != nil {
		l.lost, l.why = l.lost+max(int64(len(text)-n), 1), err
	}
}

// reportLost writes a note about the lost bytes, if there are any. It returns false if the note cannot be written.
func (l *redactingLog) reportLost() bool {
	if l.lost == 0 {
		return true
	}
	// The note starts with a line end because the last line was cut off.
	note := fmt.Sprintf("\nrayorch: %d bytes of output were lost: %v\n", l.lost, l.why)
	if n, err := io.WriteString(l.file, note); err != nil {
		l.lost, l.why = l.lost+int64(n), err // the log now contains a part of the note
		return false
	}
	l.lost = 0
	return true
}

// close writes the incomplete last line. It returns false if bytes were lost and the note about them could not be written; the caller
// can then call it again.
func (l *redactingLog) close() bool {
	l.put(l.rest)
	l.rest = nil
	return l.reportLost()
}

// isFull reports whether an error is caused by a full disk or by the user's quota.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// fullRetry is the interval between attempts to write to a full disk.
const fullRetry = 200 * time.Millisecond

// retryWhileFull repeats a write while it fails because the disk is full. It returns nil or any other error.
func retryWhileFull(do func() error) error {
	for {
		if err := do(); !isFull(err) {
			return err
		}
		time.Sleep(fullRetry)
	}
}
