package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/rayorch/rayorch/internal/api/client"
	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/engine/home"
	"github.com/rayorch/rayorch/internal/engine/vault"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/ekstask"
	"github.com/rayorch/rayorch/internal/task/policy"
	"github.com/rayorch/rayorch/internal/task/proctask"
	"github.com/rayorch/rayorch/internal/task/raytask"
	"github.com/rayorch/rayorch/internal/task/snapshot"
)

// runners are the task runners of an owner: for Ray jobs, for EKS tasks (Jobs and calls of the Kubernetes API), and for local processes.
// A nil *runners has none: that of a process that only reads.
type runners struct {
	ray  *raytask.Runner
	eks  *ekstask.Runner
	proc *proctask.Runner
	find *finder
}

// newRunners returns the runners for a state directory. may is what tasks from the network may use; they may also use the owner's own Ray.
func (a *app) newRunners(dir string, o rayOptions, may policy.Policy, secrets *vault.Vault, code *snapshot.Store) (*runners, error) {
	may.Rays = append(may.Rays, o.ownRays(os.Getenv)...)
	resolver, err := a.resolver(o, true, a.out.say)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the rayorch executable, which supervises plain jobs: %w", err)
	}
	eks, err := newEKSRunner(a.kubeconfig, o.clusters, may)
	if err != nil {
		return nil, err
	}
	f := &finder{resolver: resolver}
	return &runners{
		find: f,
		eks:  eks,
		ray: raytask.New(raytask.Config{
			Resolve: f.resolve, Code: code, Secret: secrets.Secret, Policy: may, EnvDir: filepath.Join(dir, "ray", "env"),
		}),
		proc: proctask.New(proctask.Config{
			Dir: filepath.Join(dir, "jobs"), Supervisor: []string{self, superviseCommand}, Code: code, Secret: secrets.Secret,
			Policy: may,
		}),
	}, nil
}

// byPrefix returns the runners by the prefix of the resources that they run.
func (r *runners) byPrefix() map[string]task.Runner {
	if r == nil {
		return map[string]task.Runner{}
	}
	all := map[string]task.Runner{stepfn.RayPrefix: r.ray, stepfn.ProcessPrefix: r.proc}
	for _, prefix := range ekstask.Prefixes {
		all[prefix] = r.eks
	}
	return all
}

// closeLogs stops the runner that writes to the engine's logs in the background. It is called before the engine is closed.
func (r *runners) closeLogs() {
	if r != nil {
		r.eks.Close()
	}
}

func (r *runners) close() {
	if r != nil {
		r.ray.Close()
	}
}

// finder resolves the Ray addresses of tasks. If it starts a Ray, it marks it with a file as started for runs: the process that ends the
// last open run stops the Ray, even if another process started it.
type finder struct{ resolver ray.Resolver }

// resolve finds the Ray at an address; "" is the default Ray, which it starts if there is none.
func (f *finder) resolve(ctx context.Context, address string) (ray.Found, error) {
	if address != "" {
		return f.resolver.Named(ctx, address, "the target's Ray address")
	}
	found, err := f.resolver.Resolve(ctx)
	if err == nil && found.Started {
		err = os.WriteFile(rayForRuns(f.resolver.Own), nil, 0o600)
	}
	return found, err
}

// rayForRuns returns the path of the file that marks a Ray as started for runs.
func rayForRuns(h *ray.Head) string { return filepath.Join(h.Dir, "for-runs") }

// stopStarted stops a Ray that was started for runs, if any.
func (f *finder) stopStarted(ctx context.Context) error {
	mark := rayForRuns(f.resolver.Own)
	if _, err := os.Stat(mark); err != nil {
		return nil //nolint:nilerr // no Ray was started for runs
	}
	return errors.Join(f.resolver.Own.Stop(ctx), os.Remove(mark))
}

// keepRay removes the mark: the Ray is not stopped after the last run.
func keepRay(h *ray.Head) error {
	if err := os.Remove(rayForRuns(h)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// stateDirectory returns the absolute path of the state directory, which may not exist yet.
func (a *app) stateDirectory() (string, error) { return home.Dir(a.stateDir, os.Getenv) }

// readyRay finds or starts the Ray before anything is registered, so that a wrong address is reported immediately and the user sees which
// Ray the run uses. The returned function, never nil, stops a Ray that was started for runs if no run is open.
func (s *session) readyRay(ctx context.Context, src *source, o *runOptions, w *watcher) (func() error, error) {
	none := func() error { return nil }
	target, err := src.targetName()
	if err != nil {
		return none, err
	}
	// Only the owner needs a Ray, and only for targets of kind local with Ray jobs.
	if t, ok := src.pipeline.Targets.Get(target); ok && t.Kind != kindLocal || s.owner == nil || !src.usesRay() {
		return none, nil
	}
	address := ""
	if t, ok := src.pipeline.Targets.Get(target); ok && o.ray.address == "" && t.Ray.Address != "auto" {
		address = t.Ray.Address
	}
	f := s.owner.runners.find
	if err := f.resolver.ForgetLost(ctx); err != nil { // drop the Ray of an interrupted run if it is lost: a new run need not wait for it
		return none, err
	}
	found, err := f.resolve(ctx, address)
	if err != nil {
		return none, err
	}
	w.screen.Printf("using %s", found)
	if src.givesRaySecrets() && !ray.RunsHere(ctx, found) {
		w.screen.Printf("note: this Ray stores the secrets of jobs in its job records, which its API and its dashboard show (see docs/pipeline.md)")
	}
	if o.keepRay { // keepRay again at the end: if this Ray is lost, another one is started and marked
		return func() error { return keepRay(f.resolver.Own) }, keepRay(f.resolver.Own)
	}
	return func() error { return s.releaseRay(f) }, nil
}

// releaseRay stops a Ray that was started for runs, unless a run is open: that run still needs the Ray, and resume will find it.
func (s *session) releaseRay(f *finder) error {
	ctx := context.Background() // Ctrl-C may have canceled the context of the run
	open, err := s.openExecutions(ctx)
	if err != nil {
		return err
	}
	if len(open) > 0 {
		return nil
	}
	return f.stopStarted(ctx)
}

// releaseOwnRay releases the Ray of the runs that this process drove. If another process owns the state directory, it does nothing: the
// owner releases the Ray.
func (s *session) releaseOwnRay() error {
	if s.owner == nil {
		return nil
	}
	return s.releaseRay(s.owner.runners.find)
}

// pinned returns the Ray address to compile into the definition: --ray-address if another process owns the directory, because that process
// does not know this flag. "" selects the Ray of the owner.
func (o *rayOptions) pinned(s *session) string {
	if s.owner != nil {
		return ""
	}
	return o.address
}

// settlePoll is the interval at which settle polls.
const settlePoll = 100 * time.Millisecond

// settle waits until all work of a stopped execution has ended and its cleanup is done. It returns the number of pending effects, 0 unless
// it returns an error. If the owner exits, this process takes over.
func (s *session) settle(ctx context.Context, arn string) (int, error) {
	for {
		n, err := s.client.PendingEffects(ctx, arn)
		if err != nil && s.owner == nil && s.dir != "" && ctx.Err() == nil {
			n, err = 1, s.takeOver(ctx, arn)
		}
		if err != nil || n == 0 {
			return n, err
		}
		if err := client.Sleep(ctx, settlePoll); err != nil {
			return n, err
		}
	}
}
