package raytask

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/joblog"
	"github.com/rayorch/rayorch/internal/task/snapshot"
)

// Keys of the records of an attempt.
const (
	keyIntent    = "ray.intent"    // intent: the Ray to which the job is about to be submitted
	keySubmitted = "ray.submitted" // timestamp: when Ray accepted the job
	keyRunning   = "ray.running"   // timestamp: when rayorch first saw the driver run
	keyLogged    = "ray.logged"    // logged: written by older releases
)

// intent contains what a later rayorch process needs to find the job.
type intent struct {
	Address     string
	SessionName string
	RayVersion  string
	EnvFile     string `json:",omitempty"` // path of the file with the private variables, if there is one
}

type timestamp struct{ At time.Time }

type logged struct{ Lines int } // number of lines of the log that were passed on

// pendingTimeout is the default of PendingTimeoutSeconds, and the default of Ray itself.
const pendingTimeout = 900 * time.Second

var (
	errPending = errors.New("the job stayed pending")
	errTimeout = errors.New("the job ran too long")
)

// attempt is one attempt of ray:submitJob.sync.
type attempt struct {
	r          *Runner
	req        *task.Request
	args       *Arguments
	env        map[string]any    // the runtime environment to submit
	secrets    map[string]string // secrets for the job, by variable
	cluster    *cluster
	intent     intent
	log        *joblog.Log
	lines      *ray.Log  // source of the log's lines
	resumedLog bool      // whether a previous rayorch process passed on lines of the log
	ran        time.Time // when the driver was first seen running

	entrypoint string // the entrypoint to submit, with rayorch's shell code
	envFile    string // content of the file with the private variables
	spill      *spill // variables and entrypoint that are too large for Ray; may be nil
}

// submitJob submits the job, or finds the one that a previous rayorch process submitted, and waits until it ends.
func (r *Runner) submitJob(ctx context.Context, req *task.Request) task.Result {
	a := &attempt{r: r, req: req}
	defer func() {
		if !errors.Is(context.Cause(ctx), task.ErrAbandon) {
			a.removeEnvFile()
		}
	}()
	err := a.prepare(ctx)
	if err != nil && (ctx.Err() == nil || a.args == nil) {
		return task.Failure(err, stepfn.RaySubmitFailed)
	}
	var result task.Result
	if err != nil { // stopped while prepare waited for a secret; stopping an existing job does not need it
		a.recorded(keyIntent, &a.intent)
	} else {
		result = a.drive(ctx)
	}
	if ctx.Err() != nil {
		result = task.Fail(stepfn.RayJobStopped, context.Cause(ctx).Error())
		result.Stopped = a.interrupted(ctx)
		return result
	}
	result.Cause = a.log.Hide.Text(result.Cause)
	return result
}

// prepare checks the arguments and reads the secrets. It may block until the values of secrets are known.
func (a *attempt) prepare(ctx context.Context) (err error) {
	a.log = joblog.New(nil, joblog.Redactor{}) // replaced below, when the secrets are known
	if a.args, err = parseArguments(a.req.Input); err != nil {
		return err
	}
	if err := a.permitted(); err != nil {
		return err
	}
	if a.env, err = a.args.environment(); err != nil {
		return err
	}
	var hidden []string
	valueOf := func(name string) (string, error) { return a.r.cfg.Secret(ctx, a.req, name) }
	if a.secrets, hidden, err = a.args.Secrets.Read(valueOf); err != nil {
		return err
	}
	a.log = joblog.New(a.req.Log, joblog.NewRedactor(hidden)).From(a.req.Log.Position())
	a.log.Begin()
	return nil
}

// permitted checks that the execution is allowed to use the owner's Ray, directories and variables that the arguments name. It does not
// check a job that this attempt has already submitted, so that a change of the policy does not end it.
func (a *attempt) permitted() error {
	may, labels := &a.r.cfg.Policy, a.req.Labels
	mayRead := func(variable string) error { return may.Env(labels, variable) }
	a.args.DropDenied(mayRead)
	if _, submitted := a.req.Records[keySubmitted]; submitted {
		return nil
	}
	errs := []error{may.Ray(labels, a.args.Address), may.Inherit(labels, a.args.InheritEnv)}
	for _, path := range a.args.paths() {
		errs = append(errs, may.Dir(labels, path))
	}
	errs = append(errs, a.args.Denied(mayRead))
	return errors.Join(errs...)
}

