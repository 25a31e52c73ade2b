package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rayorch/rayorch/internal/engine/store"
)

// LogInfo describes the stored log of an attempt of a task.
type LogInfo struct {
	Task, State string
	Attempt     int
	Started     time.Time
	Size        int64 // the number of stored bytes
	Dropped     int64 // the number of bytes that were deleted between the beginning and the end
	// Event is the id of the TaskScheduled event of the attempt; 0 for logs of earlier releases.
	Event int64 `json:",omitempty"`
}

// LogQuery selects a log: by Task, else by Event (the id of the TaskScheduled event of the attempt), else the newest log of State and
// Attempt. Attempt 0 means any attempt.
type LogQuery struct {
	Task, State string
	Event       int64
	Attempt     int
	// Follow makes the reader wait at the end of the log for more lines, until the task has ended or ctx is done.
	Follow bool
}

// Logs describes the stored logs of an execution's tasks, oldest first.
func (e *Engine) Logs(arn string) ([]LogInfo, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.leave()
	id, err := e.find(arn)
	if err != nil {
		return nil, err
	}
	return e.logs.list(id)
}

// OpenLog opens a log for reading. The error is ErrNoLog if there is none; but if Follow is set, OpenLog waits for one until the
// execution is closed.
func (e *Engine) OpenLog(ctx context.Context, arn string, q LogQuery) (io.ReadCloser, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.leave()
	id, err := e.find(arn)
	if err != nil {
		return nil, err
	}
	for {
		created := e.logs.whenCreated()
		changed, forget := e.watchers.on(id)
		r, err := e.logs.open(ctx, id, q)
		if !errors.Is(err, ErrNoLog) || !q.Follow {
			forget()
			return r, err
		}
		x, err := e.describe(id)
		if err != nil || x.Closed() {
			forget()
			return nil, errors.Join(err, ErrNoLog)
		}
		select {
		case <-created:
			forget()
		case <-changed:
		case <-ctx.Done():
			forget()
			return nil, ctx.Err()
		case <-e.ctx.Done():
			forget()
			return nil, ErrClosing
		}
	}
}

// open returns a reader for the newest log that matches a query.
func (l *logs) open(ctx context.Context, id store.ID, q LogQuery) (io.ReadCloser, error) {
	infos, err := l.list(id)
	if err != nil {
		return nil, err
	}
	for _, info := range slices.Backward(infos) {
		if q.wants(info) {
			return &logReader{ctx: ctx, engine: l.ctx, l: l, key: taskKey{id, info.Task}, follow: q.Follow}, nil
		}
	}
	return nil, ErrNoLog
}

func (q *LogQuery) wants(l LogInfo) bool {
	switch {
	case q.Task != "":
		return q.Task == l.Task
	case q.Event != 0:
		return q.Event == l.Event
	}
	return q.State == l.State && (q.Attempt == 0 || q.Attempt == l.Attempt)
}

// scheduled finds the TaskScheduled event of a task, starting at the last event of the same attempt, which is the one that the engine
// knows. It returns 0 if the history cannot be read; then the log can be found only by its state and attempt.
func (e *Engine) scheduled(id store.ID, event int64) int64 {
	for event > 0 {
		page, err := e.events(id, HistoryQuery{After: event - 1, Limit: 1})
		if err != nil || len(page) == 0 || page[0].ID != event || strings.HasSuffix(string(page[0].Type), "StateEntered") {
			return 0
		}
		if strings.HasSuffix(string(page[0].Type), "Scheduled") {
			return event
		}
		event = page[0].Previous
	}
	return 0
}

func (l *logs) whenCreated() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.created
}

// growing returns a channel that is closed when the log may have grown; nil if the log has no writer.
func (l *logs) growing(k taskKey) <-chan struct{} {
	l.mu.Lock()
	w := l.live[k]
	l.mu.Unlock()
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	return w.changed
}

// logReader reads the segments of a log. In place of deleted segments, it returns a line with the number of bytes.
type logReader struct {
	ctx, engine context.Context // of the reader, and of the engine
	l           *logs
	key         taskKey
	follow      bool

	file    vfs.File
	segment int    // the segment of file, or the next one
	note    []byte // to be returned before the segment
}

// Read returns io.EOF at the end of the log. If the reader follows the log, it waits there until the log has grown or has no writer.
func (r *logReader) Read(p []byte) (int, error) {
	for {
		if len(r.note) > 0 {
			n := copy(p, r.note)
			r.note = r.note[n:]
			return n, nil
		}
		grown := r.l.growing(r.key) // before the read, so that no later write is missed
		n, err := r.read(p)
		if n > 0 || err != nil && !errors.Is(err, io.EOF) {
			return n, err
		}
		if r.advance() {
			continue
		}
		if !r.follow || grown == nil {
			return 0, io.EOF
		}
		select {
		case <-grown:
		case <-r.ctx.Done():
			return 0, r.ctx.Err()
		case <-r.engine.Done():
			return 0, io.EOF
		}
	}
}

func (r *logReader) read(p []byte) (int, error) {
	if r.file == nil {
		f, err := r.l.fs.Open(r.l.path(r.key, r.segment))
		if err != nil {
			return 0, io.EOF
		}
		r.file = f
	}
	return r.file.Read(p)
}

// advance moves to the next existing segment, if there is one: then the current segment is complete.
func (r *logReader) advance() bool {
	n, err := r.l.note(r.key)
	if err != nil {
		return false
	}
	next := max(r.segment+1, n.First)
	if _, err := r.l.fs.Stat(r.l.path(r.key, next)); err != nil {
		return false
	}
	if r.file != nil {
		// The writer may have appended to the segment between the last read and the start of the next segment.
		if rest, err := io.ReadAll(r.file); err == nil && len(rest) > 0 {
			r.note = rest
		}
		_ = r.file.Close()
	}
	if next > r.segment+1 {
		r.note = append(r.note, fmt.Sprintf("\n... %d bytes omitted ...\n", n.Dropped)...)
	}
	r.file, r.segment = nil, next
	return true
}

// Close closes the file.
func (r *logReader) Close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}
