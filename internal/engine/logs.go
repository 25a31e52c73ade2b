package engine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/engine/store"
)

// Logs of tasks are plain files, not records of the store, because they are large and no decision depends on them: if the machine fails,
// their last lines may be lost. Of a log that exceeds Config.LogBytes, the beginning and the end are kept: segment 0 has up to half of
// that size and stays; of the later segments, of a quarter each, only the last two stay. The position in the log's source is stored next
// to the segments (logs_position.go), so that a runner that reads the source again after a restart writes no line twice.

// logNote is the record that the store has of a task's log.
type logNote struct {
	V       int    `json:"v"`
	State   string `json:"state"`
	Attempt int    `json:"attempt"`
	Started int64  `json:"started"`           // in milliseconds since 1970
	Event   int64  `json:"event,omitempty"`   // the id of the TaskScheduled event; 0 if an earlier release wrote the log
	Dropped int64  `json:"dropped,omitempty"` // the number of bytes that were deleted between the beginning and the end
	First   int    `json:"first,omitempty"`   // the first segment after 0 that exists
}

// logs has the logs of all tasks.
type logs struct {
	ctx    context.Context // ends when the engine closes
	st     *store.Store
	fs     vfs.FS
	limit  int64 // Config.LogBytes
	logger *slog.Logger

	mu      sync.Mutex
	live    map[taskKey]*logWriter // the logs that are being written
	created chan struct{}          // closed when a log is created
}

// newLogs returns the logs in a state directory. fs must not be the store's file system, whose writes always wait while the disk is full:
// the writer of a log must stop waiting when the engine closes.
func newLogs(ctx context.Context, st *store.Store, fs vfs.FS, limit int64, logger *slog.Logger) *logs {
	return &logs{ctx: ctx, st: st, fs: fs, limit: limit, logger: logger,
		live: map[taskKey]*logWriter{}, created: make(chan struct{})}
}

func (l *logs) dir(id store.ID) string {
	return l.fs.PathJoin(l.st.Dir(), "logs", logDir(id))
}

func logDir(id store.ID) string { return strconv.FormatUint(uint64(id), 16) }

// name returns the prefix of the names of a task's files. It contains a hash of the task's id, which may not be a valid file name.
func (k taskKey) name() string {
	sum := sha256.Sum256([]byte(k.task))
	return hex.EncodeToString(sum[:8]) + "."
}

// path returns the file of a segment.
func (l *logs) path(k taskKey, segment int) string {
	return l.fs.PathJoin(l.dir(k.run), k.name()+strconv.Itoa(segment))
}

// segments returns the numbers of the first and the last existing segment after 0; 0 if there are none.
func (l *logs) segments(k taskKey) (first, last int) {
	names, _ := l.fs.List(l.dir(k.run)) // if this fails, there is no log yet, or the next write fails, too
	for _, name := range names {
		number, ok := strings.CutPrefix(name, k.name())
		if n, err := strconv.Atoi(number); ok && err == nil && n > 0 {
			last = max(last, n)
			if first == 0 || n < first {
				first = n
			}
		}
	}
	return first, last
}

// segmentSize returns the maximum size of a segment, in bytes.
func (l *logs) segmentSize(segment int) int64 {
	if segment == 0 {
		return l.limit / 2
	}
	return l.limit / 4
}

func (l *logs) size(k taskKey, segment int) int64 {
	info, err := l.fs.Stat(l.path(k, segment))
	if err != nil {
		return 0
	}
	return info.Size()
}

func (l *logs) forget(id store.ID) {
	_ = l.fs.RemoveAll(l.dir(id)) // files that remain are not used again
}

// logWriter writes the log of one attempt of a task. It creates no file before the first write.
type logWriter struct {
	l         *logs
	key       taskKey
	scheduled func() int64 // returns the id of the TaskScheduled event

	mu       sync.Mutex
	note     logNote
	file     vfs.File
	segment  int
	at       int64       // the segment's size
	position logPosition // the last stored position
	slots    [2]vfs.File // the files of the positions, written alternately
	known    bool        // lookUp has set the fields above from the existing files
	closed   bool
	changed  chan struct{} // closed at each write and at the end
}

