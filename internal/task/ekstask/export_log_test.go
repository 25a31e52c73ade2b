package ekstask

import (
	"time"

	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/task"
)

// NewLog returns the log of an attempt.
func NewLog(req *task.Request) *jobLog { return newJobLog(req) }

// LogBegin begins a stream of a container's log and returns the time from which on it must return lines.
func (l *jobLog) LogBegin(container string) time.Time { return l.begin(container) }

// LogLine adds a line of the stream.
func (l *jobLog) LogLine(container string, line kube.Line) { l.line(container, "", line) }
