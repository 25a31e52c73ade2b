package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/engine/home"
	"github.com/rayorch/rayorch/internal/engine/snapshot"
	"github.com/rayorch/rayorch/internal/engine/vault"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/ekstask"
	"github.com/rayorch/rayorch/internal/task/policy"
	"github.com/rayorch/rayorch/internal/task/proctask"
	"github.com/rayorch/rayorch/internal/task/raytask"
)

// runners act for the Tasks of an owner: Ray jobs, local processes, and calls of a Kubernetes.
type runners struct {
	ray  *raytask.Runner
	eks  *ekstask.Runner
	proc *proctask.Runner
	find *finder
}

func (a *app) newRunners(dir string, o rayOptions, may policy.Policy, secrets *vault.Vault, code *snapshot.Store) (*runners, error) {
	may.Rays = append(may.Rays, o.namedRays(os.Getenv)...)
	resolver, err := a.resolver(o, true, a.say)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program, which supervises plain jobs: %w", err)
	}
	eks, err := a.eksRunner(o.clusters, may)
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

func (r *runners) byPrefix() map[string]task.Runner {
	if r == nil {
		return map[string]task.Runner{}
	}
	acting := map[string]task.Runner{stepfn.RayPrefix: r.ray, stepfn.ProcessPrefix: r.proc}
	for _, prefix := range ekstask.Prefixes {
		acting[prefix] = r.eks
	}
	return acting
}

// closeLogs ends what writes into the engine's logs by itself.
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

// finder resolves the addresses that Tasks name. A Ray that it has to start is marked as one for runs, on disk: whoever
// ends the last run stops it, also when that is another process than the one that started it.
type finder struct{ resolver ray.Resolver }

func (f *finder) resolve(ctx context.Context, address string) (ray.Found, error) {
	if address != "" {
		return f.resolver.Named(ctx, address, "the target's ray address")
	}
	found, err := f.resolver.Resolve(ctx)
	if err == nil && found.Started {
		err = os.WriteFile(rayForRuns(f.resolver.Own), nil, 0o600)
	}
	return found, err
}

// rayForRuns is the mark of a Ray that is stopped after the last run.
func rayForRuns(h *ray.Head) string { return filepath.Join(h.Dir, "for-runs") }

// stopStarted stops a Ray that was started for runs, if any.
func (f *finder) stopStarted(ctx context.Context) error {
	mark := rayForRuns(f.resolver.Own)
	if _, err := os.Stat(mark); err != nil {
		return nil //nolint:nilerr // no mark, nothing to stop
	}
	return errors.Join(f.resolver.Own.Stop(ctx), os.Remove(mark))
}

// keepRay makes a Ray that was started for runs stay.
func keepRay(h *ray.Head) error {
	if err := os.Remove(rayForRuns(h)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// stateDirectory is where it is, made or not.
func (a *app) stateDirectory() (string, error) { return home.Dir(a.stateDir, os.Getenv) }

// readyRay finds (or starts) the Ray before anything is registered, so that a wrong address is told at once and the
// user sees which Ray it is. The returned function stops a Ray that was started for this run.
func (a *app) readyRay(ctx context.Context, s *session, src *source, o *runOptions, w *watcher) (func() error, error) {
	none := func() error { return nil }
	target, err := src.targetName()
	if err != nil {
		return none, err
	}
	if t, ok := src.pipeline.Targets.Get(target); ok && t.Kind != kindLocal || s.owner == nil || !src.usesRay() {
		return none, nil
	}
	address := ""
	if t, ok := src.pipeline.Targets.Get(target); ok && o.ray.address == "" && t.Ray.Address != "auto" {
		address = t.Ray.Address
	}
	f := s.owner.runners.find
	if err := f.resolver.ForgetLost(ctx); err != nil { // an interrupted run's, which a new run need not wait for
		return none, err
	}
	found, err := f.resolve(ctx, address)
	if err != nil {
		return none, err
	}
	w.screen.Say("using %s", found)
	if src.givesRaySecrets() && !ray.Here(ctx, found) {
		w.screen.Say("note: this Ray keeps the secrets of jobs in its job records, which its API and dashboard show (see docs/pipeline.md)")
	}
	if o.keepRay { // the mark is made again if this Ray is lost and another one started
		return func() error { return keepRay(f.resolver.Own) }, keepRay(f.resolver.Own)
	}
	return func() error { return s.releaseRay(f) }, nil
}

// releaseRay stops a Ray that was started for runs, unless a run still needs it: then resume will find it.
func (s *session) releaseRay(f *finder) error {
	ctx := context.Background() // the run's own may have ended by Ctrl-C
	open, err := s.openExecutions(ctx)
	if err != nil {
		return err
	}
	if len(open) > 0 {
		return nil
	}
	return f.stopStarted(ctx)
}

// releaseOwnRay releases the Ray that this process found for the runs that it drove. Where another process owns the state directory,
// the Ray is that one's.
func (s *session) releaseOwnRay() error {
	if s.owner == nil {
		return nil
	}
	return s.releaseRay(s.owner.runners.find)
}

// pinned is the address that the definition must carry: where another process owns the directory, its Ray is used
// unless the user named one.
func (o *rayOptions) pinned(s *session) string {
	if s.owner != nil {
		return ""
	}
	return o.address
}

// settlePoll is how often settle asks.
const settlePoll = 100 * time.Millisecond

// settle waits until nothing of a stopped execution runs any more, and says how much was left when it gave up. When the
// owner goes away before that, this process takes its place.
func (s *session) settle(ctx context.Context, arn string) (int, error) {
	for {
		n, err := s.client.Left(ctx, arn)
		if err != nil && s.owner == nil && s.dir != "" && ctx.Err() == nil {
			n, err = 1, s.takeOver(ctx, arn)
		}
		if err != nil || n == 0 {
			return n, err
		}
		if err := pause(ctx, settlePoll); err != nil {
			return n, err
		}
	}
}
