package proctask

import (
	"bytes"
	"os"
	"time"

	"github.com/rayorch/rayorch/internal/task/joblog"
)

// outputDelay is how long output is still taken after the process has ended: what it started and left behind may hold
// its output open for ever. On a busy machine what it printed last may come late.
const outputDelay = 10 * time.Second

// hidingLog is a log file that gets whole lines, without the values of secrets. A secret that is printed in two writes
// is hidden as well; one that goes over several lines is hidden line by line (joblog.NewRedactor).
type hidingLog struct {
	file *os.File
	hide joblog.Redactor
	rest []byte // the beginning of a line
}

// longestLine bounds what is held back while a line has no end.
const longestLine = 1 << 20

func newHidingLog(path string, secrets []string) (*hidingLog, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	return &hidingLog{file: file, hide: joblog.NewRedactor(secrets)}, err
}

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

func (l *hidingLog) put(text []byte) { _, _ = l.file.WriteString(l.hide.Text(string(text))) }

func (l *hidingLog) close() {
	l.put(l.rest)
	_ = l.file.Close()
}