// drive submits the job unless it exists, and follows it. The caller ignores the result if ctx has ended.
func (a *attempt) drive(ctx context.Context) task.Result {
	exists, err := a.find(ctx)
	if err != nil {
		return a.failed(ctx, err, stepfn.RaySubmitFailed)
	}
	if !exists {
		a.chooseEnvFile(ctx)
	}
	if err := a.fit(); err != nil {
		return task.Fail(stepfn.RaySubmitFailed, a.log.Hide.Text(err.Error()))
	}
	a.log.Own = jobLines(a.args.SubmissionID, a.entrypoint)
	if !exists {
		if err := a.submit(ctx); err != nil {
			return a.failed(ctx, err, stepfn.RaySubmitFailed)
		}
	}
	return a.follow(ctx)
}

// failed returns a failed result for an error. If the Ray was lost, failed removes it from the Runner, so that the next attempt resolves
// the address again.
func (a *attempt) failed(ctx context.Context, err error, otherwise string) task.Result {
	result := failure(err, otherwise)
	if a.cluster == nil || ctx.Err() != nil {
		return result
	}
	switch {
	case result.Error == stepfn.RayUnreachable:
		result = failure(a.replaced(ctx, err), otherwise)
	case result.Error == stepfn.RayUnauthorized && a.cluster.found.Discovered && a.intent.SessionName != "":
		// This Ray accepted the token before, so another Ray has taken over its address.
		result = failure(&ray.LostError{ID: a.args.SubmissionID, Was: a.intent.SessionName, Then: "one that does not accept the token"}, otherwise)
	}
	if result.Error == stepfn.RayHeadLost || result.Error == stepfn.RayUnreachable {
		a.r.forget(a.cluster)
	}
	return result
}

// replaced returns a LostError if another Ray has replaced the unreachable one at another address, otherwise the error unreachable. A Ray
// that rayorch restarts listens on another port.
func (a *attempt) replaced(ctx context.Context, unreachable error) error {
	if a.args.Address != "" || a.intent.SessionName == "" {
		return unreachable
	}
	found, err := a.r.cfg.Resolve(ctx, "")
	if err != nil || found.Version.SessionName == a.intent.SessionName {
		return unreachable
	}
	return &ray.LostError{ID: a.args.SubmissionID, Was: a.intent.SessionName, Then: found.Version.SessionName}
}

// find looks for the job, in case a previous rayorch process submitted it. It returns a LostError if the job may have run in another
// session of the Ray: the job must not be submitted again, because no job may run twice.
func (a *attempt) find(ctx context.Context) (exists bool, err error) {
	known := a.recorded(keyIntent, &a.intent)
	address := a.args.Address
	if known && address == "" {
		address = a.intent.Address
	}
	if a.cluster, err = a.reach(ctx, address, known); err != nil || !known {
		return false, err
	}
	err = a.retry(ctx, func(ctx context.Context) error {
		_, err := a.cluster.client.Get(ctx, a.args.SubmissionID)
		return err
	})
	if ray.KindOf(err) != ray.NotFound {
		return err == nil, err
	}
	return false, a.checkSession(ctx)
}

// reach returns the Ray of the attempt. If known is set, a previous rayorch process used the Ray at this address; since then, the Ray
// may have been restarted at another address.
func (a *attempt) reach(ctx context.Context, address string, known bool) (*cluster, error) {
	if !known || a.args.Address != "" {
		return a.r.cluster(ctx, a.args.Address)
	}
	c, err := a.r.cluster(ctx, "")
	if err != nil || c.client.Address() == address {
		return c, err
	}
	if _, err := a.r.cfg.Resolve(ctx, address); ray.Temporary(err) {
		return c, &ray.LostError{ID: a.args.SubmissionID, Was: a.intent.SessionName, Then: c.found.Version.SessionName}
	}
	return a.r.cluster(ctx, address)
}

