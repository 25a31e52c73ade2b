package proctask

import (
	"io"

	"github.com/rayorch/rayorch/internal/task/joblog"
)

// NewOutput is a log of what a process prints; end reports whether all that is lost was said.
func NewOutput(file io.Writer, secrets []string) (log io.Writer, end func() bool) {
	l := &hidingLog{file: file, hide: joblog.NewRedactor(secrets)}
	return l, l.close
}

// WriteMark writes a file of a process's directory.
func WriteMark(dir, name string) error { return place(dir).write(name, struct{}{}) }
