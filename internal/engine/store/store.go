// Package store keeps executions on disk: a log and indexes on Pebble. It knows bytes and keys only, nothing of states;
// engine writes runs through it, catalog its documents.
//
// One Batch is one commit: all of it is on disk when Commit returns, or none of it. Commits that come at the same time
// share a sync.
package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Format is the version of the layout that this program writes. It opens older ones and refuses newer ones.
const Format = 1

// Options says how a state directory is opened; the zero value is for production.
type Options struct {
	// FS holds the directory. Defaults to the operating system's.
	FS vfs.FS
	// Logger gets what the database reports. Defaults to slog.Default().
	Logger *slog.Logger
	// ReadOnly opens without writing anything: no lock file, no owner, nothing in the database.
	ReadOnly bool
	// Reserve is the free space below which Admit refuses new work, so that what runs can end. Defaults to 64 MiB.
	Reserve uint64
	// CacheBytes is the size of the block cache. Defaults to 16 MiB.
	CacheBytes int64
	// WriteBytes is how much is kept in memory before it is sorted into files. Defaults to 8 MiB.
	WriteBytes uint64
}

// Store is one state directory, owned by one process.
type Store struct {
	db     *pebble.DB
	fs     vfs.FS
	dir    string
	lock   io.Closer
	lastID atomic.Uint64
	space  *space
	logger *slog.Logger

	unsynced unsynced
	commits  commits
	damage   damage

	gate   sync.RWMutex // guards closed against using.Add
	closed bool
	using  sync.WaitGroup
}

// ErrClosed says that the store was closed before the call.
var ErrClosed = errors.New("the store is closed")

// enter begins a use of the database that Close waits for; leave ends it. The database itself would panic.
func (s *Store) enter() error {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if s.closed {
		return ErrClosed
	}
	s.using.Add(1)
	return nil
}

func (s *Store) leave() { s.using.Done() }

// iter is an iterator that Close waits for.
type iter struct {
	*pebble.Iterator
	s *Store
}

func (i iter) Close() error {
	defer i.s.leave()
	return i.s.damage.read(i.Iterator.Close())
}

func (i iter) Error() error { return i.s.damage.read(i.Iterator.Error()) }

func (i iter) ValueAndErr() ([]byte, error) {
	v, err := i.Iterator.ValueAndErr()
	return v, i.s.damage.read(err)
}

func (s *Store) iter(o *pebble.IterOptions) (iter, error) {
	if err := s.enter(); err != nil {
		return iter{}, err
	}
	it, err := s.db.NewIter(o)
	if err != nil {
		s.leave()
	}
	return iter{it, s}, s.damage.read(err)
}

// LockedError says that another process owns the state directory; PID is 0 when it left no note of itself.
type LockedError struct {
	Dir string
	PID int
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("state directory %s is in use by another process", e.Dir)
	}
	return fmt.Sprintf("state directory %s is in use by process %d", e.Dir, e.PID)
}

// NewerError says that a newer release wrote the state directory.
type NewerError struct {
	Dir   string
	Found int
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("state directory %s has format %d, written by a newer rayorch; this one reads up to %d: upgrade rayorch",
		e.Dir, e.Found, Format)
}

// Open takes a state directory and makes it when it is missing. The error is a LockedError when another process owns
// it, a NewerError when a newer release wrote it, a LostError when it has lost commits, and a DamagedError when it cannot be
// read; the directory is as it was then.
func Open(dir string, o Options) (*Store, error) {
	o = o.withDefaults()
	fs := o.FS
	if !o.ReadOnly {
		if err := prepare(fs, dir); err != nil {
			return nil, err
		}
	} else if _, err := fs.Stat(fs.PathJoin(dir, "db")); err != nil {
		return nil, fmt.Errorf("%s is not a state directory: %w", dir, err)
	}
	lock, err := takeLock(fs, dir, o.ReadOnly)
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, lock: lock, space: newSpace(fs, dir, o), logger: o.Logger, commits: commits{logger: o.Logger}}
	if err := s.open(o); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Reserve == 0 {
		o.Reserve = 64 << 20
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 16 << 20
	}
	if o.WriteBytes == 0 {
		o.WriteBytes = 8 << 20
	}
	return o
}

func (s *Store) open(o Options) error {
	disk := o.FS
	if s.fs = disk; o.ReadOnly {
		o.FS = readOnly{disk}
	} else {
		if err := s.lost(o); err != nil {
			return err
		}
		if err := s.space.probe(); err != nil { // an open store waits for space; opening one reports the error
			return fmt.Errorf("write to %s: %w", s.dir, err)
		}
		s.fs = s.space.guard(disk)
		o.FS = s.fs
		if err := s.create(o); err != nil {
			return fmt.Errorf("make database in %s: %w", s.dir, err)
		}
	}
	db, err := s.openDB(o)
	if err != nil {
		return err
	}
	s.db = db
	if err := s.checkFormat(); err != nil {
		return err
	}
	if err := s.findLastID(); err != nil || o.ReadOnly {
		return err
	}
	return s.commits.begin(disk, s.dir, lastWrite(db))
}

func (s *Store) openDB(o Options) (*pebble.DB, error) {
	db, err := pebble.Open(o.FS.PathJoin(s.dir, "db"), s.pebbleOptions(o))
	if err == nil {
		return db, nil
	}
	if unreadable(err) {
		err = s.damage.read(err)
	}
	return nil, fmt.Errorf("open database in %s: %w", s.dir, err)
}

