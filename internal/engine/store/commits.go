package store

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"log/slog"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// commitsFile holds the number of synced writes, in a file next to the database. Pebble cannot distinguish a write-ahead log that lost
// its end from one whose end was never written before a crash; only a count that is stored elsewhere can.
const commitsFile = "commits"

// commits stores the sequence number after the last synced write. Pebble numbers the writes of all batches in the order of its log.
// The file itself is not synced: it is written after the sync of the commit, so that it is never ahead of the disk. It is exact after a
// process was killed. It may be behind after a power loss, or if an older release wrote to the database; then fewer losses are detected.
type commits struct {
	want   atomic.Uint64 // the number that the file should have
	mu     sync.Mutex
	file   vfs.File
	last   uint64 // the number that the file has
	failed bool   // a failure was logged
	logger *slog.Logger
}

// LostError means that the database has fewer writes than were acknowledged. An owner that continued with it would repeat the work
// whose records are lost.
type LostError struct {
	Dir            string
	Counted, Found uint64
}

func (e *LostError) Error() string {
	return fmt.Sprintf("the database in %s has lost at least %d writes that were on disk: it ends with write %d, expected %d",
		e.Dir, e.Counted-e.Found, e.Found, e.Counted)
}

// counted reads the number from the file; 0 if the file is missing or has no valid number.
func counted(fs vfs.FS, dir string) (uint64, error) {
	f, err := fs.Open(fs.PathJoin(dir, commitsFile))
	if errors.Is(err, iofs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 32))
	n, malformed := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if malformed != nil { // a power loss may leave the file empty
		return 0, err
	}
	return n, err
}

func countText(n uint64) []byte { return fmt.Appendf(nil, "%020d\n", n) }

// begin opens the file, creating it if necessary, and continues from the number of the database's last write.
func (c *commits) begin(fs vfs.FS, dir string, last uint64) error {
	name := fs.PathJoin(dir, commitsFile)
	f, err := fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if errors.Is(err, iofs.ErrNotExist) {
		if err := errors.Join(writeFile(fs, name, countText(last)), syncDir(fs, dir)); err != nil {
			return err
		}
		f, err = fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	}
	if err != nil {
		return err
	}
	c.file = f
	c.synced(last)
	return nil
}

// synced records that the writes below a number are on disk. If the file cannot be written, it stays behind, which only means that
// fewer losses are detected.
//
// Commits that share a sync end at the same time: one of them writes the file for all.
func (c *commits) synced(last uint64) {
	for was := c.want.Load(); ; was = c.want.Load() {
		if last <= was {
			return
		}
		if c.want.CompareAndSwap(was, last) {
			break
		}
	}
	for c.mu.TryLock() {
		n := c.want.Load()
		c.write(n)
		c.mu.Unlock()
		if c.want.Load() == n {
			return
		}
	}
}

// write writes the number to the file. The caller holds c.mu.
func (c *commits) write(last uint64) {
	if last <= c.last || c.file == nil {
		return
	}
	c.last = last
	if _, err := c.file.WriteAt(countText(last), 0); err != nil && !c.failed {
		c.failed = true
		c.logger.Warn("could not record the number of commits: a loss of commits may not be detected", "problem", err)
	}
}

func (c *commits) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file == nil {
		return nil
	}
	f := c.file
	c.file = nil
	return errors.Join(f.Sync(), f.Close())
}

// end returns the sequence number after the batch's last write.
func end(b *pebble.Batch) uint64 { return uint64(b.SeqNum()) + uint64(b.Count()) }

// lastWrite returns the sequence number after the last write in a database. Pebble has no API for it, so it is read from an unexported
// field of a snapshot. TestCommitsAreCounted fails if a new Pebble release moves the field.
func lastWrite(db *pebble.DB) uint64 {
	snapshot := db.NewSnapshot()
	defer snapshot.Close()
	return reflect.ValueOf(snapshot).Elem().FieldByName("seqNum").Uint()
}

// lost returns a LostError if the database has fewer writes than the commits file says, or an error if the database cannot be read.
// It writes nothing, and must run before the database is opened for writing.
func (s *Store) lost(o Options) error {
	want, err := counted(o.FS, s.dir)
	if err != nil {
		return fmt.Errorf("read the count of commits in %s: %w", s.dir, err)
	}
	if want == 0 {
		return nil
	}
	if _, err := o.FS.Stat(s.fs.PathJoin(s.dir, "db")); errors.Is(err, iofs.ErrNotExist) {
		return &LostError{Dir: s.dir, Counted: want}
	}
	found, err := s.readLastWrite(o)
	if err == nil && found < want {
		err = &LostError{s.dir, want, found}
	}
	return err
}

// readLastWrite opens the database read-only and returns its lastWrite.
func (s *Store) readLastWrite(o Options) (uint64, error) {
	o.FS, o.ReadOnly = readOnly{o.FS}, true
	db, err := s.openDB(o)
	if err != nil {
		return 0, err
	}
	return lastWrite(db), db.Close()
}
