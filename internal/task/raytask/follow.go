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

// restWait bounds how long the end of a log may take that Ray should have by then. A busy machine takes its time, and a job
// whose output is not read has failed.
const restWait = 2 * time.Minute

// follow waits for the job's end. The job was accepted before, perhaps by a former process.
func (a *attempt) follow(ctx context.Context) task.Result {
	if err := a.resubmitted(); err != nil {
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

// resubmitted tells the engine of a job that was found again; it ignores what it has been told.
func (a *attempt) resubmitted() error {
	if _, ok := a.req.Records[keySubmitted]; ok || !a.req.Resumed {
		return nil
	}
	if _, ok := a.req.Records[keyIntent]; !ok {
		return nil
	}
	return a.accepted()
}

func (a *attempt) since(key string) time.Duration {
	var m moment
	if !a.recorded(key, &m) {
		return 0
	}
	return max(a.r.cfg.Now().Sub(m.At), 0) // a clock that was put back starts the time anew
}

// awaitStart waits until the driver runs, and reports why it does not run yet.
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

// neverStarted ends an attempt whose job was not seen to run. If the job is still pending, the attempt fails immediately: the job has
// done nothing that a cleanup or another step could conflict with, and Ray may take long to stop it.
func (a *attempt) neverStarted(ctx context.Context, job ray.Job, err error) task.Result {
	switch {
	case ctx.Err() != nil:
		return task.Result{}
	case !errors.Is(err, errPending):
		return a.failed(ctx, err, stepfn.RayUnreachable)
	}
	cause := "ray did not start the job within " + task.Seconds(a.pendingLimit())
	if job.Message != "" {
		cause += ": " + job.Message
	}
	cause = a.log.Hide.Text(cause)
	if a.req.GiveUp != nil && a.req.GiveUp(stepfn.RayPendingTimeout, cause) == nil && ctx.Err() != nil {
		return task.Result{}
	}
	return a.timedOut(ctx, stepfn.RayPendingTimeout, cause)
}

func (a *attempt) awaitEnd(ctx context.Context) (ray.Job, error) {
	if _, ok := a.req.Records[keyRunning]; !ok {
		if err := a.keep(keyRunning, moment{a.r.cfg.Now()}); err != nil {
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

// overrun ends an attempt whose job ran too long, or whose Ray cannot be reached.
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

func (a *attempt) timedOut(ctx context.Context, name, cause string) task.Result {
	if err := a.stop(ctx); err != nil {
		cause += "; stopping it failed: " + err.Error()
	}
	return task.Fail(name, cause)
}

// tail passes on the log as it comes until the function it returns is called.
func (a *attempt) tail(ctx context.Context) (stop func()) {
	before := a.logged()
	a.resumedLog = before > 0
	a.lines = a.cluster.client.NewLog(a.args.SubmissionID, before, func(line string) {
		a.log.Line(line, strconv.AppendInt(nil, int64(a.lines.Seen()), 10))
	})
	tailing, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() { _ = a.lines.Tail(tailing) }) // what it misses, Rest brings
	return func() {
		cancel()
		done.Wait()
	}
}

// logged is how many lines a former process passed on.
func (a *attempt) logged() int {
	if n, err := strconv.Atoi(string(a.req.Log.Position())); err == nil {
		return max(n, 0)
	}
	var before logged
	a.recorded(keyLogged, &before)
	return max(before.Lines, 0)
}

// outcome reads the rest of the log and says how the job ended.
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
	case ray.FailedJob, ray.Pending, ray.Running: // a failure of its own, or the job did not reach its end
	}
	if job.ErrorType == "JOB_SUPERVISOR_ACTOR_START_TIMEOUT" {
		return task.Fail(stepfn.RayPendingTimeout, why(job, "the job did not start in time"))
	}
	if runtimeEnvFailed(job) {
		return task.Fail(stepfn.RayRuntimeEnvFailed, why(job, "the runtime environment could not be set up"))
	}
	cause := a.log.Cause(why(job, "the job failed"))
	if a.cluster.found.Own { // what else started a Ray had another environment
		cause += a.args.InheritEnv.Advice(a.r.cfg.Inheritable(), a.given(), cause)
	}
	return task.Fail(stepfn.RayJobFailed, cause)
}

// readEnd reads the rest of the log. A former process may have passed on the last lines: then they are read once more, for
// the output and the cause alone.
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
	a.log.Own = notOfRay(a.args.SubmissionID, a.entrypoint)
	for _, line := range last {
		a.log.Line(line, nil)
	}
	return nil
}

// Output is the result of submitJob.sync.
type Output struct {
	SubmissionID string          `json:"SubmissionId"`
	JobID        *string         `json:"JobId"` // null for an entrypoint that never called ray.init
	Status       ray.Status      `json:"Status"`
	Message      string          `json:"Message"`
	StartTime    ray.Millis      `json:"StartTime"`
	EndTime      ray.Millis      `json:"EndTime"`
	Address      string          `json:"Address"`
	SessionName  string          `json:"SessionName"`
	RayVersion   string          `json:"RayVersion"`
	Output       json.RawMessage `json:"Output"`
}

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

// marshal leaves <, > and & as they are: the results are no HTML.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), err
}
