package raytask

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/joblog"
)

// restWait is how long reading the end of a job's log may take. It is long because a machine may be busy, and a job fails if its output
// cannot be read.
const restWait = 2 * time.Minute

// follow passes the log on and waits until the job ends. The job was submitted before, possibly by a previous rayorch process.
func (a *attempt) follow(ctx context.Context) task.Result {
	if err := a.confirmSubmitted(); err != nil {
		return a.failed(ctx, err, stepfn.RaySubmitFailed)
	}
	job, err := a.awaitStart(ctx)
	if err != nil {
		return a.neverStarted(ctx, job, err)
	}
	stopTail := a.tail(ctx)
	if !job.Status.Terminal() {
		job, err = a.awaitEnd(ctx)
	}
	stopTail()
	if err != nil {
		return a.overrun(ctx, err)
	}
	return a.outcome(ctx, job)
}

// confirmSubmitted reports the job as submitted if a previous rayorch process submitted it but exited before it could report that.
func (a *attempt) confirmSubmitted() error {
	if _, ok := a.req.Records[keySubmitted]; ok || !a.req.Resumed {
		return nil
	}
	if _, ok := a.req.Records[keyIntent]; !ok {
		return nil
	}
	return a.accepted()
}

// since returns the time since the timestamp of a record, or 0 if there is no record.
func (a *attempt) since(key string) time.Duration {
	var m timestamp
	if !a.recorded(key, &m) {
		return 0
	}
	return max(a.r.cfg.Now().Sub(m.At), 0) // negative if the clock was set back: then the time starts again
}

// awaitStart waits until the job's driver runs. Meanwhile, it reports the reason why the job is pending.
func (a *attempt) awaitStart(ctx context.Context) (ray.Job, error) {
	waited := a.since(keySubmitted)
	ctx, cancel := context.WithTimeoutCause(ctx, a.pendingLimit()-waited, errPending)
	defer cancel()
	began := a.r.cfg.Now().Add(-waited)
	defer a.req.Waits("", began)
	return a.cluster.watcher.Wait(ctx, a.args.SubmissionID, a.intent.SessionName, func(job ray.Job) bool {
		a.req.Waits(a.log.Hide.Text(job.Message), began)
		return job.Started()
	})
}

func (a *attempt) pendingLimit() time.Duration {
	return seconds(a.args.PendingTimeoutSeconds, pendingTimeout)
}

// neverStarted ends an attempt whose job has not started. If the job is pending, the attempt fails before the job is stopped, because Ray
// may take long to stop it: the job has done nothing that a cleanup or another step could conflict with.
func (a *attempt) neverStarted(ctx context.Context, job ray.Job, err error) task.Result {
	switch {
	case ctx.Err() != nil:
		return task.Result{}
	case !errors.Is(err, errPending):
		return a.failed(ctx, err, stepfn.RayUnreachable)
	}
	cause := "Ray did not start the job within " + task.Seconds(a.pendingLimit())
	if job.Message != "" {
		cause += ": " + job.Message
	}
	cause = a.log.Hide.Text(cause)
	if a.req.GiveUp != nil && a.req.GiveUp(stepfn.RayPendingTimeout, cause) == nil && ctx.Err() != nil {
		return task.Result{}
	}
	return a.timedOut(ctx, stepfn.RayPendingTimeout, cause)
}

// awaitEnd waits until the job has ended. It returns errTimeout if the job runs longer than TimeoutSeconds, counted from the time when a
// rayorch first saw the driver run.
func (a *attempt) awaitEnd(ctx context.Context) (ray.Job, error) {
	if _, ok := a.req.Records[keyRunning]; !ok {
		if err := a.keep(keyRunning, timestamp{a.r.cfg.Now()}); err != nil {
			return ray.Job{}, err
		}
	}
	ran := a.since(keyRunning)
	a.ran = a.r.cfg.Now().Add(-ran)
	if limit := seconds(a.args.TimeoutSeconds, 0); limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit-ran, errTimeout)
		defer cancel()
	}
	ended := func(job ray.Job) bool { return job.Status.Terminal() }
	return a.cluster.watcher.Wait(ctx, a.args.SubmissionID, a.intent.SessionName, ended)
}

// overrun ends an attempt whose job timed out, or whose Ray is unreachable.
func (a *attempt) overrun(ctx context.Context, err error) task.Result {
	switch {
	case ctx.Err() != nil:
		return task.Result{}
	case errors.Is(err, errTimeout):
		ran, limit := a.r.cfg.Now().Sub(a.ran), seconds(a.args.TimeoutSeconds, 0)
		return a.timedOut(ctx, stepfn.StatesTimeout, task.TimedOut("the job", ran, limit))
	}
	return a.failed(ctx, err, stepfn.RayUnreachable)
}

