package ekstask

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
)

// The records of an attempt.
const (
	keyIntent  = "eks.intent"  // before the Job is created: its name
	keyCreated = "eks.created" // the UID that the server gave it
	keyLogged  = "eks.logged"  // of older releases: up to when each container's log was passed on
)

// intent is what must be known to find the Job again.
type intent struct{ Server, Namespace, Name string }

type created struct{ UID string }

// attempt is one run of runJob or runJob.sync.
type attempt struct {
	r       *Runner
	req     *task.Request
	args    *jobArguments
	client  *kube.Client
	object  map[string]any // the Job to create
	name    string
	manager string
	uid     string // once it is known to be there
	sent    bool   // it may have been sent, by this process or a former one
	log     *jobLog
}

func (r *Runner) runJob(ctx context.Context, req *task.Request, sync bool) task.Result {
	a := &attempt{r: r, req: req, manager: manager(req), log: newJobLog(req)}
	var err error
	resource := runJob
	if sync {
		resource = runJobSync
	}
	if a.args, a.object, err = parseJob(resource, req.Input); err != nil {
		return task.Fail(stepfn.StatesRuntime, err.Error())
	}
	if a.client, err = r.client(req, &a.args.target); err != nil {
		return task.Failure(err, stepfn.EKSClusterNotFound)
	}
	a.nameIt()
	result := a.drive(ctx, sync)
	if sync && errors.Is(context.Cause(ctx), task.ErrStop) {
		result.Stopped = a.stop(ctx)
	}
	return result
}

// nameIt turns generateName into a name, the same one for each try of this attempt, so that no try makes a second Job.
func (a *attempt) nameIt() {
	meta, _ := a.object["metadata"].(map[string]any)
	a.name, _ = meta["name"].(string)
	if prefix, _ := meta["generateName"].(string); a.name == "" && prefix != "" {
		a.name = prefix + identity(a.req)[:5]
		meta["name"] = a.name
	}
}

// identity tells this attempt from all others, of all executions.
func identity(req *task.Request) string {
	sum := sha256.Sum256([]byte(req.Execution + "\x00" + req.ID))
	return hex.EncodeToString(sum[:12])
}

// manager is the field manager that an attempt creates objects as. Kubernetes writes it into the object, so that the next
// process knows what this one made, and nothing has to be added to what the definition says.
func manager(req *task.Request) string { return kube.Manager + "-" + identity(req) }

func madeBy(meta kube.Meta, manager string) bool {
	for _, f := range meta.ManagedFields {
		if f.Manager == manager {
			return true
		}
	}
	return false
}

// drive creates the Job unless it is there, and follows it. When ctx ends its result counts for nothing.
func (a *attempt) drive(ctx context.Context, sync bool) task.Result {
	job, err := a.begin(ctx)
	if err != nil {
		return a.r.failed(a.client, err)
	}
	if !sync {
		return task.Result{Output: encode(tidy(job))}
	}
	if err := a.req.Submitted(encode(tidy(job))); err != nil {
		return task.Fail(stepfn.StatesRuntime, err.Error())
	}
	return a.follow(ctx, job)
}

// begin finds the Job of a former process, or creates it.
func (a *attempt) begin(ctx context.Context) (kube.Job, error) {
	var was created
	if data, ok := a.req.Records[keyCreated]; ok && json.Unmarshal(data, &was) == nil {
		a.uid, a.sent = was.UID, true
		return a.found(ctx)
	}
	_, a.sent = a.req.Records[keyIntent]
	if a.sent && ctx.Err() != nil {
		return kube.Job{}, context.Cause(ctx) // to be stopped, not to be made
	}
	return a.create(ctx)
}

// found reads the Job that was created before. Whatever became of it, it is not created again.
func (a *attempt) found(ctx context.Context) (job kube.Job, err error) {
	err = a.bear(ctx, func(ctx context.Context) (err error) {
		job, err = a.client.Job(ctx, a.args.Namespace, a.name)
		return err
	})
	if err == nil && job.Metadata.UID != a.uid {
		err = gone(a.name, "is another one now: somebody deleted the first, and made one of the same name")
	} else if kube.NotFound(err) {
		err = gone(a.name, "is gone: somebody, or its ttlSecondsAfterFinished, deleted it while rayorch did not run")
	}
	return job, err
}

