// Package store keeps executions on disk, in a Pebble database. It handles keys and bytes and does not interpret the values:
// package engine stores runs in it, package catalog stores documents.
//
// A Batch is one commit: when Commit returns, either all of it is on disk or none of it. Concurrent commits share a sync.
//
// The files by subject:
//
//   - store.go: opening and closing a state directory; readonly.go: its lock, and opening it without writing
//   - keys.go: the layout of the keys; batch.go: writing; read.go, list.go, merge.go and docs.go: reading
//   - awaitsync.go: waiting until everything that was read is on disk
//   - space.go: full disks
//   - commits.go: detecting lost commits; damage.go: the errors of a damaged database
//   - check.go: counting and verifying keys
//   - salvage.go, raw.go and rebuild.go: copying the readable part of a damaged database into a new one
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

// Format is the version of the key layout that this release writes. Open accepts older versions and rejects newer ones.
const Format = 1

// Options configures Open. The zero value is right for production.
type Options struct {
	// FS is the file system of the directory. Defaults to the operating system's.
	FS vfs.FS
	// Logger receives the errors that the database reports. Defaults to slog.Default().
	Logger *slog.Logger
	// ReadOnly opens the directory without writing to it: no lock file, no owner file, nothing in the database.
	ReadOnly bool
	// Reserve is the free space, in bytes, below which Admit rejects new work, so that running work can finish. Defaults to 64 MiB.
	Reserve uint64
	// CacheBytes is the size of the block cache, in bytes. Defaults to 16 MiB.
	CacheBytes int64
	// WriteBytes is the size of a memtable, in bytes: so much is written before it is flushed to a sorted file. Defaults to 8 MiB.
	WriteBytes uint64
}

// Store is an open state directory. Only one process at a time has it open for writing. It is safe for concurrent use.
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

// ErrClosed is returned by calls on a closed store.
var ErrClosed = errors.New("the store is closed")

// enter begins a use of the database, and leave ends it. Close waits for uses in progress, because Pebble panics if it is used after
// it was closed.
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

// iter is an iterator that Store.Close waits for. Its read errors are DamagedErrors.
type iter struct {
	*pebble.Iterator
	s *Store
}

func (i iter) Close() error {
	defer i.s.leave()
	return i.s.damage.read(i.Iterator.Close())
}

// finish closes the iterator and returns the first error: err if it is not nil, else that of the iterator. It does not join them, because
// Pebble returns the same error from several methods of an iterator.
func (i iter) finish(err error) error {
	if err == nil {
		err = i.Error()
	}
	if closing := i.Close(); err == nil {
		err = closing
	}
	return err
}

func (i iter) Error() error { return i.s.damage.read(i.Iterator.Error()) }

func (i iter) ValueAndErr() ([]byte, error) {
	v, err := i.Iterator.ValueAndErr()
	return v, i.s.damage.read(err)
}

// iter returns an iterator, which the caller must close.
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

// LockedError means that another process owns the state directory. PID is 0 if it is unknown.
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

// NewerError means that a newer release wrote the state directory.
type NewerError struct {
	Dir   string
	Found int
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("state directory %s has format %d, written by a newer rayorch; this one reads up to %d: upgrade rayorch",
		e.Dir, e.Found, Format)
}

// Open opens a state directory, and creates it if it is missing. The error is a LockedError if another process owns the directory, a
// NewerError if a newer release wrote it, a LostError if it has lost commits, and a DamagedError if it cannot be read. In these cases
// Open does not change the database.
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

