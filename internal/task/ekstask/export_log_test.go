package ekstask

import (
	"time"

	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/task"
)

// LogBegin and LogLine follow a container's log for an attempt.
func NewLog(req *task.Request) *jobLog { return newJobLog(req) }

func (l *jobLog) LogBegin(container string) time.Time { return l.begin(container) }

func (l *jobLog) LogLine(container string, line kube.Line) { l.line(container, "", line) }
