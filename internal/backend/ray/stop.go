package ray

import (
	"context"
	"fmt"
	"time"
)

// Ray kills what ignored SIGTERM after 3 s; a pending job's supervisor, not placed yet, cannot hear a stop at all.
const (
	stopAgain   = 5 * time.Second
	pendingWait = 2 * time.Second
)

// killWait is how long the job that kills a supervisor may take: it starts a Python with Ray.
var killWait = time.Minute

// Stop stops a job and returns its record once it has ended, however it ended.
//
// Ray acknowledges a stop of a pending job, yet leaves it pending, its demand for resources standing, until it can be
// placed or 900 s have gone by (tried with 2.60.0). Such a job's supervisor is killed, by a short job of ours whose own
// record is deleted afterwards; Ray then calls the job FAILED.
func (c *Client) Stop(ctx context.Context, id string) (Job, error) {
	killed := false
	for {
		if _, err := c.RequestStop(ctx, id); err != nil {
			return Job{}, err
		}
		job, err := c.awaitStop(ctx, id)
		if err != nil || job.Status.Terminal() {
			return job, err
		}
		if job.Status == Pending && !killed {
			killed = true
			if err := c.killPending(ctx, id); err != nil {
				return job, err
			}
		}
	}
}

func (c *Client) awaitStop(ctx context.Context, id string) (Job, error) {
	job, err := c.awaitEnd(ctx, id, pendingWait)
	if err != nil || job.Status.Terminal() || job.Status == Pending {
		return job, err
	}
	return c.awaitEnd(ctx, id, stopAgain-pendingWait)
}

func (c *Client) awaitEnd(ctx context.Context, id string, most time.Duration) (Job, error) {
	deadline := time.Now().Add(most)
	for {
		job, err := c.Get(ctx, id)
		if err != nil || job.Status.Terminal() || time.Now().After(deadline) {
			return job, err
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return job, err
		}
	}
}

// The names of the supervisor actor and its namespace are Ray's (dashboard/modules/job/common.py). The id stands in the
// environment, so that no shell or Python reads it as its own.
const killer = `code='import os, ray
ray.init(log_to_driver=False)
try:
    ray.kill(ray.get_actor("_ray_internal_job_actor_" + os.environ["RAYORCH_KILL"], namespace="SUPERVISOR_ACTOR_RAY_NAMESPACE"))
except ValueError:
    pass
'
if command -v python >/dev/null; then python -c "$code"; else python3 -c "$code"; fi`

func (c *Client) killPending(ctx context.Context, id string) error {
	helper := id + "-kill"
	_, _, err := c.Submit(ctx, Submission{
		SubmissionID: helper,
		Entrypoint:   killer,
		RuntimeEnv:   map[string]any{"env_vars": map[string]string{"RAYORCH_KILL": id}},
	})
	if err != nil {
		return err
	}
	job, err := c.awaitEnd(ctx, helper, killWait)
	if err != nil {
		return err
	}
	if job.Status.Terminal() {
		err = c.Delete(ctx, helper)
	}
	if job.Status == Succeeded {
		return err
	}
	victim, err := c.awaitEnd(ctx, id, pendingWait) // it may be dead though its killer failed
	if err != nil || victim.Status.Terminal() {
		return err
	}
	if !job.Status.Terminal() {
		return fmt.Errorf("ray keeps job %s pending: job %s, which kills its supervisor, has not ended within %s", id, helper, killWait)
	}
	return fmt.Errorf("ray keeps job %s pending: job %s, which kills its supervisor, ended as %s: %s", id, helper, job.Status, lastLine(job.Message))
}