// open opens the database in s.dir. It checks for lost commits and for space before it opens the database for writing, because opening
// already writes.
func (s *Store) open(o Options) error {
	disk := o.FS
	if s.fs = disk; o.ReadOnly {
		o.FS = readOnly{disk}
	} else {
		if err := s.lost(o); err != nil {
			return err
		}
		if err := s.space.probe(); err != nil { // an open store waits for space, but Open reports the error
			return fmt.Errorf("write to %s: %w", s.dir, err)
		}
		s.fs = s.space.guard(disk)
		o.FS = s.fs
		if err := s.create(o); err != nil {
			return fmt.Errorf("create database in %s: %w", s.dir, err)
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

// create creates the database unless it exists. It creates it under a temporary name and renames it when it is complete: a database
// that a crash left incomplete could not be opened.
func (s *Store) create(o Options) error {
	name, temp := s.fs.PathJoin(s.dir, "db"), s.fs.PathJoin(s.dir, "db.new")
	if _, err := s.fs.Stat(name); err == nil {
		return nil
	}
	if err := s.fs.RemoveAll(temp); err != nil {
		return err
	}
	if err := s.fs.MkdirAll(temp, 0o700); err != nil {
		return err
	}
	db, err := pebble.Open(temp, s.pebbleOptions(o))
	if err != nil {
		return err
	}
	err = db.Set([]byte{keyFormat}, []byte(strconv.Itoa(Format)), pebble.Sync)
	if err := errors.Join(err, db.Close(), syncDir(s.fs, temp)); err != nil {
		return err
	}
	return errors.Join(s.fs.Rename(temp, name), syncDir(s.fs, s.dir))
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
		// Pebble upgrades its own format (FormatMajorVersion) when it opens a database. The version of our layout is in the format record.
		MemTableStopWritesThreshold: 4,
		// If a file is damaged, the files that would be compacted with it stay in level 0. They must not stop all commits.
		L0StopWritesThreshold: 1000,
	}
	po.CompactionConcurrencyRange = func() (int, int) { return 1, 2 }
	for i := range po.Levels {
		// A start looks up a name that usually does not exist: with filters, the lookup reads no blocks.
		po.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return po
}

// checkFormat returns a NewerError if the directory has a later format than this release.
func (s *Store) checkFormat() error {
	text, err := s.get([]byte{keyFormat})
	if err != nil {
		return fmt.Errorf("read format of %s: %w", s.dir, err)
	}
	found, err := strconv.Atoi(string(text))
	if err != nil || found < 1 {
		return fmt.Errorf("state directory %s: the format is not a positive integer: %q", s.dir, text)
	}
	if found > Format {
		return &NewerError{s.dir, found}
	}
	return nil
}

// findLastID reads the greatest run id, after which NewID continues.
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

// takeLock makes this process the owner of the directory, and writes its process id into the file owner, for the LockedError of other
// processes. If readOnly is set, it only takes a shared lock and writes nothing.
func takeLock(fs vfs.FS, dir string, readOnly bool) (io.Closer, error) {
	if readOnly {
		return shareLock(dir)
	}
	owner := fs.PathJoin(dir, "owner")
	lock, err := fs.Lock(fs.PathJoin(dir, "lock"))
	var file *iofs.PathError
	if errors.As(err, &file) { // the file could not be opened
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

// prepare creates the directory. It syncs the parent, because otherwise a crash could lose the new directory.
func prepare(fs vfs.FS, dir string) error {
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create state directory: %w", err)
	}
	if err := errors.Join(syncDir(fs, fs.PathDir(dir)), syncDir(fs, dir)); err != nil {
		return fmt.Errorf("create state directory: %w", err)
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

// Dir returns the path of the state directory.
func (s *Store) Dir() string { return s.dir }

// FS returns the file system of the state directory. If the store is open for writing, writes through it wait while the disk is full.
func (s *Store) FS() vfs.FS { return s.fs }

// Close releases the directory. On a full disk, it leaves the database as after a crash, because an orderly close needs space: no
// acknowledged commit is lost.
func (s *Store) Close() error {
	s.gate.Lock()
	again := s.closed
	s.closed = true
	s.gate.Unlock()
	if again {
		return nil
	}
	s.space.close()
	full := s.space.full() // read once: lazy commits may still be in progress and change it
	if !full {
		s.using.Wait()
	}
	var err error
	if s.db != nil && !full {
		err = errors.Join(s.db.Close(), s.commits.close())
	}
	return errors.Join(err, s.lock.Close())
}

// pebbleLog logs the database's errors. Pebble reports a failed write of its log as fatal: the process must exit, because its memory
// would be ahead of the disk.
type pebbleLog struct{ *slog.Logger }

func (l pebbleLog) Infof(format string, args ...any) {}

func (l pebbleLog) Errorf(format string, args ...any) {
	l.Error("database", "problem", fmt.Sprintf(format, args...))
}

func (l pebbleLog) Fatalf(format string, args ...any) {
	l.Error("database failed, exiting", "problem", fmt.Sprintf(format, args...))
	os.Exit(1)
}