// writer returns a writer that appends to the log of a task, which an earlier engine may have begun.
func (l *logs) writer(id store.ID, t interp.Task, scheduled func() int64) *logWriter {
	w := &logWriter{l: l, key: taskKey{id, t.ID}, scheduled: scheduled, changed: make(chan struct{})}
	w.note = logNote{V: metaVersion, State: t.State, Attempt: t.Attempt, Started: time.Now().UnixMilli(), First: 1}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.live[w.key] = w
	return w
}

// Position returns the position of the last Append, even if an earlier engine called it; nil if there is none.
func (w *logWriter) Position() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.lookUp(); err != nil {
		w.l.logger.Error("could not read the position of a log: lines may be repeated", "log", w.note.State, "problem", err)
	}
	if len(w.position.source) == 0 {
		return nil
	}
	return w.position.source
}

func (w *logWriter) Write(p []byte) (int, error) {
	if err := w.Append(p, w.Position()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Append writes lines and the position in the source after them. While the disk is full, it waits until the engine closes.
func (w *logWriter) Append(lines, position []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for said := false; ; said = true {
		err := w.append(lines, position)
		if err == nil || !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
			return err
		}
		if !said {
			w.l.logger.Error("the disk is full: a log waits for space", "dir", w.l.st.Dir(), "log", w.note.State)
		}
		w.mu.Unlock() // let readers and Close continue
		select {
		case <-w.l.ctx.Done():
		case <-time.After(logRetry):
		}
		w.mu.Lock()
		if w.l.ctx.Err() != nil {
			return err
		}
	}
}

// logRetry is how long a write waits on a full disk before it is retried.
const logRetry = 200 * time.Millisecond

// append writes the position before the lines. If a crash comes between the two, the new position is ahead of the log, and lookUp uses the
// older one. After an error, the next call starts over. The caller holds w.mu.
func (w *logWriter) append(lines, position []byte) (err error) {
	if w.closed {
		return io.ErrClosedPipe
	}
	defer func() {
		if err != nil {
			w.startOver()
			err = fmt.Errorf("log of %s: %w", w.note.State, err)
		}
	}()
	if err := w.lookUp(); err != nil {
		return err
	}
	if len(lines) == 0 && bytes.Equal(position, w.position.source) && w.file != nil { // the first Append creates the log, even if it is empty
		return nil
	}
	if err := w.ready(); err != nil {
		return err
	}
	if err := w.keepPosition(position, int64(len(lines))); err != nil {
		return err
	}
	if err := w.write(lines); err != nil {
		return err
	}
	close(w.changed)
	w.changed = make(chan struct{})
	return nil
}

// write writes to the current segment, and continues in the next one when it is full.
func (w *logWriter) write(p []byte) error {
	for len(p) > 0 {
		room := w.l.segmentSize(w.segment) - w.at
		if room <= 0 {
			if err := w.rotate(); err != nil {
				return err
			}
			continue
		}
		// Copy the lines, because the file system may modify the buffer.
		piece := append([]byte(nil), p[:min(room, int64(len(p)))]...)
		n, err := w.file.WriteAt(piece, w.at)
		w.at, p = w.at+int64(n), p[n:]
		if err != nil {
			return err
		}
	}
	return nil
}

// startOver discards the writer's state after a failed write: the next write reads it from the files, as after a crash.
func (w *logWriter) startOver() {
	w.known = false
	_ = w.closeFiles()
}

// lookUp sets the writer's state from the existing files, and cuts off the lines that the position does not cover.
func (w *logWriter) lookUp() error {
	if w.known {
		return nil
	}
	old, err := w.l.note(w.key)
	if err == nil {
		w.note = old
	}
	first, last := w.l.segments(w.key)
	if gone := first - w.note.First; gone > 0 { // segments were deleted, but a crash lost the note
		w.note.Dropped += int64(gone) * w.l.segmentSize(first)
		w.note.First = first
	}
	w.segment, w.at = last, w.l.size(w.key, last)
	if w.position, err = w.l.position(w.key, w.segment, w.at); err != nil {
		return err
	}
	gone := w.position.segment > 0 && w.position.segment < first // the position's segment was deleted
	if w.position.covers(w.segment, w.at) && !gone {
		if err := w.truncate(); err != nil {
			return err
		}
	}
	w.known = true
	if w.segment == 0 && w.at == 0 {
		return nil
	}
	return w.keepNote() // a crash may have lost it
}

// truncate removes the lines after the position.
func (w *logWriter) truncate() error {
	p := w.position
	if w.segment == p.segment && w.at == p.at {
		return nil
	}
	for ; w.segment > p.segment; w.segment-- {
		if err := w.l.fs.Remove(w.l.path(w.key, w.segment)); err != nil {
			return err
		}
	}
	w.at = p.at
	return w.l.truncate(w.l.path(w.key, p.segment), p.at)
}

// ready opens the current segment for writing.
func (w *logWriter) ready() error {
	if w.file != nil {
		return nil
	}
	if err := w.l.fs.MkdirAll(w.l.dir(w.key.run), 0o700); err != nil {
		return err
	}
	if err := w.open(); err != nil {
		return err
	}
	return w.keepNote()
}

func (w *logWriter) open() error {
	f, err := w.l.fs.OpenReadWrite(w.l.path(w.key, w.segment), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	w.file, w.at = f, w.l.size(w.key, w.segment)
	return nil
}

// rotate starts the next segment and deletes the last but two.
func (w *logWriter) rotate() error {
	err := w.file.Close()
	w.file = nil
	if err != nil {
		return err
	}
	w.segment++
	if drop := w.segment - 2; drop >= 1 {
		if drop >= w.note.First {
			w.note.Dropped += w.l.size(w.key, drop)
			w.note.First = drop + 1
		}
		_ = w.l.fs.Remove(w.l.path(w.key, drop))
	}
	if err := w.keepNote(); err != nil {
		return err
	}
	return w.open()
}

// keepNote stores the note, and notifies those who wait for a new log.
func (w *logWriter) keepNote() error {
	if w.note.Event == 0 {
		w.note.Event = w.scheduled()
	}
	v, _ := json.Marshal(w.note) // plain fields: it cannot fail
	b := w.l.st.NewBatch()
	b.Log(w.key.run, w.key.task, v)
	if err := w.l.st.CommitLazily(b); err != nil {
		return err
	}
	w.l.mu.Lock()
	defer w.l.mu.Unlock()
	close(w.l.created)
	w.l.created = make(chan struct{})
	return nil
}

// Close ends the log.
func (w *logWriter) Close() error {
	w.l.mu.Lock()
	delete(w.l.live, w.key)
	w.l.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	w.closed = true
	close(w.changed)
	return w.closeFiles()
}

// forgetPosition deletes the positions of a complete log.
func (w *logWriter) forgetPosition() {
	for slot := range uint64(2) {
		_ = w.l.fs.Remove(w.l.positionPath(w.key, slot)) // a file that remains is not used again
	}
}

func (w *logWriter) closeFiles() (err error) {
	for _, f := range []*vfs.File{&w.file, &w.slots[0], &w.slots[1]} {
		if *f != nil {
			err = errors.Join(err, (*f).Close())
			*f = nil
		}
	}
	return err
}

// note reads the record of a log. The error is ErrNoLog if there is none.
func (l *logs) note(k taskKey) (logNote, error) {
	v, err := l.st.Log(k.run, k.task)
	if errors.Is(err, store.ErrNoLog) {
		return logNote{}, ErrNoLog
	}
	if err != nil {
		return logNote{}, err
	}
	return decodeNote(v)
}

func decodeNote(v []byte) (logNote, error) {
	var n logNote
	if err := json.Unmarshal(v, &n); err != nil {
		return n, fmt.Errorf("the record of the log is damaged: %w", err)
	}
	n.First = max(n.First, 1)
	return n, nil
}

// list describes the logs of a run, oldest first.
func (l *logs) list(id store.ID) ([]LogInfo, error) {
	var infos []LogInfo
	var broken error
	err := l.st.Logs(id, func(task string, v []byte) {
		n, err := decodeNote(v)
		broken = errors.Join(broken, err)
		k := taskKey{id, task}
		size := l.size(k, 0)
		for s := n.First; ; s++ {
			more := l.size(k, s)
			if size += more; more == 0 {
				break
			}
		}
		infos = append(infos, LogInfo{Task: task, State: n.State, Attempt: n.Attempt,
			Started: fromMillis(n.Started), Size: size, Dropped: n.Dropped, Event: n.Event})
	})
	slices.SortStableFunc(infos, func(a, b LogInfo) int { return a.Started.Compare(b.Started) })
	return infos, errors.Join(err, broken)
}