// checkSession returns nil if a job that Ray does not know was certainly never submitted, otherwise a LostError.
func (a *attempt) checkSession(ctx context.Context) error {
	var version ray.Version
	err := a.retry(ctx, func(ctx context.Context) (err error) {
		version, err = a.cluster.client.Version(ctx)
		return err
	})
	if err != nil {
		return err
	}
	if _, sent := a.req.Records[keySubmitted]; sent || version.SessionName != a.intent.SessionName {
		return &ray.LostError{ID: a.args.SubmissionID, Was: a.intent.SessionName, Then: version.SessionName}
	}
	return nil
}

func (a *attempt) retry(ctx context.Context, act func(context.Context) error) error {
	return ray.Retry(ctx, a.r.cfg.Grace, act)
}

// recorded decodes a record of a previous rayorch process. It returns false if there is none.
func (a *attempt) recorded(key string, into any) bool {
	data, ok := a.req.Records[key]
	return ok && json.Unmarshal(data, into) == nil
}

func (a *attempt) keep(key string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return a.req.Keep(key, data)
}

// submit uploads the job's files, stores the intent, and submits the job.
func (a *attempt) submit(ctx context.Context) error {
	if err := a.upload(ctx); err != nil {
		return err
	}
	if err := a.intend(ctx); err != nil {
		return err
	}
	if err := a.writeEnvFile(); err != nil {
		return fmt.Errorf("write the environment variables of the job: %w", err)
	}
	// A stop does not cancel the request: otherwise, the request could still reach Ray after the stop.
	ctx, cancel := task.UntilAbandoned(ctx)
	defer cancel()
	existed := false
	err := a.retry(ctx, func(ctx context.Context) (err error) {
		_, existed, err = a.cluster.client.Submit(ctx, a.submission())
		return err
	})
	if err != nil {
		return err
	}
	if existed {
		if err := a.checkOurs(ctx); err != nil {
			return err
		}
	}
	return a.accepted()
}

// intend stores the Ray, including its current session, to which the job is about to be submitted.
func (a *attempt) intend(ctx context.Context) error {
	var version ray.Version
	err := a.retry(ctx, func(ctx context.Context) (err error) {
		version, err = a.cluster.client.Version(ctx)
		return err
	})
	if err != nil {
		return err
	}
	a.intent = intent{a.cluster.client.Address(), version.SessionName, version.RayVersion, a.intent.EnvFile}
	return a.keep(keyIntent, a.intent)
}

// upload uploads the packages of directories and modules on this machine, unless Ray already has them. It checks that before each
// submission, because Ray deletes packages that no job uses.
func (a *attempt) upload(ctx context.Context) error {
	dir, err := a.args.localDir(a.env)
	if err != nil {
		return err
	}
	if err := readRequirements(a.env, dir); err != nil {
		return err
	}
	patterns, err := excludes(a.env)
	if err != nil {
		return err
	}
	if err := errors.Join(a.uploadModules(ctx, patterns), a.uploadSpill(ctx)); err != nil || dir == "" {
		return err
	}
	a.env["working_dir"], err = a.uploadCode(ctx, ray.Source{Path: dir, Excludes: patterns})
	return err
}

// uploadModules uploads the modules on this machine in py_modules and replaces their paths with the URIs of the packages.
func (a *attempt) uploadModules(ctx context.Context, patterns []string) error {
	modules, err := localModules(a.env)
	if err != nil {
		return err
	}
	for i, path := range modules {
		if path == "" {
			continue
		}
		uri, err := a.uploadCode(ctx, ray.Source{Path: path, Module: true, Excludes: patterns})
		if err != nil {
			return fmt.Errorf("RuntimeEnv.py_modules[%d]: %w", i, err)
		}
		a.env["py_modules"].([]any)[i] = uri
	}
	return nil
}

// uploadSpill uploads the spill, if there is one, and adds it to py_modules.
func (a *attempt) uploadSpill(ctx context.Context) error {
	if a.spill == nil {
		return nil
	}
	pack, err := ray.PackText(ctx, a.spill.name, a.spill.files)
	if err != nil {
		return err
	}
	uri, err := a.uploadPackage(ctx, pack)
	modules, _ := a.env["py_modules"].([]any)
	a.env["py_modules"] = append(slices.Clip(modules), uri)
	return err
}

