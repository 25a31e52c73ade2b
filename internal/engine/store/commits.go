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

// commitsFile holds how many writes were synced, beside the database. The database takes a write-ahead log that was cut short
// for one that a crash left so; only a count that is kept elsewhere tells the two apart.
const commitsFile = "commits"

// commits keeps the number of the last write of a commit that was synced: the database numbers the writes of all batches, in the
// order of its log. The file itself is not synced: it is written after the sync of the commit, so that it is never ahead of the
// disk. A killed process leaves it exact, and after a power loss it may be behind, as it is when an older release wrote to the database.
type commits struct {
	want   atomic.Uint64 // what last is to be
	mu     sync.Mutex
	file   vfs.File
	last   uint64
	failed bool
	logger *slog.Logger
}

// LostError says that the database has fewer writes than were acknowledged. An owner that continues with it repeats what was lost.
type LostError struct {
	Dir            string
	Counted, Found uint64
}

func (e *LostError) Error() string {
	return fmt.Sprintf("the database in %s has lost at least %d writes that were on disk: it ends with write %d, and %d were counted",
		e.Dir, e.Counted-e.Found, e.Found, e.Counted)
}

// counted reads the count; 0 where there is none, or none that can be read.
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

// begin goes on counting from the number of the last write.
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

// synced notes the number of a write that is on disk, with all before it. A count that cannot be written stays behind, which
// only means that less is noticed.
//
// Commits that share a sync end at the same time: one of them writes for all.
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

func (c *commits) write(last uint64) {
	if last <= c.last || c.file == nil {
		return
	}
	c.last = last
	if _, err := c.file.WriteAt(countText(last), 0); err != nil && !c.failed {
		c.failed = true
		c.logger.Warn("count commits", "problem", err)
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

// end is the number after that of the batch's last write.
func end(b *pebble.Batch) uint64 { return uint64(b.SeqNum()) + uint64(b.Count()) }

// lastWrite is the number after that of the last write in a database. The database has it for its snapshots, and shows it
// nowhere: TestCommitsAreCounted fails when a new release has it elsewhere.
func lastWrite(db *pebble.DB) uint64 {
	snapshot := db.NewSnapshot()
	defer snapshot.Close()
	return reflect.ValueOf(snapshot).Elem().FieldByName("seqNum").Uint()
}

// lost compares the count with the database, before anything is written to it: a LostError where writes are missing. A database
// that cannot be read is an error, too.
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
	found, err := s.lookAtLast(o)
	if err == nil && found < want {
		err = &LostError{s.dir, want, found}
	}
	return err
}

// lookAtLast is lastWrite of a database that nobody has open.
func (s *Store) lookAtLast(o Options) (uint64, error) {
	o.FS, o.ReadOnly = readOnly{o.FS}, true
	db, err := s.openDB(o)
	if err != nil {
		return 0, err
	}
	return lastWrite(db), db.Close()
}
