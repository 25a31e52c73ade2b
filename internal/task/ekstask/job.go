package ekstask

import (
	"cmp"
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

// Keys of the records of an attempt.
const (
	keyIntent  = "eks.intent"  // intent: stored before the Job is created
	keyCreated = "eks.created" // created: stored after the Job was created
	keyLogged  = "eks.logged"  // written by older releases: time of the last line of each container's log that was passed on
)

// intent identifies the Job that is about to be created.
type intent struct{ Server, Namespace, Name string }

// created identifies the Job that was created.
type created struct{ UID string }

// attempt is one attempt of eks:runJob or eks:runJob.sync.
type attempt struct {
	r       *Runner
	req     *task.Request
	args    *jobArguments
	client  *kube.Client
	object  map[string]any // the Job to create
	name    string
	manager string // field manager of the attempt
	uid     string // UID of the Job; empty until the Job is known to exist
	sent    bool   // whether this or a previous rayorch process may have sent the request to create the Job
	log     *jobLog
}

// runJob creates the Job, or finds the one that a previous rayorch process created. With sync, it waits until the Job ends.
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
	a.setName()
	result := a.drive(ctx, sync)
	if sync && errors.Is(context.Cause(ctx), task.ErrStop) {
		result.Stopped = a.stop(ctx)
	}
	return result
}

// setName replaces generateName with a name that is the same each time that this attempt is run, so that a second run does not create
// a second Job.
func (a *attempt) setName() {
	meta, _ := a.object["metadata"].(map[string]any)
	a.name, _ = meta["name"].(string)
	if prefix, _ := meta["generateName"].(string); a.name == "" && prefix != "" {
		a.name = prefix + identity(a.req)[:5]
		meta["name"] = a.name
	}
}

// identity returns a text that is unique to this attempt among those of all executions.
func identity(req *task.Request) string {
	sum := sha256.Sum256([]byte(req.Execution + "\x00" + req.ID))
	return hex.EncodeToString(sum[:12])
}

// manager returns the field manager with which an attempt creates objects. Kubernetes stores it in the object's managedFields. So a later
// rayorch recognizes the objects of the attempt, without a label or annotation that the definition does not contain.
func manager(req *task.Request) string { return kube.Manager + "-" + identity(req) }

// madeBy reports whether an object has fields of a field manager.
func madeBy(meta kube.Meta, manager string) bool {
	for _, f := range meta.ManagedFields {
		if f.Manager == manager {
			return true
		}
	}
	return false
}

// drive creates the Job unless it exists, and follows it if sync is set. The caller uses only Stopped of the result if ctx has ended.
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

// begin finds the Job that a previous rayorch process created, or creates it.
func (a *attempt) begin(ctx context.Context) (kube.Job, error) {
	var was created
	if data, ok := a.req.Records[keyCreated]; ok && json.Unmarshal(data, &was) == nil {
		a.uid, a.sent = was.UID, true
		return a.found(ctx)
	}
	_, a.sent = a.req.Records[keyIntent]
	if a.sent && ctx.Err() != nil {
		return kube.Job{}, context.Cause(ctx) // the attempt is being stopped: do not create a Job
	}
	return a.create(ctx)
}

// found reads the Job that a previous rayorch process created. It does not create the Job again, even if the Job was deleted.
func (a *attempt) found(ctx context.Context) (job kube.Job, err error) {
	err = a.retry(ctx, func(ctx context.Context) (err error) {
		job, err = a.client.Job(ctx, a.args.Namespace, a.name)
		return err
	})
	if err == nil && job.Metadata.UID != a.uid {
		err = notFound(a.name, "was deleted, and another job with the same name exists")
	} else if kube.NotFound(err) {
		err = notFound(a.name, "was deleted while rayorch was not running: by a user, or because of its ttlSecondsAfterFinished")
	}
	return job, err
}

// create creates the Job. If a request gets no response, the server may have created the Job anyway: then the next request fails because a
// Job with this name exists, and create checks whether it is this attempt's.
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
	err = a.retry(ctx, func(ctx context.Context) error {
		a.sent = true
		response, err := a.client.Do(ctx, request)
		switch {
		case err == nil:
			job, err = kube.DecodeJob(response.Body)
		case again && kube.StatusReason(err) == "AlreadyExists":
			job, err = a.ours(ctx, err)
		}
		again = true
		return err
	})
	if err != nil {
		a.sent = a.sent && kube.Code(err) == 0 // after an error response, the Job was not created
		return job, err
	}
	a.uid = job.Metadata.UID
	return job, a.keep(keyCreated, created{a.uid})
}

// ours reads the existing Job. If this attempt did not create it, ours returns the error exists.
func (a *attempt) ours(ctx context.Context, exists error) (kube.Job, error) {
	job, err := a.client.Job(ctx, a.args.Namespace, a.name)
	if err == nil && !madeBy(job.Metadata, a.manager) {
		err = exists
	}
	return job, err
}

// report sets the text that the history shows if the attempt times out: why the Job does not run, if that is known, and what happens to
// the Job.
func (a *attempt) report(why string) {
	if a.req.Report == nil {
		return
	}
	text := fmt.Sprintf("the job %s in namespace %s had not ended: rayorch deletes it with its pods", a.name, a.args.Namespace)
	if why != "" {
		text = why + "; " + text
	}
	a.req.Report(text)
}

