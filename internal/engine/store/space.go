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

// ErrFull says that the disk under the state directory has no room for new work. What runs goes on.
var ErrFull = errors.New("the disk under the state directory is full: make room, running executions wait and go on by themselves")

// How often the free space is looked at, and how a full disk is probed for room.
const (
	lookEvery  = time.Second
	probeEvery = 200 * time.Millisecond
	probeBytes = 1 << 20
)

// space watches the room on the disk. Below the reserve new work is refused, so that what runs can end; if the disk
// fills up in spite of it, writes wait until there is room again, and nothing is lost.
type space struct {
	fs      vfs.FS
	dir     string
	reserve uint64
	logger  *slog.Logger

	waiting atomic.Int32 // writes that found no room
	looked  atomic.Int64 // when the free space was last read, in ns
	low     atomic.Bool
	done    chan struct{}
	once    sync.Once
}

func newSpace(fs vfs.FS, dir string, o Options) *space {
	return &space{fs: fs, dir: dir, reserve: o.Reserve, logger: o.Logger, done: make(chan struct{})}
}

// guard makes writes that find no room wait for it.
func (sp *space) guard(fs vfs.FS) vfs.FS {
	return vfs.OnDiskFull(ordered{fs}, sp.wait)
}

// ordered makes a manifest's directory entry durable before anything can name it. The database creates the manifest,
// then a marker that names it, and syncs the directory once: enough where directories are journaled in order, but a
// file system may keep the marker and lose the manifest.
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

// wait returns when there is room again, or never after close: the write behind it must not be reported as done, and
// Close leaves the database alone.
func (sp *space) wait() {
	if sp.waiting.Add(1) == 1 {
		sp.logger.Error("disk full, waiting for room", "dir", sp.dir)
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
		sp.logger.Info("disk has room again, going on", "dir", sp.dir)
	}
}

// probe tries to write a little.
func (sp *space) probe() error {
	name := sp.fs.PathJoin(sp.dir, "probe")
	err := writeFile(sp.fs, name, make([]byte, probeBytes))
	if gone := sp.fs.Remove(name); !errors.Is(gone, os.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}

// admit refuses when the disk is full or nearly so.
func (sp *space) admit() error {
	now := time.Now().UnixNano()
	if last := sp.looked.Load(); now-last > int64(lookEvery) && sp.looked.CompareAndSwap(last, now) {
		usage, err := sp.fs.GetDiskUsage(sp.dir)
		sp.low.Store(err == nil && usage.AvailBytes < sp.reserve)
	}
	if sp.full() || sp.low.Load() {
		return ErrFull
	}
	return nil
}

// Full reports whether writes wait for room on the disk.
func (s *Store) Full() bool { return s.space.full() }

// Admit says whether there is room for new work: nil or ErrFull.
func (s *Store) Admit() error { return s.space.admit() }
