package store

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// readOnly is a file system whose write operations fail with EROFS. Its Lock does nothing, because Pebble would create a lock file.
type readOnly struct{ vfs.FS }

func refuse(op, name string) error { return &os.PathError{Op: op, Path: name, Err: syscall.EROFS} }

func (readOnly) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	return nil, refuse("create", name)
}

func (readOnly) Link(_, name string) error                 { return refuse("link", name) }
func (readOnly) Remove(name string) error                  { return refuse("remove", name) }
func (readOnly) RemoveAll(name string) error               { return refuse("remove", name) }
func (readOnly) Rename(_, name string) error               { return refuse("rename", name) }
func (readOnly) Lock(string) (io.Closer, error)            { return io.NopCloser(nil), nil }
func (readOnly) MkdirAll(name string, _ os.FileMode) error { return refuse("mkdir", name) }

func (readOnly) ReuseForWrite(_, name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	return nil, refuse("reuse", name)
}

func (readOnly) OpenReadWrite(name string, _ vfs.DiskWriteCategory, _ ...vfs.OpenOption) (vfs.File, error) {
	return nil, refuse("open", name)
}

// owned has the lock files that this process holds. POSIX locks do not work within a process: a process does not conflict with its own
// locks, and closing any descriptor of the file releases them. So the lock file of an owned directory must not be opened again.
var owned sync.Map

// ownedLock is the lock of a directory that this process owns; name is the lock file.
type ownedLock struct {
	io.Closer
	name string
}

func own(dir string, lock io.Closer) io.Closer {
	l := ownedLock{lock, filepath.Join(dir, "lock")}
	owned.Store(l.name, nil)
	return l
}

func (l ownedLock) Close() error {
	defer owned.Delete(l.name)
	return l.Closer.Close()
}

// ownerOf returns the id of the process that owns the directory, 0 if it is unknown.
func ownerOf(fs vfs.FS, dir string) int {
	name := filepath.Join(dir, "lock")
	if _, mine := owned.Load(name); mine {
		return os.Getpid()
	}
	if lock, err := os.Open(name); err == nil {
		defer lock.Close()
		if pid := holder(lock); pid != 0 {
			return pid
		}
	}
	return readPID(fs, fs.PathJoin(dir, "owner"))
}

// shareLock takes a shared lock on a directory without writing to it: no process can become its owner meanwhile, but others can read
// it. A directory that never had an owner has no lock file and needs no lock.
func shareLock(dir string) (io.Closer, error) {
	name := filepath.Join(dir, "lock")
	if _, mine := owned.Load(name); mine {
		return nil, &LockedError{dir, os.Getpid()}
	}
	lock, err := os.Open(name)
	if errors.Is(err, iofs.ErrNotExist) {
		return io.NopCloser(nil), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the lock of the state directory: %w", err)
	}
	share := syscall.Flock_t{Type: syscall.F_RDLCK, Whence: io.SeekStart}
	err = syscall.FcntlFlock(lock.Fd(), syscall.F_SETLK, &share)
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
		err = &LockedError{dir, holder(lock)}
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// holder returns the id of the process that holds a lock on the file, 0 if there is none or it is unknown.
func holder(lock *os.File) int {
	held := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart}
	if err := syscall.FcntlFlock(lock.Fd(), syscall.F_GETLK, &held); err != nil || held.Type == syscall.F_UNLCK {
		return 0
	}
	return int(held.Pid)
}
