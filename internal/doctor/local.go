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

// Local has the checks of this machine. Each field returns what the command would use for a run.
type Local struct {
	StateDir func() (string, error)
	// Resolver must not start a Ray.
	Resolver func() (ray.Resolver, error)
	// Hint is what to do about an error; "" if unknown.
	Hint func(error) string
}

// Checks are those of runs on a target of kind local.
func (l Local) Checks() []Check {
	return []Check{
		{Name: "python with ray", Severity: Required, Look: l.python},
		{Name: "ray", Severity: Required, Look: l.ray},
		l.State(),
		{Name: "disk", Severity: Advisory, Look: l.disk,
			Fix: "executions, logs and results are kept there: free some space; below 64 MiB no run starts, and running ones wait"},
		{Name: "ray's disk", Severity: Advisory, Look: rayDisk, Fix: "Ray keeps sessions, logs and spilled objects there: make room for 2 GiB"},
		{Name: "shared memory", Severity: Advisory, Look: sharedMemory, Fix: "Ray's object store will use the disk: in a container, give it more by --shm-size"},
	}
}

// State is the check of the state directory, which runs need on every target.
func (l Local) State() Check {
	return Check{Name: "state directory", Severity: Required, Look: l.state}
}

// python looks for a Python that can start Ray. A Python without Ray is sufficient: the first run installs Ray.
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
		return found(true, "%s, ray %s (%s)", p.Path, p.RayVersion, p.Source)
	}
	base, err := python.Base(ctx)
	if err != nil {
		return failed("on Debian: apt-get install python3 python3-venv; needed only where rayorch starts Ray itself", "%v", err)
	}
	return []Finding{{OK: true, Text: base + ", without ray",
		Advice: "the first run gets ray[default]==" + ray.Release + " from PyPI (about 400 MB) into an environment of its own"}}
}

// ray resolves the Ray as a run does, so that doctor and run never disagree.
func (l Local) ray(ctx context.Context) []Finding {
	r, err := l.Resolver()
	if err != nil {
		return []Finding{{Err: err}}
	}
	there, err := r.Resolve(ctx)
	switch {
	case errors.Is(err, ray.ErrNoRay):
		return []Finding{{OK: true, Text: "none runs here", Advice: "a run starts one and stops it afterwards; rayorch ray start keeps one"}}
	case err != nil:
		return failed(l.Hint(err), "%v", err)
	}
	return found(true, "%s", there)
}

// state asks the owner, if a process serves the directory: then it can be written, whatever this user may do.
func (l Local) state(ctx context.Context) []Finding {
	dir, err := l.StateDir()
	if err != nil {
		return []Finding{{Err: err}}
	}
	if addr, err := home.Find(ctx, dir); err == nil {
		return found(true, "%s, served by process %d", dir, addr.PID)
	}
	if err := writable(dir); err != nil {
		return failed("cannot be written: "+err.Error()+"; name another by --state-dir or RAYORCH_STATE_DIR", "%s", dir)
	}
	return found(true, "%s", dir)
}

// writable creates a file, because permissions do not show read-only file systems. If the directory does not exist yet, it uses the
// nearest existing one above it: doctor creates no directory.
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

// existing is the directory or the nearest one above it that exists.
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
	lowState  = 256 << 20 // below 64 MiB no run starts
	fullState = 64 << 20
	lowDisk   = 2 << 30   // Ray with its environment, and room for its logs and spilled objects
	lowShm    = 512 << 20 // Ray's object store is in shared memory; with less it uses the disk, which is slow
)

// disk looks at the file system of the state directory.
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

// stateSpace judges the free space: if there is too little to start a run, the check is required.
func stateSpace(free uint64, dir string) []Finding {
	f := Finding{OK: free >= lowState, Text: gibFree(free, dir)}
	if free < fullState {
		f.Severity = Required
	}
	return []Finding{f}
}

// rayDisk looks at the file system on which rayorch starts Ray.
func rayDisk(context.Context) []Finding {
	free, err := freeBytes(ray.TempRoot)
	if err != nil {
		return []Finding{{Err: err}}
	}
	return found(free >= lowDisk, "%s", gibFree(free, ray.TempRoot))
}

// sharedMemory passes on systems without /dev/shm, where Ray does not use it.
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
		return 0, fmt.Errorf("look at the disk of %s: %w", dir, err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}
