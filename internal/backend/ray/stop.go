package ray

import (
	"context"
	"fmt"
	"time"
)

const (
	// stopAgain is the interval after which Stop repeats its request. Ray sends SIGKILL 3 s after SIGTERM.
	stopAgain = 5 * time.Second
	// pendingWait is how long a job may stay pending after a stop request. The supervisor of a pending job that has not been placed on a
	// node does not receive the request.
	pendingWait = 2 * time.Second
)

// killWait is the timeout of the job that kills a supervisor. It has to start Python and connect to Ray.
var killWait = time.Minute

// Stop stops a job and returns its record when the job has ended, with any status.
//
// Ray acknowledges a stop of a pending job but leaves it pending, together with its request for resources, until it can be placed or 900 s
// have passed (tested with 2.60.0). For such a job, Stop submits a short helper job that kills the supervisor, and then deletes the record
// of the helper job. The status of the stopped job is then FAILED.
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

// awaitStop waits until the job has ended, at most stopAgain, and at most pendingWait if the job is still pending.
func (c *Client) awaitStop(ctx context.Context, id string) (Job, error) {
	job, err := c.awaitEnd(ctx, id, pendingWait)
	if err != nil || job.Status.Terminal() || job.Status == Pending {
		return job, err
	}
	return c.awaitEnd(ctx, id, stopAgain-pendingWait)
}

// awaitEnd polls a job until it has ended, at most for the given time, and returns its last record.
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

// killer is the entrypoint of the helper job. The names of the supervisor actor and its namespace are defined by Ray
// (dashboard/modules/job/common.py). The id of the job is passed in a variable, so that it needs no quoting.
const killer = `code='import os, ray
ray.init(log_to_driver=False)
try:
    ray.kill(ray.get_actor("_ray_internal_job_actor_" + os.environ["RAYORCH_KILL"], namespace="SUPERVISOR_ACTOR_RAY_NAMESPACE"))
except ValueError:
    pass
'
if command -v python >/dev/null; then python -c "$code"; else python3 -c "$code"; fi`

// killPending kills the supervisor of a pending job with a helper job.
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
	pending, err := c.awaitEnd(ctx, id, pendingWait) // the supervisor may be dead although the helper failed
	if err != nil || pending.Status.Terminal() {
		return err
	}
	if !job.Status.Terminal() {
		return fmt.Errorf("the job %s is still pending: the helper job %s, which kills its supervisor, did not end within %s", id, helper, killWait)
	}
	return fmt.Errorf("the job %s is still pending: the helper job %s, which kills its supervisor, ended with status %s: %s",
		id, helper, job.Status, lastLine(job.Message))
}
