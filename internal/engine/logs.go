package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rayorch/rayorch/internal/interp"
	"github.com/rayorch/rayorch/internal/store"
)

// Logs of tasks are plain files, since they are large and nobody's decisions depend on them: a crash may lose their last
// lines. A log keeps its beginning and its end: segment 0 holds the first half of what it may hold, and of the segments
// that follow, a quarter each, the last two stay.

// logNote is what the store keeps of a log, under its task.
type logNote struct {
	V       int    `json:"v"`
	State   string `json:"state"`
	Attempt int    `json:"attempt"`
	Started int64  `json:"started"`
	Dropped int64  `json:"dropped,omitempty"` // bytes between head and tail that are gone
	First   int    `json:"first,omitempty"`   // the first segment after 0 that is still there
}

// logs are the logs of all tasks.
type logs struct {
	st    *store.Store
	fs    vfs.FS
	limit int64

	mu      sync.Mutex
	live    map[taskKey]*logWriter
	created chan struct{} // closed when a log is made
}

func newLogs(st *store.Store, limit int64) *logs {
	return &logs{st: st, fs: st.FS(), limit: limit, live: map[taskKey]*logWriter{}, created: make(chan struct{})}
}

func (l *logs) dir(id store.ID) string {
	return l.fs.PathJoin(l.st.Dir(), "logs", strconv.FormatUint(uint64(id), 16))
}

// path is a segment's file. Tasks' ids are no file names, so their hash is.
func (l *logs) path(k taskKey, segment int) string {
	sum := sha256.Sum256([]byte(k.task))
	return l.fs.PathJoin(l.dir(k.run), hex.EncodeToString(sum[:8])+"."+strconv.Itoa(segment))
}

// segmentSize is how many bytes a segment may hold.
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
	_ = l.fs.RemoveAll(l.dir(id)) // files that stay are garbage, no harm
}

// logWriter takes what one attempt of a task prints. Nothing is made on disk before the first byte.
type logWriter struct {
	l   *logs
	key taskKey

	mu      sync.Mutex
	note    logNote
	file    vfs.File
	segment int
	at      int64 // the segment's size
	known   bool  // what a former engine wrote is looked up
	closed  bool
	changed chan struct{} // closed at each write and at the end
}

// writer opens the log of a task, after what a former engine wrote of it.
func (l *logs) writer(id store.ID, t interp.Task) *logWriter {
	w := &logWriter{l: l, key: taskKey{id, t.ID}, changed: make(chan struct{})}
	w.note = logNote{V: metaVersion, State: t.State, Attempt: t.Attempt, Started: time.Now().UnixMilli(), First: 1}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.live[w.key] = w
	return w
}

func (w *logWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return 0, io.ErrClosedPipe
	}
	if err := w.ready(); err != nil {
		return 0, fmt.Errorf("log of %s: %w", w.note.State, err)
	}
	done := 0
	for done < len(p) {
		room := w.l.segmentSize(w.segment) - w.at
		if room <= 0 {
			if err := w.rotate(); err != nil {
				return done, fmt.Errorf("log of %s: %w", w.note.State, err)
			}
			continue
		}
		// The file system may change what it is given to write.
		piece := append([]byte(nil), p[done:done+int(min(room, int64(len(p)-done)))]...)
		n, err := w.file.WriteAt(piece, w.at)
		w.at, done = w.at+int64(n), done+n
		if err != nil {
			return done, fmt.Errorf("log of %s: %w", w.note.State, err)
		}
	}
	close(w.changed)
	w.changed = make(chan struct{})
	return done, nil
}

// ready opens the segment to write to.
func (w *logWriter) ready() error {
	if w.file != nil {
		return nil
	}
	if err := w.l.fs.MkdirAll(w.l.dir(w.key.run), 0o700); err != nil {
		return err
	}
	if !w.known {
		old, err := w.l.note(w.key)
		if err == nil {
			w.note = old
			w.segment = w.last()
		}
		w.known = true
	}
	if err := w.open(); err != nil {
		return err
	}
	return w.keepNote()
}

// last is the last segment that a former engine wrote.
func (w *logWriter) last() int {
	n := w.note.First
	if _, err := w.l.fs.Stat(w.l.path(w.key, n)); err != nil {
		return 0
	}
	for {
		if _, err := w.l.fs.Stat(w.l.path(w.key, n+1)); err != nil {
			return n
		}
		n++
	}
}

func (w *logWriter) open() error {
	f, err := w.l.fs.OpenReadWrite(w.l.path(w.key, w.segment), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	w.file, w.at = f, w.l.size(w.key, w.segment)
	return nil
}

// rotate begins the next segment and drops the one that leaves the tail.
func (w *logWriter) rotate() error {
	if err := w.file.Close(); err != nil {
		return err
	}
	w.segment++
	if drop := w.segment - 2; drop >= 1 {
		w.note.Dropped += w.l.size(w.key, drop)
		w.note.First = drop + 1
		_ = w.l.fs.Remove(w.l.path(w.key, drop))
	}
	if err := w.keepNote(); err != nil {
		return err
	}
	return w.open()
}

func (w *logWriter) keepNote() error {
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
	if w.file == nil {
		return nil
	}
	return w.file.Close()
}

// note reads what the store keeps of a log; ErrNoLog when there is none.
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
		return n, fmt.Errorf("the log's record is damaged: %w", err)
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
			Started: fromMillis(n.Started), Size: size, Dropped: n.Dropped})
	})
	return infos, errors.Join(err, broken)
}