// create sends the Job. A server that gives no answer may have made it all the same: the next try then finds a Job of that
// name, and whose it is.
func (a *attempt) create(ctx context.Context) (job kube.Job, err error) {
	if err := ctx.Err(); err != nil {
		return job, err
	}
	body, err := json.Marshal(a.object)
	if err != nil {
		return job, err
	}
	if err := a.keep(keyIntent, intent{a.client.Server(), a.args.Namespace, a.name}); err != nil {
		return job, err
	}
	request := kube.Request{
		Method: http.MethodPost, Path: kube.JobsPath(a.args.Namespace), Body: body, Query: url.Values{"fieldManager": {a.manager}},
	}
	again := a.sent
	err = a.bear(ctx, func(ctx context.Context) error {
		a.sent = true
		answer, err := a.client.Do(ctx, request)
		switch {
		case err == nil:
			job, err = kube.DecodeJob(answer.Body)
		case again && kube.StatusReason(err) == "AlreadyExists":
			job, err = a.ours(ctx, err)
		}
		again = true
		return err
	})
	if err != nil {
		a.sent = a.sent && kube.Code(err) == 0 // what was refused is not there
		return job, err
	}
	a.uid = job.Metadata.UID
	return job, a.keep(keyCreated, created{a.uid})
}

// ours reads the Job of that name; when somebody else made it, exists is the error.
func (a *attempt) ours(ctx context.Context, exists error) (kube.Job, error) {
	job, err := a.client.Job(ctx, a.args.Namespace, a.name)
	if err == nil && !madeBy(job.Metadata, a.manager) {
		err = exists
	}
	return job, err
}

// report says how the Job stands: what the history shows when its time is up.
func (a *attempt) report(why string) {
	if a.req.Report == nil {
		return
	}
	text := fmt.Sprintf("the job %s in namespace %s had not ended: it is deleted, and its pods", a.name, a.args.Namespace)
	if why != "" {
		text = why + "; " + text
	}
	a.req.Report(text)
}

// bear waits out an API server that is away, for as long as the attempt may last.
func (a *attempt) bear(ctx context.Context, act func(context.Context) error) error {
	told := false
	return kube.Retry(ctx, func(ctx context.Context) error {
		err := act(ctx)
		if kube.Temporary(err) && !told && ctx.Err() == nil {
			told = true
			a.log.note("waiting: " + err.Error())
			a.report(err.Error())
		}
		if err == nil && told {
			a.report("")
		}
		return err
	})
}

func (a *attempt) keep(key string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return a.req.Keep(key, data)
}

// gone is what the API server would answer of a Job that is not there, with the reason.
func gone(name, why string) error {
	message := fmt.Sprintf("the job %s %s", name, why)
	return &kube.StatusError{
		Code: http.StatusNotFound, Reason: "NotFound", Message: message,
		Response: kube.Response{Status: http.StatusNotFound, StatusText: "Not Found", Body: encode(map[string]any{
			"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": "NotFound", "code": 404,
		})},
	}
}

// follow waits for the Job's end, whatever happens to the API server meanwhile.
func (a *attempt) follow(ctx context.Context, job kube.Job) task.Result {
	a.report("")
	watching, early := context.WithCancel(ctx)
	defer early()
	tail := a.tail(ctx, job, early)
	lost := false
	err := a.client.WatchJob(watching, a.args.Namespace, a.name, func(now kube.Job, missing bool) bool {
		if missing || now.Metadata.UID != a.uid {
			lost = true
			return true
		}
		job = now
		return job.Ended() != nil
	})
	ahead := tail.isAhead() && job.Ended() == nil
	if ahead && ctx.Err() == nil {
		err = nil
	}
	reason := tail.finish(ctx, err == nil && !lost)
	switch {
	case err != nil:
		if ctx.Err() == nil {
			a.log.note(fmt.Sprintf("gave up on the job %s in namespace %s, which may still run: %v", a.name, a.args.Namespace, err))
		}
		return a.r.failed(a.client, err)
	case lost:
		return a.r.failed(a.client, gone(a.name, "is gone: somebody deleted it, or its namespace, while it ran"))
	}
	return a.outcome(ctx, job, reason)
}

