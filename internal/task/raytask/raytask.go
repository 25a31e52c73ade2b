// Package raytask runs Tasks as Ray jobs: it submits, follows and stops them through the Jobs API, and says how they
// ended in the closed list of errors. It keeps no state but the records of each attempt, so that the next process finds
// the jobs of this one. The engine calls it; internal/backend/ray speaks to Ray.
package raytask

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/engine/snapshot"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/policy"
)

// Config says where jobs go.
type Config struct {
	// Resolve finds the Ray that an address names, "" being the engine's own. It is asked anew after a Ray was lost.
	Resolve func(ctx context.Context, address string) (ray.Found, error)
	// Code has the packages of working directories and modules as they were when the executions started.
	Code *snapshot.Store
	// Policy limits what executions that came over the network may use. Defaults to nothing that they name.
	Policy policy.Policy
	// Secret gives the values of the variables that SecretEnv names. Defaults to none being set.
	Secret task.SecretSource
	// Inheritable is the environment from which InheritEnv takes variables, as NAME=VALUE. Defaults to this process's own.
	Inheritable func() []string
	// EnvDir is a directory, absolute, for the secrets of jobs on a Ray of this machine: Ray's job records do not hold them then.
	// Defaults to none.
	EnvDir string
	// Here reports whether a Ray sees EnvDir, as this user. Defaults to ray.Here.
	Here func(ctx context.Context, found ray.Found) bool
	// Grace is how long a Ray may be unreachable before an attempt fails for it. Defaults to 60 s.
	Grace time.Duration
	// StopWait bounds a stop that Ray does not confirm. Defaults to 2 minutes.
	StopWait time.Duration
	// Now is the clock that pending and run times are noted by. Defaults to time.Now.
	Now func() time.Time
}

// Runner is a task.Runner. Close it after the engine.
type Runner struct {
	cfg      Config
	mu       sync.Mutex
	clusters map[string]*cluster // by address as the Tasks write it
	gone     []*cluster          // forgotten, but perhaps still waited for
}

// cluster is one Ray: all its jobs share a watcher.
type cluster struct {
	found   ray.Found
	client  *ray.Client
	watcher *ray.Watcher
}

// New makes a runner; it reaches for no Ray before the first Task.
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
	if cfg.Here == nil {
		cfg.Here = ray.Here
	}
	return &Runner{cfg: cfg, clusters: map[string]*cluster{}}
}

// Close ends the watching.
func (r *Runner) Close() {
	r.mu.Lock()
	all := r.gone
	for _, c := range r.clusters {
		all = append(all, c)
	}
	r.clusters, r.gone = map[string]*cluster{}, nil
	r.mu.Unlock()
	for _, c := range all {
		c.watcher.Close()
	}
}

// Run does one attempt.
func (r *Runner) Run(ctx context.Context, req *task.Request) task.Result {
	switch req.Resource {
	case stepfn.RaySubmitJob:
		return r.submitJob(ctx, req)
	case stepfn.RayStopJobs:
		return r.stopJobs(ctx, req)
	}
	known := strings.Join([]string{stepfn.RaySubmitJob, stepfn.RayStopJobs}, ", ")
	return task.Fail(stepfn.RaySubmitFailed, fmt.Sprintf("the resource %s is none of %s", req.Resource, known))
}

// cluster finds the Ray of an address, for the grace if need be.
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

// share keeps the first of those made at once. Two addresses of the same Ray share a watcher.
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

// forget makes the next Task look anew for a Ray that was lost.
func (r *Runner) forget(lost *cluster) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for address, c := range r.clusters {
		if c == lost {
			delete(r.clusters, address)
			r.gone = append(r.gone, c)
		}
	}
}

// failure puts an error of Ray's into the closed list; otherwise names what an error is that fits none.
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
