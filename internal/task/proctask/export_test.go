package proctask

import (
	"io"
	"time"

	"github.com/rayorch/rayorch/internal/task/joblog"
)

// NewOutput returns the writer that receives the output of a process. end reports whether the log contains a note about all lost bytes.
func NewOutput(file io.Writer, secrets []string) (log io.Writer, end func() bool) {
	l := &redactingLog{file: file, hide: joblog.NewRedactor(secrets)}
	return l, l.close
}

// WriteMark writes a file into the directory of a process.
func WriteMark(dir, name string) error { return procDir(dir).write(name, struct{}{}) }

// Ran returns how long a process has run that started at the given uptime of the given boot, and at start by the wall clock.
func Ran(boot string, uptime time.Duration, start time.Time) time.Duration {
	return started{StartTime: start.UnixMilli(), Boot: boot, Uptime: uptime}.ran()
}
