// Package joblog processes the lines that a job prints: it redacts secrets, finds the job's output, remembers the last lines for the
// cause of a failure, and passes the lines on together with their position in the job's log. It does not read logs: the runners
// (raytask, proctask, ekstask) do.
package joblog

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// OutputMark precedes the job's output in its log. The marked line is one of the last LastLines lines, but not always the last one:
// programs around the job, such as Ray, may print after it.
const OutputMark = "::rayorch-output::"

const (
	// LastLines is the maximum number of log lines in a cause. The output must be in one of that many last lines.
	LastLines = 20
	// lastBytes is the maximum length of a log line in a cause.
	lastBytes = 2 << 10
	// causeBytes is the maximum length of a cause. Step Functions allows 32,768 characters.
	causeBytes = 8 << 10
	// OutputBytes is the maximum size of an output. Larger results belong on storage.
	OutputBytes = 32 << 10
)

// Log processes the log of one attempt. It is not safe for concurrent use.
type Log struct {
	// Hide is applied to all text that leaves the Log: lines, outputs and causes.
	Hide Redactor
	// Own returns the part of a line that the job itself printed, and false if there is none. The default is the entire line.
	Own func(line string) (own string, some bool)

	w      Appender
	lines  []byte   // lines of the current call, to pass on
	read   []byte   // position after the last line that was read
	at     []byte   // position after the last line that was passed on
	last   []string // at most LastLines lines, for the cause
	marked string   // text after the last mark
	since  int      // number of lines since the mark
	found  bool     // whether a mark was found
	blank  bool     // whether an empty line is held back
}

// Appender stores lines and the position that follows them in the job's log; see task.Log.
type Appender interface {
	Append(lines, position []byte) error
}

// Begin creates the stored log before the job prints anything, so that a job that prints nothing has an empty log.
func (l *Log) Begin() { l.pass() }

// New returns a Log that passes lines on to w. w may be nil.
func New(w Appender, hide Redactor) *Log { return &Log{Hide: hide, w: w} }

// From makes the Log continue after a position that was stored before, and returns it.
func (l *Log) From(position []byte) *Log {
	l.read, l.at = position, position
	return l
}

// Note adds a line that the job did not print. The position does not change.
func (l *Log) Note(text string) {
	l.put(text)
	l.pass()
}

// Line processes one line, without its line end. position is the position in the job's log after the line.
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

// pass passes the current lines on. It stores the position even if there are no lines.
func (l *Log) pass() {
	if l.w != nil {
		_ = l.w.Append(l.lines, l.at) // a log that is full or closed does not fail the job
	}
	l.lines = l.lines[:0]
}

// line adds the line to the current lines, or reports that it holds the line back until the next one.
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
	// The shell code around the job's command prints a line end before the mark, in case the job's last line has none. So an empty
	// line is held back, and dropped if the mark follows.
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

// shorten cuts a line after lastBytes.
func shorten(text string) string {
	if len(text) <= lastBytes {
		return text
	}
	return strings.ToValidUTF8(text[:lastBytes], "") + "..."
}

// Marked reports whether one of the last lines contains an output.
func (l *Log) Marked() bool { return l.found && l.since <= LastLines }

// Output returns the JSON of the marked line, or null if there is none.
func (l *Log) Output() (json.RawMessage, error) {
	if !l.Marked() {
		return json.RawMessage("null"), nil
	}
	return l.ParseOutput(l.marked)
}

// ParseOutput returns the output that a job wrote, with secrets redacted. It is an error if the text is too large, or is not JSON.
func (l *Log) ParseOutput(text string) (json.RawMessage, error) {
	if len(text) > OutputBytes { // the caller may have read only OutputBytes+1
		return nil, fmt.Errorf("the job's output has %d bytes or more, but at most %d are allowed: write large results to the pipeline's "+
			"storage and return their paths", len(text), OutputBytes)
	}
	output := json.RawMessage(l.Hide.Text(text))
	if !json.Valid(output) {
		return nil, notJSON(string(output))
	}
	return output, nil
}

// Cause returns the cause of a failure: why, followed by the last lines of the log, at most causeBytes in total.
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
