package raytask

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/rayorch/rayorch/internal/ray"
)

// OutputMark starts the line that holds a job's output. It is among the last few, not always the last: Ray's own lines
// come late.
const OutputMark = "::rayorch-output::"

const (
	lastLines  = 20
	causeBytes = 8 << 10
	tooBig     = 64 << 10 // an output line was cut: see ray.Log
)

// jobLog takes a job's lines: it hides secrets, leaves out what Ray adds, picks the output and remembers the last lines.
type jobLog struct {
	w      io.Writer
	hide   *redactor
	source *ray.Log
	due    func() // called now and then while lines come
	dueAt  time.Time

	announce, echo []string // Ray's announcement of the entrypoint, and what of it is still to come
	last           []string
	marked         string
	since          int // lines since the mark
	found          bool
}

func newJobLog(w io.Writer, hide *redactor, args *Arguments) *jobLog {
	if w == nil {
		w = io.Discard
	}
	text := "Running entrypoint for job " + args.SubmissionID + ": " + args.Entrypoint
	return &jobLog{w: w, hide: hide, announce: strings.Split(text, "\n"), dueAt: time.Now().Add(keepLinesEvery)}
}

func (l *jobLog) line(text string) {
	if l.ofRay(text) {
		return
	}
	if i := strings.Index(text, OutputMark); i >= 0 {
		l.marked, l.since, l.found = text[i+len(OutputMark):], 0, true
		if text = text[:i]; text == "" {
			return
		}
	}
	l.since++
	text = l.hide.text(text)
	if l.last = append(l.last, text); len(l.last) > lastLines {
		l.last = slices.Delete(l.last, 0, 1)
	}
	_, _ = io.WriteString(l.w, text+"\n") // the engine's log has its own bounds; a job does not fail for it
	if now := time.Now(); l.due != nil && now.After(l.dueAt) {
		l.dueAt = now.Add(keepLinesEvery)
		l.due()
	}
}

// ofRay knows the lines that Ray writes into a job's log: the entrypoint is our wrapper round the user's command.
func (l *jobLog) ofRay(text string) bool {
	if len(l.echo) > 0 && text == l.echo[0] {
		l.echo = l.echo[1:]
		return true
	}
	if text == l.announce[0] {
		l.echo = l.announce[1:]
		return true
	}
	return strings.Contains(text, "INFO job_manager.py:") && strings.HasSuffix(text, "Runtime env is setting up.")
}

// output is the JSON of the marked line, null without one.
func (l *jobLog) output() (json.RawMessage, error) {
	if !l.found || l.since > lastLines {
		return json.RawMessage("null"), nil
	}
	if len(l.marked) >= tooBig-len(OutputMark) {
		return nil, fmt.Errorf("the job's output is over %d bytes: write large results to the pipeline's storage and name them in the output", tooBig)
	}
	output := json.RawMessage(l.hide.text(l.marked))
	if !json.Valid(output) {
		return nil, errors.New("the job's output, which it wrote to the file that RAYORCH_OUTPUT names, is not JSON")
	}
	return output, nil
}

// cause is why a job failed, with the last lines of its log.
func (l *jobLog) cause(job ray.Job, otherwise string) string {
	why := otherwise
	if job.Message != "" {
		why, _, _ = strings.Cut(job.Message, ", last available logs")
	}
	if job.DriverExitCode != nil && job.Message == "" {
		why = fmt.Sprintf("%s with exit code %d", why, *job.DriverExitCode)
	}
	text := strings.Join(append([]string{why}, l.last...), "\n")
	if len(text) > causeBytes {
		text = why + "\n..." + strings.ToValidUTF8(text[len(text)-causeBytes+min(len(why), causeBytes):], "")
	}
	return text
}
