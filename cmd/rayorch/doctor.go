package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/home"
	"github.com/rayorch/rayorch/internal/ray"
)

// check is one thing that doctor looked at.
type check struct {
	// Context is the kubeconfig's, of a check in a cluster.
	Context string `json:"context,omitempty"`

	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Found  string `json:"found"`
	Advice string `json:"advice,omitempty"` // how to get what is missing, or what will happen by itself
	// Needed says that runs cannot work without it.
	Needed bool `json:"needed"`
}

func (a *app) doctorCommand() *cobra.Command {
	var o rayOptions
	var source sourceOptions
	var cloud awsOptions
	c := &cobra.Command{
		Use:   "doctor [PIPELINE]",
		Short: "tell what is missing here to run pipelines, and how to get it",
		Long: "doctor checks this machine: Python, Ray, the state directory, disk and shared memory and, for a pipeline, the\n" +
			"secrets of its steps. With a target of kind kubernetes it checks the cluster instead: context, permissions, the\n" +
			"Ray head, versions, claim, secrets, quota.\n" +
			"With a target of kind aws, or --aws, it looks at what rayorch deploy made there.\n" +
			"It changes nothing, and says how to mend what is missing.",
		Example: "  rayorch doctor\n  rayorch doctor examples/shakespeare --target kubernetes",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			source.path = first(args)
			if a.onAWS(source) {
				cloud.path = source.path
				return a.doctorAWS(c.Context(), cloud)
			}
			if source.path == "" && source.target == "" {
				return a.showChecks(a.checkHere(c.Context(), o))
			}
			return a.doctorTarget(c.Context(), source, o)
		},
	}
	o.flags(c)
	source.flags(c)
	c.Flags().StringVar(&cloud.stackName, "stack-name", "", "the deployed stack's name (aws; default as deploy has it)")
	return c
}

func (a *app) checkHere(ctx context.Context, o rayOptions) []check {
	return []check{a.checkPython(ctx), a.checkRay(ctx, o), a.checkState(ctx), a.checkDisk(), checkRayDisk(), checkShm()}
}

// doctorTarget looks at what a pipeline's target needs.
func (a *app) doctorTarget(ctx context.Context, source sourceOptions, o rayOptions) error {
	src, err := a.load(source)
	if err != nil {
		return err
	}
	r, err := src.compile("", "")
	if err != nil {
		return err
	}
	if r.Kind != kindKubernetes {
		return a.showChecks(append(a.checkHere(ctx, o), checkSecrets(src.pipeline)...))
	}
	return a.showChecks(append([]check{a.checkState(ctx)}, a.doctorClusters(ctx, src, r)...))
}

// showChecks prints them; what is needed and missing is the command's failure.
func (a *app) showChecks(checks []check) error {
	if a.json() {
		if err := a.print(checks); err != nil {
			return err
		}
	} else {
		a.printChecks(checks)
	}
	for _, c := range checks {
		if c.Needed && !c.OK {
			return silent(exitError)
		}
	}
	return nil
}

func (a *app) printChecks(checks []check) {
	first := slices.IndexFunc(checks, func(c check) bool { return c.Context != "" })
	several := first >= 0 && slices.ContainsFunc(checks, func(c check) bool { return c.Context != "" && c.Context != checks[first].Context })
	for i, c := range checks {
		if several && c.Context != "" && (i == 0 || c.Context != checks[i-1].Context) {
			fmt.Fprintf(a.out, "context %s:\n", c.Context)
		}
		mark := "ok  "
		switch {
		case !c.OK && c.Needed:
			mark = "FAIL"
		case !c.OK:
			mark = "note"
		}
		fmt.Fprintf(a.out, "%s  %-16s %s\n", mark, c.Name, c.Found)
		if c.Advice != "" {
			fmt.Fprintf(a.out, "%24s%s\n", "", c.Advice)
		}
	}
}