// timedOut stops the job and returns a failed result.
func (a *attempt) timedOut(ctx context.Context, name, cause string) task.Result {
	if err := a.stop(ctx); err != nil {
		cause += "; stopping it failed: " + err.Error()
	}
	return task.Fail(name, cause)
}

// tail passes the log on while the job prints it, until the returned function is called.
func (a *attempt) tail(ctx context.Context) (stop func()) {
	before := a.logged()
	a.resumedLog = before > 0
	a.lines = a.cluster.client.NewLog(a.args.SubmissionID, before, func(line string) {
		a.log.Line(line, strconv.AppendInt(nil, int64(a.lines.Seen()), 10))
	})
	tailing, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() { _ = a.lines.Tail(tailing) }) // if it fails, Rest reads the remaining lines
	return func() {
		cancel()
		done.Wait()
	}
}

// logged returns the number of lines of the log that a previous rayorch process passed on.
func (a *attempt) logged() int {
	if n, err := strconv.Atoi(string(a.req.Log.Position())); err == nil {
		return max(n, 0)
	}
	var before logged
	a.recorded(keyLogged, &before)
	return max(before.Lines, 0)
}

// outcome reads the rest of the log and returns the result of a job that has ended.
func (a *attempt) outcome(ctx context.Context, job ray.Job) task.Result {
	restCtx, cancel := context.WithTimeout(ctx, restWait)
	defer cancel()
	restErr := a.retry(restCtx, func(ctx context.Context) error { return a.readEnd(ctx, job) })
	switch job.Status {
	case ray.Succeeded:
		if restErr != nil {
			return task.Fail(stepfn.RayJobFailed, "the job succeeded, but its output could not be read: "+restErr.Error())
		}
		return a.succeeded(job)
	case ray.Stopped:
		return task.Fail(stepfn.RayJobStopped, a.log.Cause(why(job, "somebody stopped the job")))
	case ray.FailedJob, ray.Pending, ray.Running: // the switch covers all statuses; failures are handled below
	}
	if job.ErrorType == "JOB_SUPERVISOR_ACTOR_START_TIMEOUT" {
		return task.Fail(stepfn.RayPendingTimeout, why(job, "the job did not start in time"))
	}
	if runtimeEnvFailed(job) {
		return task.Fail(stepfn.RayRuntimeEnvFailed, why(job, "the runtime environment could not be set up"))
	}
	cause := a.log.Cause(why(job, "the job failed"))
	if a.cluster.found.Own { // only a Ray that rayorch started has rayorch's environment, which the advice is about
		cause += a.args.InheritEnv.Advice(a.r.cfg.Inheritable(), a.given(), cause)
	}
	return task.Fail(stepfn.RayJobFailed, cause)
}

// readEnd reads the rest of the log. If a previous rayorch process passed a part of it on, readEnd also reads the last lines again,
// only to find the output and for the cause of a failure.
func (a *attempt) readEnd(ctx context.Context, job ray.Job) error {
	if err := a.lines.Rest(ctx, job); err != nil {
		return err
	}
	if !a.resumedLog {
		return nil
	}
	last, err := a.cluster.client.LastLines(ctx, job, 2*joblog.LastLines)
	if err != nil {
		return err
	}
	a.log = joblog.New(nil, a.log.Hide)
	a.log.Own = jobLines(a.args.SubmissionID, a.entrypoint)
	for _, line := range last {
		a.log.Line(line, nil)
	}
	return nil
}

// Output is the result of submitJob.sync.
type Output struct {
	SubmissionID string          `json:"SubmissionId"`
	JobID        *string         `json:"JobId"` // null if the entrypoint did not call ray.init
	Status       ray.Status      `json:"Status"`
	Message      string          `json:"Message"`
	StartTime    ray.Millis      `json:"StartTime"`
	EndTime      ray.Millis      `json:"EndTime"`
	Address      string          `json:"Address"`
	SessionName  string          `json:"SessionName"`
	RayVersion   string          `json:"RayVersion"`
	Output       json.RawMessage `json:"Output"`
}

// succeeded returns the result of a job that succeeded. The attempt fails if the job's output is not valid.
func (a *attempt) succeeded(job ray.Job) task.Result {
	output, err := a.log.Output()
	if err != nil {
		return task.Fail(stepfn.RayJobFailed, err.Error())
	}
	out := Output{
		SubmissionID: job.SubmissionID, Status: job.Status, Message: job.Message, StartTime: job.StartTime,
		EndTime: job.EndTime, Address: a.intent.Address, SessionName: a.intent.SessionName,
		RayVersion: a.intent.RayVersion, Output: output,
	}
	if job.JobID != "" {
		out.JobID = &job.JobID
	}
	data, err := marshal(out)
	if err != nil {
		return task.Fail(stepfn.RayJobFailed, err.Error())
	}
	return task.Result{Output: data}
}

// marshal encodes a value as JSON without escaping <, > and &, which is only needed in HTML.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), err
}