// create makes a new database where there is none. It is made aside and put in its place when it is whole, since one
// that a crash left half-made could not be opened again.
func (s *Store) create(o Options) error {
	place, aside := s.fs.PathJoin(s.dir, "db"), s.fs.PathJoin(s.dir, "db.new")
	if _, err := s.fs.Stat(place); err == nil {
		return nil
	}
	if err := s.fs.RemoveAll(aside); err != nil {
		return err
	}
	if err := s.fs.MkdirAll(aside, 0o700); err != nil {
		return err
	}
	db, err := pebble.Open(aside, s.pebbleOptions(o))
	if err != nil {
		return err
	}
	err = db.Set([]byte{keyFormat}, []byte(strconv.Itoa(Format)), pebble.Sync)
	if err := errors.Join(err, db.Close(), syncDir(s.fs, aside)); err != nil {
		return err
	}
	return errors.Join(s.fs.Rename(aside, place), syncDir(s.fs, s.dir))
}

func (s *Store) pebbleOptions(o Options) *pebble.Options {
	po := &pebble.Options{
		FS:                 o.FS,
		ReadOnly:           o.ReadOnly,
		CacheSize:          o.CacheBytes,
		MemTableSize:       o.WriteBytes,
		FormatMajorVersion: pebble.FormatNewest,
		Logger:             pebbleLog{o.Logger},
		EventListener:      s.listener(),
		MaxOpenFiles:       256,
		// Automatic upgrades of the database's own format happen at Open; ours is in the format record.
		MemTableStopWritesThreshold: 4,
		// Files that cannot be compacted because one is damaged stay in level 0: they must not stop all commits.
		L0StopWritesThreshold: 1000,
	}
	po.CompactionConcurrencyRange = func() (int, int) { return 1, 2 }
	for i := range po.Levels {
		// Starts look for names that mostly do not exist: filters keep that from reading blocks.
		po.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return po
}

// checkFormat compares the directory's format with ours.
func (s *Store) checkFormat() error {
	text, err := s.get([]byte{keyFormat})
	if err != nil {
		return fmt.Errorf("read format of %s: %w", s.dir, err)
	}
	found, err := strconv.Atoi(string(text))
	if err != nil || found < 1 {
		return fmt.Errorf("state directory %s has the unreadable format %q", s.dir, text)
	}
	if found > Format {
		return &NewerError{s.dir, found}
	}
	return nil
}

func (s *Store) findLastID() error {
	it, err := s.iter(prefixBounds([]byte{keyRun}))
	if err != nil {
		return err
	}
	if it.Last() {
		s.lastID.Store(binary.BigEndian.Uint64(it.Key()[1:]))
	}
	return it.Close()
}

// takeLock makes this process the owner of the directory and leaves its pid for those who come second. A reader writes nothing.
func takeLock(fs vfs.FS, dir string, readOnly bool) (io.Closer, error) {
	if readOnly {
		return shareLock(dir)
	}
	owner := fs.PathJoin(dir, "owner")
	lock, err := fs.Lock(fs.PathJoin(dir, "lock"))
	var file *iofs.PathError
	if errors.As(err, &file) { // it could not be opened
		return nil, fmt.Errorf("lock the state directory: %w", err)
	}
	if err != nil {
		return nil, &LockedError{Dir: dir, PID: ownerOf(fs, dir)}
	}
	if fs == vfs.Default {
		lock = own(dir, lock)
	}
	if err := writeFile(fs, owner, []byte(strconv.Itoa(os.Getpid()))); err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", owner, err), lock.Close())
	}
	return lock, nil
}

// prepare makes the directory. A new one is only there after a crash when its parent is synced.
func prepare(fs vfs.FS, dir string) error {
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make state directory: %w", err)
	}
	if err := errors.Join(syncDir(fs, fs.PathDir(dir)), syncDir(fs, dir)); err != nil {
		return fmt.Errorf("make state directory: %w", err)
	}
	return nil
}

func syncDir(fs vfs.FS, name string) error {
	d, err := fs.OpenDir(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func readPID(fs vfs.FS, name string) int {
	f, err := fs.Open(name)
	if err != nil {
		return 0
	}
	defer f.Close()
	text, _ := io.ReadAll(io.LimitReader(f, 32))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

func writeFile(fs vfs.FS, name string, data []byte) error {
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// Dir is the state directory.
func (s *Store) Dir() string { return s.dir }

// FS is the file system that the state directory is on.
func (s *Store) FS() vfs.FS { return s.fs }

// Close gives the directory back. On a full disk the database is left as after a crash: nothing that was acknowledged
// is lost, and closing in order would need room.
func (s *Store) Close() error {
	s.gate.Lock()
	again := s.closed
	s.closed = true
	s.gate.Unlock()
	if again {
		return nil
	}
	s.space.close()
	full := s.space.full() // once: commits that were not waited for may be at work
	if !full {
		s.using.Wait()
	}
	var err error
	if s.db != nil && !full {
		err = errors.Join(s.db.Close(), s.commits.close())
	}
	return errors.Join(err, s.lock.Close())
}

// pebbleLog passes on what the database says. It reports a broken commit as fatal: nothing may go on after that, since
// memory would be ahead of the disk.
type pebbleLog struct{ *slog.Logger }

func (l pebbleLog) Infof(format string, args ...any) {}

func (l pebbleLog) Errorf(format string, args ...any) {
	l.Error("database", "problem", fmt.Sprintf(format, args...))
}

func (l pebbleLog) Fatalf(format string, args ...any) {
	l.Error("database failed, stopping at once", "problem", fmt.Sprintf(format, args...))
	os.Exit(1)
}
