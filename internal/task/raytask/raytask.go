// Package raytask runs Tasks as Ray jobs: it submits, follows and stops them through Ray's Jobs API (internal/backend/ray), and reports
// failures with the error names Ray.*. Its only state is the records of each attempt, with which the next rayorch process finds the
// jobs of this one.
package raytask

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/policy"
	"github.com/rayorch/rayorch/internal/task/snapshot"
)

// Config configures a Runner.
type Config struct {
	// Resolve finds the Ray at an address. "" is the engine's own Ray. The Runner calls it again after it has lost a Ray.
	Resolve func(ctx context.Context, address string) (ray.Found, error)
	// Code contains the packages of working directories and modules as they were when the executions started.
	Code *snapshot.Store
	// Policy limits what executions that came over the network may use. The zero value allows only the engine's own Ray.
	Policy policy.Policy
	// Secret returns the values of the variables that SecretEnv names. By default, no variable is set.
	Secret task.SecretSource
	// Inheritable returns the environment from which InheritEnv selects variables, as NAME=VALUE. Default: os.Environ.
	Inheritable func() []string
	// EnvDir is the absolute path of a directory for files with the secrets of jobs on a Ray of this machine. If it is empty, secrets
	// are passed in the runtime environment, which Ray's job records contain.
	EnvDir string
	// RunsHere reports whether the jobs of a Ray can read EnvDir: the Ray runs on this machine as this user. Default: ray.RunsHere.
	RunsHere func(ctx context.Context, found ray.Found) bool
	// Grace is how long a Ray may be unreachable before the attempt fails. Default: 60 s.
	Grace time.Duration
	// StopWait is how long the Runner waits until Ray confirms a stop. Default: 2 minutes.
	StopWait time.Duration
	// Now is the clock for pending and run times. Default: time.Now.
	Now func() time.Time
}

// Runner implements task.Runner. Close it after the engine is closed.
type Runner struct {
	cfg      Config
	mu       sync.Mutex
	clusters map[string]*cluster // by the address in the Task
	lost     []*cluster          // lost Rays; attempts may still wait for their watchers
}

// cluster is a Ray. All attempts on it share its watcher.
type cluster struct {
	found   ray.Found
	client  *ray.Client
	watcher *ray.Watcher
}

// New returns a Runner. The Runner connects to a Ray when the first Task needs it.
func New(cfg Config) *Runner {
	if cfg.Grace == 0 {
		cfg.Grace = time.Minute
	}
	if cfg.StopWait == 0 {
		cfg.StopWait = 2 * time.Minute
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Secret == nil {
		cfg.Secret = task.Environment(func(string) string { return "" })
	}
	if cfg.Inheritable == nil {
		cfg.Inheritable = os.Environ
	}
	if cfg.RunsHere == nil {
		cfg.RunsHere = ray.RunsHere
	}
	return &Runner{cfg: cfg, clusters: map[string]*cluster{}}
}

// Close ends the watchers of all Rays.
func (r *Runner) Close() {
	r.mu.Lock()
	all := r.lost
	for _, c := range r.clusters {
		all = append(all, c)
	}
	r.clusters, r.lost = map[string]*cluster{}, nil
	r.mu.Unlock()
	for _, c := range all {
		c.watcher.Close()
	}
}

// Run implements task.Runner.
func (r *Runner) Run(ctx context.Context, req *task.Request) task.Result {
	switch req.Resource {
	case stepfn.RaySubmitJob:
		return r.submitJob(ctx, req)
	case stepfn.RayStopJobs:
		return r.stopJobs(ctx, req)
	}
	return task.Fail(stepfn.RaySubmitFailed, fmt.Sprintf("the resource %s is not supported: it must be %s or %s",
		req.Resource, stepfn.RaySubmitJob, stepfn.RayStopJobs))
}

// cluster returns the Ray at an address. If it is unreachable, cluster retries for Config.Grace.
func (r *Runner) cluster(ctx context.Context, address string) (*cluster, error) {
	r.mu.Lock()
	known := r.clusters[address]
	r.mu.Unlock()
	if known != nil {
		return known, nil
	}
	var found ray.Found
	err := ray.Retry(ctx, r.cfg.Grace, func(ctx context.Context) (err error) {
		found, err = r.cfg.Resolve(ctx, address)
		return err
	})
	if err != nil {
		return nil, err
	}
	client, err := found.Client()
	if err != nil {
		return nil, err
	}
	return r.share(address, &cluster{found: found, client: client}), nil
}

// share registers a new cluster for an address, and starts its watcher. If a concurrent call has already registered one for this address,
// or for another address of the same Ray, share returns that one instead.
func (r *Runner) share(address string, made *cluster) *cluster {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.clusters[address]; known != nil {
		return known
	}
	for _, c := range r.clusters {
		if c.client.Address() == made.client.Address() && c.found.Token == made.found.Token {
			r.clusters[address] = c
			return c
		}
	}
	made.watcher = ray.NewWatcher(made.client, r.cfg.Grace)
	r.clusters[address] = made
	return made
}

// forget removes a lost Ray, so that the next Task resolves its address again.
func (r *Runner) forget(lost *cluster) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for address, c := range r.clusters {
		if c == lost {
			delete(r.clusters, address)
			r.lost = append(r.lost, c)
		}
	}
}

// failure returns a failed result for an error of package ray. otherwise is the error name for errors that have no specific name.
func failure(err error, otherwise string) task.Result {
	name := otherwise
	var lost *ray.LostError
	switch kind := ray.KindOf(err); {
	case errors.As(err, &lost):
		name = stepfn.RayHeadLost
	case kind == ray.Unauthorized:
		name = stepfn.RayUnauthorized
	case kind == ray.Unreachable, kind == ray.Busy, kind == ray.NotRay, errors.Is(err, ray.ErrNoRay):
		name = stepfn.RayUnreachable
	}
	return task.Fail(name, err.Error())
}
