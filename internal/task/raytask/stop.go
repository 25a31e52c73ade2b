package raytask

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
)

// StopArguments are the arguments of ray:stopJobs. They select the jobs that match all fields that are set.
type StopArguments struct {
	Address       string
	Prefix        string   // of the submission id
	SubmissionIDs []string `json:"SubmissionIds"`
	Metadata      map[string]string
}

// maxConcurrentStops is the maximum number of concurrent stop requests to Ray.
const maxConcurrentStops = 8

// stopJobs stops the selected jobs that have not ended and returns their ids. Repeating it has no further effect.
func (r *Runner) stopJobs(ctx context.Context, req *task.Request) task.Result {
	var args StopArguments
	if err := task.Decode(req.Input, &args); err != nil {
		return task.Fail(stepfn.RaySubmitFailed, "the arguments of ray:stopJobs: "+err.Error())
	}
	if args.Prefix == "" && len(args.SubmissionIDs) == 0 && len(args.Metadata) == 0 {
		return task.Fail(stepfn.RaySubmitFailed, "ray:stopJobs requires Prefix, SubmissionIds or Metadata")
	}
	if err := r.cfg.Policy.Ray(req.Labels, args.Address); err != nil {
		return task.Failure(err, stepfn.RaySubmitFailed)
	}
	cluster, err := r.cluster(ctx, args.Address)
	if err != nil {
		return failure(err, stepfn.RaySubmitFailed)
	}
	var jobs []ray.Job
	err = ray.Retry(ctx, r.cfg.Grace, func(ctx context.Context) (err error) {
		jobs, err = cluster.client.List(ctx)
		return err
	})
	if err != nil {
		return failure(err, stepfn.RaySubmitFailed)
	}
	return r.stopAll(ctx, cluster, slices.DeleteFunc(jobs, func(job ray.Job) bool { return !args.match(job) }))
}

// match reports whether a job is selected and has not ended.
func (a StopArguments) match(job ray.Job) bool {
	if job.SubmissionID == "" || job.Status.Terminal() || !strings.HasPrefix(job.SubmissionID, a.Prefix) {
		return false
	}
	for key, want := range a.Metadata {
		if got, ok := job.Metadata[key]; !ok || got != want {
			return false
		}
	}
	return len(a.SubmissionIDs) == 0 || slices.Contains(a.SubmissionIDs, job.SubmissionID)
}

// stopAll stops the jobs and waits until Ray confirms the stops, at most Config.StopWait.
func (r *Runner) stopAll(ctx context.Context, c *cluster, jobs []ray.Job) task.Result {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.StopWait)
	defer cancel()
	errs := make([]error, len(jobs))
	stopped := make([]string, len(jobs))
	var all sync.WaitGroup
	slots := make(chan struct{}, maxConcurrentStops)
	for i, job := range jobs {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			stopped[i] = job.SubmissionID
			if _, err := c.client.Stop(ctx, job.SubmissionID); err != nil && ray.KindOf(err) != ray.NotFound {
				errs[i] = fmt.Errorf("%s: %w", job.SubmissionID, err)
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return failure(err, stepfn.RayJobStopped)
	}
	slices.Sort(stopped)
	data, err := marshal(struct{ Stopped []string }{stopped})
	if err != nil {
		return task.Fail(stepfn.RaySubmitFailed, err.Error())
	}
	return task.Result{Output: data}
}