// uploadCode uploads the package of a source as it was when the execution started.
func (a *attempt) uploadCode(ctx context.Context, of ray.Source) (uri string, err error) {
	pack, err := a.r.cfg.Code.Package(ctx, a.req.Labels[snapshot.Label], of)
	if err != nil {
		return "", err
	}
	return a.uploadPackage(ctx, pack)
}

// uploadPackage uploads a package unless Ray already has it, and closes it.
func (a *attempt) uploadPackage(ctx context.Context, pack *ray.Package) (uri string, err error) {
	defer pack.Close()
	err = a.retry(ctx, func(ctx context.Context) error { return a.cluster.client.Upload(ctx, pack) })
	return pack.URI(), err
}

func (a *attempt) submission() ray.Submission {
	return ray.Submission{
		SubmissionID: a.args.SubmissionID,
		Entrypoint:   a.entrypoint,
		RuntimeEnv:   a.env,
		Metadata:     a.args.Metadata,
		NumCPUs:      a.args.NumCPUs,
		NumGPUs:      a.args.NumGPUs,
		Memory:       int64(a.args.Memory),
		Resources:    a.args.resources(),
	}
}

// checkOurs checks a job whose id already existed when it was submitted. It is ours if an earlier submit request succeeded but its
// response was lost; if the entrypoint differs, it is another job.
func (a *attempt) checkOurs(ctx context.Context) error {
	var job ray.Job
	err := a.retry(ctx, func(ctx context.Context) (err error) {
		job, err = a.cluster.client.Get(ctx, a.args.SubmissionID)
		return err
	})
	if err == nil && job.Entrypoint != a.entrypoint {
		err = fmt.Errorf("Ray holds another job of the id %s: delete it, or choose another id", a.args.SubmissionID)
	}
	return err
}

// accepted records and reports that Ray has accepted the job.
func (a *attempt) accepted() error {
	a.req.Waits("Ray has accepted the job", a.r.cfg.Now()) // otherwise, the step would be shown as running
	if err := a.keep(keySubmitted, timestamp{a.r.cfg.Now()}); err != nil {
		return err
	}
	out, err := marshal(struct {
		SubmissionID string `json:"SubmissionId"`
		Address      string
		SessionName  string
	}{a.args.SubmissionID, a.intent.Address, a.intent.SessionName})
	if err != nil {
		return err
	}
	return a.req.Submitted(out)
}

// interrupted stops the job, waits until Ray confirms the stop, and returns the text for the cleanup report. If the engine closes, it
// does not stop the job and returns "" immediately.
func (a *attempt) interrupted(ctx context.Context) string {
	if errors.Is(context.Cause(ctx), task.ErrAbandon) || a.intent.Address == "" {
		return ""
	}
	err := a.stop(ctx)
	if errors.Is(err, task.ErrAbandon) {
		return ""
	}
	if err != nil {
		return a.log.Hide.Text(fmt.Sprintf("the Ray job %s could not be stopped and may still be running: %v", a.args.SubmissionID, err))
	}
	return fmt.Sprintf("the Ray job %s at %s is no longer running", a.args.SubmissionID, a.intent.Address)
}

// stop stops the job, which may never have been submitted, and waits until Ray confirms the stop, at most Config.StopWait. It continues
// after ctx has ended.
func (a *attempt) stop(ctx context.Context) (err error) {
	if a.intent.Address == "" {
		return nil
	}
	on, end := task.UntilAbandoned(ctx)
	defer end()
	ctx, cancel := context.WithTimeout(on, a.r.cfg.StopWait)
	defer cancel()
	defer func() {
		if err != nil && on.Err() != nil {
			err = context.Cause(on)
		}
	}()
	if a.cluster == nil { // stopped before find had reached the Ray of a previous rayorch process
		if a.cluster, err = a.reach(ctx, a.intent.Address, true); err != nil {
			return err
		}
	}
	err = a.retry(ctx, func(ctx context.Context) error {
		_, err := a.cluster.client.Stop(ctx, a.args.SubmissionID)
		return err
	})
	if ray.KindOf(err) == ray.NotFound {
		return nil
	}
	return err
}