// outcome is the Task's result. A Job that has no end yet is one whose pod has succeeded. A Job that failed says why.
func (a *attempt) outcome(ctx context.Context, job kube.Job, last kube.Reason) task.Result {
	object := tidy(job)
	if a.args.LogOptions.RetrieveLogs {
		object["logs"] = a.retrieve(ctx, job)
	}
	if end := job.Ended(); end == nil || end.Type == "Complete" {
		return task.Result{Output: encode(object)}
	}
	why, err := a.client.Why(ctx, job)
	if err != nil {
		why.End = orElse(why.End, "the job failed")
	}
	if !why.Ran && last.Why != "" { // the pods of a Job whose time was up are gone by now
		why.Why = last.Why
	}
	why.Ran = why.Ran || last.Ran
	return task.Fail(stepfn.StatesTaskFailed, cause(object, why))
}

// cause is the Job as JSON, so that a Catch can read it, with the reason first. Where nothing ran, the reason stands before
// the JSON, since there is nothing in it to read.
func cause(object map[string]any, why kube.Reason) string {
	const most = 30 << 10 // a Cause may have 32,768 characters
	reason := why.String()
	text := withReason(reason, object)
	if len(text) > most {
		shorten(object)
		text = withReason(reason, object)
	}
	if len(text) > most {
		text = withReason(reason, map[string]any{"metadata": object["metadata"], "status": object["status"]})
	}
	if !why.Ran && reason != "" {
		return reason + "\n" + text
	}
	return text
}

func withReason(reason string, object map[string]any) string {
	return string(join(`{"reason":`, quote(reason), `,`, encode(object)[1:]))
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// stop deletes the Job of this attempt, if there is one, waits until its pods have ended, and says what became of it. It continues
// after ctx has ended, until the engine closes.
func (a *attempt) stop(ctx context.Context) (outcome string) {
	if !a.sent && a.uid == "" {
		return ""
	}
	on, end := task.UntilAbandoned(ctx)
	defer end()
	ctx, cancel := context.WithTimeout(on, a.r.cfg.StopWait)
	defer cancel()
	began := time.Now()
	deleted, err := a.remove(ctx)
	switch {
	case err != nil && on.Err() != nil:
		return ""
	case err != nil:
		outcome = fmt.Sprintf("the job %s in namespace %s could not be deleted within %s, and may still run: %v",
			a.name, a.args.Namespace, time.Since(began).Round(time.Second), err)
	case deleted:
		outcome = fmt.Sprintf("deleted the job %s in namespace %s; its pods have ended", a.name, a.args.Namespace)
	default:
		return fmt.Sprintf("the job %s in namespace %s was gone already", a.name, a.args.Namespace)
	}
	a.log.note(outcome)
	return outcome
}

// lateWait is how long a request that got no answer is waited for: an API server that hung may still carry it out.
const lateWait = 2 * time.Second

func (a *attempt) remove(ctx context.Context) (deleted bool, err error) {
	late := a.uid == "" // it may be made yet
	for {
		var job kube.Job
		err := a.bear(ctx, func(ctx context.Context) (err error) {
			job, err = a.client.Job(ctx, a.args.Namespace, a.name)
			return err
		})
		switch {
		case kube.NotFound(err) && late:
			late = false
			if err := sleep(ctx, lateWait); err != nil {
				return false, err
			}
			continue
		case kube.NotFound(err):
			return false, nil
		case err != nil:
			return false, err
		case a.uid == "" && !madeBy(job.Metadata, a.manager), a.uid != "" && job.Metadata.UID != a.uid:
			return false, nil // somebody else's
		}
		return true, a.removeFound(ctx, job)
	}
}

func (a *attempt) removeFound(ctx context.Context, job kube.Job) error {
	path := kube.JobsPath(a.args.Namespace) + "/" + url.PathEscape(a.name)
	err := a.bear(ctx, func(ctx context.Context) error { return a.client.Remove(ctx, path, job.Metadata.UID) })
	if err != nil && !kube.NotFound(err) && kube.Code(err) != http.StatusConflict { // 409: another one took its place
		return err
	}
	for {
		var pods []kube.Pod
		err := a.bear(ctx, func(ctx context.Context) (err error) {
			pods, err = a.client.PodsOf(ctx, job)
			return err
		})
		pods = slices.DeleteFunc(pods, func(p kube.Pod) bool { return p.Status.Phase == "Succeeded" || p.Status.Phase == "Failed" })
		if err != nil || len(pods) == 0 {
			return ignoreForbidden(err) // who may not see pods cannot wait for them
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

func ignoreForbidden(err error) error {
	if kube.Code(err) == http.StatusForbidden {
		return nil
	}
	return err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
