package proctask

import (
	"io"
	"time"

	"github.com/rayorch/rayorch/internal/task/joblog"
)

// NewOutput is a log of what a process prints; end reports whether all that is lost was said.
func NewOutput(file io.Writer, secrets []string) (log io.Writer, end func() bool) {
	l := &hidingLog{file: file, hide: joblog.NewRedactor(secrets)}
	return l, l.close
}

// WriteMark writes a file of a process's directory.
func WriteMark(dir, name string) error { return place(dir).write(name, struct{}{}) }

// Ran is how long a process has run that began at an uptime of a boot and at a time of the wall clock.
func Ran(boot string, uptime time.Duration, start time.Time) time.Duration {
	return started{StartTime: start.UnixMilli(), Boot: boot, Uptime: uptime}.ran()
}
