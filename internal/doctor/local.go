package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/engine/home"
)

// Local has the checks of this machine. Its functions return what a run would use.
type Local struct {
	StateDir func() (string, error)
	// Resolver returns a resolver that does not start Ray.
	Resolver func() (ray.Resolver, error)
	// Hint returns how to fix an error; "" if that is unknown.
	Hint func(error) string
}

// Checks returns the checks for runs on a target of kind local.
func (l Local) Checks() []Check {
	return []Check{
		{Name: "python with ray", Severity: Required, Run: l.python},
		{Name: "ray", Severity: Required, Run: l.ray},
		l.State(),
		{Name: "disk", Severity: Advisory, Run: l.disk,
			Fix: "free up disk space for executions, logs and results; with less than 64 MiB, no run starts, and running ones wait"},
		{Name: "ray's disk", Severity: Advisory, Run: rayDisk, Fix: "free up disk space for Ray's sessions, logs and spilled objects, to at least 2 GiB"},
		{Name: "shared memory", Severity: Advisory, Run: sharedMemory,
			Fix: "Ray's object store will use the disk, which is slow; in a container, increase the shared memory with --shm-size"},
	}
}

// State returns the check of the state directory, which runs on every target need.
func (l Local) State() Check {
	return Check{Name: "state directory", Severity: Required, Run: l.state}
}

// python checks that there is a Python for starting Ray. A Python without Ray is sufficient, because the first run installs Ray.
func (l Local) python(ctx context.Context) []Finding {
	r, err := l.Resolver()
	if err != nil {
		return []Finding{{Err: err}}
	}
	python := r.Own.Python
	p, ok, err := python.Find(ctx)
	switch {
	case err != nil:
		return failed("set RAYORCH_PYTHON to a Python 3.10 or later that has ray[default], or unset it", "%v", err)
	case ok:
		return found(true, "%s, Ray %s (%s)", p.Path, p.RayVersion, p.Source)
	}
	base, err := python.Base(ctx)
	if err != nil {
		return failed("this is only needed if rayorch starts Ray itself; to install Python on Debian, run: apt-get install python3 python3-venv", "%v", err)
	}
	return []Finding{{OK: true, Text: base + ", without Ray",
		Advice: "the first run installs ray[default]==" + ray.Release + " from PyPI (about 400 MB) in a virtual environment"}}
}

// ray finds the Ray cluster in the same way as a run, so that doctor and run never disagree.
func (l Local) ray(ctx context.Context) []Finding {
	r, err := l.Resolver()
	if err != nil {
		return []Finding{{Err: err}}
	}
	cluster, err := r.Resolve(ctx)
	switch {
	case errors.Is(err, ray.ErrNoRay):
		return []Finding{{OK: true, Text: "not running on this machine",
			Advice: "a run starts Ray and stops it when it ends; to keep one running, run: rayorch ray start"}}
	case err != nil:
		return failed(l.Hint(err), "%v", err)
	}
	return found(true, "%s", cluster)
}

// state checks that the state directory is writable. If a process already serves it, that process writes to it, so the
// permissions of the current user do not matter.
func (l Local) state(ctx context.Context) []Finding {
	dir, err := l.StateDir()
	if err != nil {
		return []Finding{{Err: err}}
	}
	if addr, err := home.Find(ctx, dir); err == nil {
		return found(true, "%s, served by process %d", dir, addr.PID)
	}
	if err := writable(dir); err != nil {
		return failed("choose another directory with --state-dir or RAYORCH_STATE_DIR", "%s is not writable: %v", dir, err)
	}
	return found(true, "%s", dir)
}

// writable checks whether files can be created in a directory. It creates a file, because the permissions do not reveal a
// read-only file system. If the directory does not exist, it uses the nearest existing parent, because doctor must not create
// directories.
func writable(dir string) error {
	dir, err := existing(dir)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".rayorch-doctor-")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// existing returns the directory, or its nearest parent that exists.
func existing(dir string) (string, error) {
	for {
		_, err := os.Stat(dir)
		if err == nil || !errors.Is(err, os.ErrNotExist) || filepath.Dir(dir) == dir {
			return dir, err
		}
		dir = filepath.Dir(dir)
	}
}

const (
	lowState  = 256 << 20 // a warning, well before fullState
	fullState = 64 << 20  // with less, the engine starts no run
	lowDisk   = 2 << 30   // for Ray's environment, logs and spilled objects
	lowShm    = 512 << 20 // for Ray's object store; with less, it uses the disk, which is slow
)

// disk checks the free space in the file system of the state directory.
func (l Local) disk(context.Context) []Finding {
	dir, err := l.StateDir()
	if err == nil {
		dir, err = existing(dir)
	}
	var free uint64
	if err == nil {
		free, err = freeBytes(dir)
	}
	if err != nil {
		return []Finding{{Err: err}}
	}
	return stateSpace(free, dir)
}

// stateSpace returns the finding for an amount of free space in bytes. Its severity is Required if no run could start.
func stateSpace(free uint64, dir string) []Finding {
	f := Finding{OK: free >= lowState, Text: gibFree(free, dir)}
	if free < fullState {
		f.Severity = Required
	}
	return []Finding{f}
}

// rayDisk checks the free space in the file system of Ray's temporary directory.
func rayDisk(context.Context) []Finding {
	free, err := freeBytes(ray.TempRoot)
	if err != nil {
		return []Finding{{Err: err}}
	}
	return found(free >= lowDisk, "%s", gibFree(free, ray.TempRoot))
}

// sharedMemory checks the free space in /dev/shm. It passes on systems without it, where Ray does not use it.
func sharedMemory(context.Context) []Finding {
	free, err := freeBytes("/dev/shm")
	if err != nil {
		return found(true, "this system has no /dev/shm")
	}
	return found(free >= lowShm, "%s", gibFree(free, "/dev/shm"))
}

func gibFree(free uint64, dir string) string {
	return fmt.Sprintf("%.1f GiB free in %s", float64(free)/(1<<30), dir)
}

func freeBytes(dir string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("get the free disk space in %s: %w", dir, err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}