// retry calls act until it succeeds or fails with a permanent error, such as an error response. It waits for an unavailable API server
// until ctx ends, and reports that once.
func (a *attempt) retry(ctx context.Context, act func(context.Context) error) error {
	reported := false
	return kube.Retry(ctx, func(ctx context.Context) error {
		err := act(ctx)
		if kube.Temporary(err) && !reported && ctx.Err() == nil {
			reported = true
			a.log.note("waiting: " + err.Error())
			a.report(err.Error())
		}
		if err == nil && reported {
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

// notFound returns the error that the API server would return for a Job that does not exist, with a message that contains the reason.
func notFound(name, why string) error {
	message := fmt.Sprintf("the job %s %s", name, why)
	return &kube.StatusError{
		Code: http.StatusNotFound, Reason: "NotFound", Message: message,
		Response: kube.Response{Status: http.StatusNotFound, StatusText: "Not Found", Body: encode(map[string]any{
			"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": "NotFound", "code": 404,
		})},
	}
}

// follow passes the logs on and waits until the Job ends. It tolerates outages of the API server.
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
	if tail.hasSucceeded() && job.Ended() == nil && ctx.Err() == nil {
		err = nil // tail has ended the watch because a pod succeeded
	}
	reason := tail.finish(ctx, err == nil && !lost)
	switch {
	case err != nil:
		if ctx.Err() == nil {
			a.log.note(fmt.Sprintf("stopped watching the job %s in namespace %s, which may still be running: %v", a.name, a.args.Namespace, err))
		}
		return a.r.failed(a.client, err)
	case lost:
		return a.r.failed(a.client, notFound(a.name, "was deleted, or its namespace was deleted, while it was running"))
	}
	return a.outcome(ctx, job, reason)
}

// outcome returns the Task's result. A Job without an end is one that ends early: its pod has succeeded. For a failed Job, the cause
// contains the reason; last is the reason why it did not run, as the tailer saw it.
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
		why.End = cmp.Or(why.End, "the job failed")
	}
	if !why.Ran && last.Why != "" { // Kubernetes has already deleted the pods of a Job that exceeded its deadline
		why.Why = last.Why
	}
	why.Ran = why.Ran || last.Ran
	return task.Fail(stepfn.StatesTaskFailed, cause(object, why))
}

// cause returns the Cause of a failed Job: the Job as JSON, so that a Catch can parse it, with the reason as its first field. If the Job
// did not run, the reason also precedes the JSON, because the JSON contains nothing else that would help a user.
func cause(object map[string]any, why kube.Reason) string {
	const most = 30 << 10 // Step Functions allows 32,768 characters in a Cause
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

// withReason encodes an object as JSON with the reason as its first field.
func withReason(reason string, object map[string]any) string {
	return string(join(`{"reason":`, quote(reason), `,`, encode(object)[1:]))
}

// stop deletes the Job of this attempt, if it exists, and waits until its pods have ended. It returns the text for the cleanup report. It
// continues after ctx has ended, until the engine closes.
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
		outcome = fmt.Sprintf("the job %s in namespace %s could not be deleted within %s and may still be running: %v",
			a.name, a.args.Namespace, time.Since(began).Round(time.Second), err)
	case deleted:
		outcome = fmt.Sprintf("deleted the job %s in namespace %s; its pods have ended", a.name, a.args.Namespace)
	default:
		return fmt.Sprintf("the job %s in namespace %s no longer existed", a.name, a.args.Namespace)
	}
	a.log.note(outcome)
	return outcome
}

// lateWait is how long remove waits for a Job whose creation got no response: an API server that hung may still create it.
const lateWait = 2 * time.Second

// remove deletes the Job. It returns false if the Job does not exist, or if this attempt did not create it.
func (a *attempt) remove(ctx context.Context) (deleted bool, err error) {
	late := a.uid == "" // the Job may be created later
	for {
		var job kube.Job
		err := a.retry(ctx, func(ctx context.Context) (err error) {
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
			return false, nil // another Job
		}
		return true, a.removeFound(ctx, job)
	}
}

// removeFound deletes an existing Job and waits until its pods have ended.
func (a *attempt) removeFound(ctx context.Context, job kube.Job) error {
	path := kube.JobsPath(a.args.Namespace) + "/" + url.PathEscape(a.name)
	err := a.retry(ctx, func(ctx context.Context) error { return a.client.Remove(ctx, path, job.Metadata.UID) })
	if err != nil && !kube.NotFound(err) && kube.Code(err) != http.StatusConflict { // 409: another Job has replaced it
		return err
	}
	for {
		var pods []kube.Pod
		err := a.retry(ctx, func(ctx context.Context) (err error) {
			pods, err = a.client.PodsOf(ctx, job)
			return err
		})
		pods = slices.DeleteFunc(pods, func(p kube.Pod) bool { return p.Status.Phase == "Succeeded" || p.Status.Phase == "Failed" })
		if err != nil || len(pods) == 0 {
			return ignoreForbidden(err) // without the permission to list pods, it cannot wait for them
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

// sleep waits for d, or returns the cause of ctx if ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