func (a *app) checkPython(ctx context.Context) check {
	c := check{Name: "python with ray", Needed: true}
	head, err := a.head(func(string) {})
	if err != nil {
		c.Found = err.Error()
		return c
	}
	p, ok, err := head.Python.Find(ctx)
	switch {
	case err != nil:
		c.Found, c.Advice = err.Error(), "set RAYORCH_PYTHON to a Python 3.10 or later that has ray[default], or unset it"
	case ok:
		c.OK, c.Found = true, fmt.Sprintf("%s, ray %s (%s)", p.Path, p.RayVersion, p.Source)
	default:
		base, err := head.Python.Base(ctx)
		if err != nil {
			c.Found, c.Advice = err.Error(), "on Debian: apt-get install python3 python3-venv; needed only where rayorch starts Ray itself"
			return c
		}
		c.OK, c.Found = true, base+", without ray"
		c.Advice = "the first run gets ray[default]==" + ray.Release + " from PyPI (about 400 MB) into an environment of its own"
	}
	return c
}

func (a *app) checkRay(ctx context.Context, o rayOptions) check {
	c := check{Name: "ray", Needed: true}
	r, err := a.resolver(o, false, func(string) {})
	if err != nil {
		c.Found = err.Error()
		return c
	}
	found, err := r.Resolve(ctx)
	switch {
	case errors.Is(err, ray.ErrNoRay):
		c.OK, c.Found, c.Advice = true, "none runs here", "a run starts one and stops it afterwards; rayorch ray start keeps one"
	case err != nil:
		c.Found, c.Advice = err.Error(), hintFor(err)
	default:
		c.OK, c.Found = true, describeRay(found)
	}
	return c
}

func (a *app) checkState(ctx context.Context) check {
	c := check{Name: "state directory", Needed: true}
	dir, err := a.stateDirectory()
	if err != nil {
		c.Found = err.Error()
		return c
	}
	c.Found = dir
	if addr, err := home.Find(ctx, dir); err == nil {
		c.OK, c.Found = true, fmt.Sprintf("%s, served by process %d", dir, addr.PID)
		return c
	}
	if err := writable(dir); err != nil {
		c.Advice = "cannot be written: " + err.Error() + "; name another by --state-dir or RAYORCH_STATE_DIR"
		return c
	}
	c.OK = true
	return c
}

// writable tries the directory or, where it does not exist yet, the nearest one above it: doctor makes nothing.
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
	lowShm    = 512 << 20 // Ray's object store lives there; with less it uses the disk, slowly
)

// checkDisk looks at the file system of the state directory.
func (a *app) checkDisk() check {
	c := check{Name: "disk"}
	dir, err := a.stateDirectory()
	if err == nil {
		dir, err = existing(dir)
	}
	var free uint64
	if err == nil {
		free, err = freeBytes(dir)
	}
	if err != nil {
		c.Found = err.Error()
		return c
	}
	c.OK, c.Needed, c.Found = free >= lowState, free < fullState, gibFree(free, dir)
	if !c.OK {
		c.Advice = "executions, logs and results are kept there: free some space; below 64 MiB no run starts, and running ones wait"
	}
	return c
}

func gibFree(free uint64, dir string) string {
	return fmt.Sprintf("%.1f GiB free in %s", float64(free)/(1<<30), dir)
}

// checkRayDisk looks at the file system on which rayorch starts Ray.
func checkRayDisk() check {
	c := check{Name: "ray's disk"}
	free, err := freeBytes(ray.TempRoot)
	if err != nil {
		c.Found = err.Error()
		return c
	}
	c.OK, c.Found = free >= lowDisk, gibFree(free, ray.TempRoot)
	if !c.OK {
		c.Advice = "Ray keeps sessions, logs and spilled objects there: make room for 2 GiB"
	}
	return c
}

func checkShm() check {
	c := check{Name: "shared memory", OK: true}
	free, err := freeBytes("/dev/shm")
	if err != nil {
		c.Found = "this system has no /dev/shm"
		return c
	}
	c.OK, c.Found = free >= lowShm, gibFree(free, "/dev/shm")
	if !c.OK {
		c.Advice = "Ray's object store will use the disk: in a container, give it more by --shm-size"
	}
	return c
}

func freeBytes(dir string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("look at the disk of %s: %w", dir, err)
	}
	return st.Bavail * uint64(st.Bsize), nil //nolint:gosec // a block size is positive
}
