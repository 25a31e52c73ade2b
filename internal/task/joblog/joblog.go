// Package joblog takes what a job prints, line by line: it hides secrets, picks the output out, remembers the last lines
// for the cause of a failure, and passes the rest on with the position in the log that it comes from. It reads no log
// itself: the runners (raytask, proctask, ekstask) do, each in its way.
package joblog

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// OutputMark starts the line that holds a job's output. It is among the last few, not always the last: what surrounds
// the job may print later than it.
const OutputMark = "::rayorch-output::"

const (
	// LastLines is how many a cause shows, and among how many the output is.
	LastLines = 20
	// lastBytes is how much of one line a cause shows.
	lastBytes = 2 << 10
	// causeBytes keeps a cause well under the 32,768 characters that Step Functions allows.
	causeBytes = 8 << 10
	// OutputBytes bounds an output: larger results belong on storage.
	OutputBytes = 32 << 10
)

// Log is one attempt's. It belongs to one goroutine.
type Log struct {
	// Hide is applied to everything that leaves.
	Hide Redactor
	// Own gives what of a line is the job's own, and whether anything is. Defaults to all.
	Own func(line string) (own string, some bool)

	w      Appender
	lines  []byte // that the current call passes on
	read   []byte // the position after the last line that came in
	at     []byte // the position after the last line that was passed on
	last   []string
	marked string
	since  int // lines since the mark
	found  bool
	blank  bool // an empty line that waits to be passed on
}

// Appender keeps lines with the position in their source that follows them (task.Log).
type Appender interface {
	Append(lines, position []byte) error
}

// Begin creates the log before the job prints anything: a job that prints nothing has an empty one.
func (l *Log) Begin() { l.pass() }

// New passes lines on to w, which may be nil.
func New(w Appender, hide Redactor) *Log { return &Log{Hide: hide, w: w} }

// From continues after a position that was kept before.
func (l *Log) From(position []byte) *Log {
	l.read, l.at = position, position
	return l
}

// Note adds a line that is not the job's own: the position stays.
func (l *Log) Note(text string) {
	l.put(text)
	l.pass()
}

// Line takes one line, without its end, and the position in the job's log that follows it.
func (l *Log) Line(text string, position []byte) {
	before := l.read
	l.read = position
	switch held := l.line(text); {
	case held:
		l.at = before
	case !l.blank:
		l.at = position
	}
	l.pass()
}

// pass keeps the position also where no line is passed on.
func (l *Log) pass() {
	if l.w != nil {
		_ = l.w.Append(l.lines, l.at) // the engine's log has its own bounds; a job does not fail for it
	}
	l.lines = l.lines[:0]
}

// line reports whether it holds the line back until the next one comes.
func (l *Log) line(text string) (held bool) {
	if l.Own != nil {
		own, some := l.Own(text)
		if !some {
			return false
		}
		text = own
	}
	if i := strings.Index(text, OutputMark); i >= 0 {
		l.marked, l.since, l.found, l.blank = text[i+len(OutputMark):], 0, true, false
		if text = text[:i]; text == "" {
			return false
		}
	}
	if l.blank {
		l.blank = false
		l.put("")
	}
	// The wrapper ends the job's own last line before it prints the mark: an empty line waits for what follows.
	if l.blank = text == ""; !l.blank {
		l.put(text)
	}
	return l.blank
}

func (l *Log) put(text string) {
	l.since++
	text = l.Hide.Text(text)
	if l.last = append(l.last, shorten(text)); len(l.last) > LastLines {
		l.last = slices.Delete(l.last, 0, 1)
	}
	l.lines = append(append(l.lines, text...), '\n')
}

// shorten leaves the start of a long line.
func shorten(text string) string {
	if len(text) <= lastBytes {
		return text
	}
	return strings.ToValidUTF8(text[:lastBytes], "") + "..."
}

// Marked tells whether an output stands in the last lines.
func (l *Log) Marked() bool { return l.found && l.since <= LastLines }

// Output is the JSON of the marked line, null without one.
func (l *Log) Output() (json.RawMessage, error) {
	if !l.Marked() {
		return json.RawMessage("null"), nil
	}
	return l.Check(l.marked)
}

// Check makes an output of what a job wrote.
func (l *Log) Check(text string) (json.RawMessage, error) {
	if len(text) > OutputBytes {
		return nil, fmt.Errorf("the job's output has %d bytes or more, at most %d are taken: write large results to the pipeline's storage and name them in the output",
			len(text), OutputBytes)
	}
	output := json.RawMessage(l.Hide.Text(text))
	if !json.Valid(output) {
		return nil, notJSON(string(output))
	}
	return output, nil
}

// Cause is why, then the last lines.
func (l *Log) Cause(why string) string {
	tail := l.last
	size := len(why)
	for i := len(tail) - 1; i >= 0; i-- {
		if size += len(tail[i]) + 1; size > causeBytes {
			tail = tail[i+1:]
			break
		}
	}
	return l.Hide.Text(strings.Join(append([]string{why}, tail...), "\n"))
}
