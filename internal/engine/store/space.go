package store

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrFull means that the disk of the state directory has no space for new work. Running executions continue.
var ErrFull = errors.New("the disk of the state directory is full: free some space; running executions wait and then continue by themselves")

// How often the free space is checked, and how a full disk is probed for space.
const (
	checkEvery = time.Second
	probeEvery = 200 * time.Millisecond
	probeBytes = 1 << 20
)

// space watches the free space on the disk. If it is below the reserve, new work is rejected, so that running work can finish. If the
// disk becomes full nevertheless, writes wait until there is space again, and nothing is lost.
type space struct {
	fs      vfs.FS
	dir     string
	reserve uint64
	logger  *slog.Logger

	waiting atomic.Int32 // the number of writes that wait for space
	checked atomic.Int64 // when the free space was last read, in ns since 1970
	low     atomic.Bool  // the free space was below the reserve then
	done    chan struct{}
	once    sync.Once
}

func newSpace(fs vfs.FS, dir string, o Options) *space {
	return &space{fs: fs, dir: dir, reserve: o.Reserve, logger: o.Logger, done: make(chan struct{})}
}

// guard returns a file system whose writes wait while the disk is full.
func (sp *space) guard(fs vfs.FS) vfs.FS {
	return vfs.OnDiskFull(ordered{fs}, sp.wait)
}

// ordered syncs the directory after it created a manifest. Pebble creates the manifest, then a marker file that names it, and syncs the
// directory once. That is enough if the file system journals directory entries in order; others may keep the marker and lose the
// manifest in a crash.
type ordered struct{ vfs.FS }

func (o ordered) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := o.FS.Create(name, category)
	if err == nil && strings.HasPrefix(o.PathBase(name), "MANIFEST-") {
		err = syncDir(o.FS, o.PathDir(name))
	}
	return f, err
}

func (sp *space) full() bool { return sp.waiting.Load() > 0 }

func (sp *space) close() { sp.once.Do(func() { close(sp.done) }) }

// wait returns when there is space again. After close it never returns, because Pebble must not report the waiting write as done;
// Store.Close does not touch the database then.
func (sp *space) wait() {
	if sp.waiting.Add(1) == 1 {
		sp.logger.Error("disk full, waiting for space", "dir", sp.dir)
	}
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for sp.probe() != nil {
		select {
		case <-tick.C:
		case <-sp.done:
			select {}
		}
	}
	if sp.waiting.Add(-1) == 0 {
		sp.logger.Info("disk has space again, continuing", "dir", sp.dir)
	}
}

// probe writes a file of probeBytes and removes it. The error is nil if there is space for it.
func (sp *space) probe() error {
	name := sp.fs.PathJoin(sp.dir, "probe")
	err := writeFile(sp.fs, name, make([]byte, probeBytes))
	if gone := sp.fs.Remove(name); !errors.Is(gone, os.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}

// admit returns ErrFull if writes wait for space or the free space is below the reserve. It reads the free space once per checkEvery.
func (sp *space) admit() error {
	now := time.Now().UnixNano()
	if last := sp.checked.Load(); now-last > int64(checkEvery) && sp.checked.CompareAndSwap(last, now) {
		usage, err := sp.fs.GetDiskUsage(sp.dir)
		sp.low.Store(err == nil && usage.AvailBytes < sp.reserve)
	}
	if sp.full() || sp.low.Load() {
		return ErrFull
	}
	return nil
}

// Full reports whether writes wait for space on the disk.
func (s *Store) Full() bool { return s.space.full() }

// Admit returns ErrFull if there is no space for new work, and nil otherwise.
func (s *Store) Admit() error { return s.space.admit() }
