package raytask

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/engine/snapshot"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/joblog"
)

// The records of an attempt.
const (
	keyIntent    = "ray.intent"    // before the job is sent: where to
	keySubmitted = "ray.submitted" // when Ray had taken it
	keyRunning   = "ray.running"   // when its driver was first seen to run
	keyLogged    = "ray.logged"    // of older releases: how many lines of its log were passed on
)

// intent is what must be known to find the job again.
type intent struct {
	Address     string
	SessionName string
	RayVersion  string
	EnvFile     string `json:",omitempty"` // the file with variables that Ray's records do not contain
}

type moment struct{ At time.Time }

type logged struct{ Lines int }

const pendingTimeout = 900 * time.Second // also Ray's own

var (
	errPending = errors.New("the job stayed pending")
	errTimeout = errors.New("the job ran too long")
)

// attempt is one run of submitJob.sync.
type attempt struct {
	r       *Runner
	req     *task.Request
	args    *Arguments
	env     map[string]any
	secrets map[string]string // that the job gets, by variable
	cluster *cluster
	intent  intent
	log     *joblog.Log
	lines   *ray.Log // where the log's lines come from
	// resumedLog says that a former process passed on lines of the log.
	resumedLog bool
	ran        time.Time // when the driver was first seen to run

	entrypoint string // the one to submit
	envFile    string // the content of the file with secrets
	spill      *spill // what does not fit into the environment and the entrypoint; nil without it
}

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
	if err != nil { // it waited for a secret, and is stopped: a job that a former process began is stopped without
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

func (a *attempt) prepare(ctx context.Context) (err error) {
	a.log = joblog.New(nil, joblog.Redactor{}) // until the secrets are known
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

// permitted checks what the job uses of the engine's owner. A job that this attempt has submitted goes on.
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

// drive submits the job unless it is there, and follows it. When ctx ends its result counts for nothing.
func (a *attempt) drive(ctx context.Context) task.Result {
	there, err := a.find(ctx)
	if err != nil {
		return a.failed(ctx, err, stepfn.RaySubmitFailed)
	}
	if !there {
		a.chooseEnvFile(ctx)
	}
	if err := a.fit(); err != nil {
		return task.Fail(stepfn.RaySubmitFailed, a.log.Hide.Text(err.Error()))
	}
	a.log.Own = notOfRay(a.args.SubmissionID, a.entrypoint)
	if !there {
		if err := a.submit(ctx); err != nil {
			return a.failed(ctx, err, stepfn.RaySubmitFailed)
		}
	}
	return a.follow(ctx)
}

// failed makes a Ray that was lost be looked for anew by whoever comes next.
func (a *attempt) failed(ctx context.Context, err error, otherwise string) task.Result {
	result := failure(err, otherwise)
	if a.cluster == nil || ctx.Err() != nil {
		return result
	}
	switch {
	case result.Error == stepfn.RayUnreachable:
		result = failure(a.replaced(ctx, err), otherwise)
	case result.Error == stepfn.RayUnauthorized && a.cluster.found.Discovered && a.intent.SessionName != "":
		// It took this token before: another Ray has the address now.
		result = failure(&ray.LostError{ID: a.args.SubmissionID, Was: a.intent.SessionName, Then: "one that does not accept the token"}, otherwise)
	}
	if result.Error == stepfn.RayHeadLost || result.Error == stepfn.RayUnreachable {
		a.r.forget(a.cluster)
	}
	return result
}

// replaced tells of an unreachable Ray whether another one has taken its place elsewhere, as one that rayorch starts anew
// listens on another port.
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

// find looks for the job of a former process. One whose session has gone may have run there, so that it is lost, not
// free to be sent again: no job runs twice.
func (a *attempt) find(ctx context.Context) (there bool, err error) {
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

// reach finds the Ray; one that a former process knew may have been started anew at another address meanwhile.
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

// checkSession tells, of a job that Ray does not know, whether it can have been sent.
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

// submit writes down where the job goes, then sends it.
func (a *attempt) submit(ctx context.Context) error {
	if err := a.upload(ctx); err != nil {
		return err
	}
	if err := a.intend(ctx); err != nil {
		return err
	}
	if err := a.writeEnvFile(); err != nil {
		return fmt.Errorf("write the variables of the job: %w", err)
	}
	// A submit request that a stop cancels could still reach Ray after the stop.
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

// upload gives Ray the packages of what is on this machine unless Ray has them. It checks that before each submission, because Ray
// drops packages that nothing refers to.
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
	a.env["working_dir"], err = a.putCode(ctx, ray.Source{Path: dir, Excludes: patterns})
	return err
}

// uploadModules does the same with the modules of this machine in py_modules; addresses stay there for Ray to fetch.
func (a *attempt) uploadModules(ctx context.Context, patterns []string) error {
	modules, err := localModules(a.env)
	if err != nil {
		return err
	}
	for i, path := range modules {
		if path == "" {
			continue
		}
		uri, err := a.putCode(ctx, ray.Source{Path: path, Module: true, Excludes: patterns})
		if err != nil {
			return fmt.Errorf("RuntimeEnv.py_modules[%d]: %w", i, err)
		}
		a.env["py_modules"].([]any)[i] = uri
	}
	return nil
}

// uploadSpill puts what does not fit elsewhere into py_modules.
func (a *attempt) uploadSpill(ctx context.Context) error {
	if a.spill == nil {
		return nil
	}
	pack, err := ray.PackText(ctx, a.spill.name, a.spill.files)
	if err != nil {
		return err
	}
	uri, err := a.put(ctx, pack)
	modules, _ := a.env["py_modules"].([]any)
	a.env["py_modules"] = append(slices.Clip(modules), uri)
	return err
}

// putCode gives Ray the package of a source as it was when the execution started.
func (a *attempt) putCode(ctx context.Context, of ray.Source) (uri string, err error) {
	pack, err := a.r.cfg.Code.Package(ctx, a.req.Labels[snapshot.Label], of)
	if err != nil {
		return "", err
	}
	return a.put(ctx, pack)
}

// put gives a package to Ray and closes it.
func (a *attempt) put(ctx context.Context, pack *ray.Package) (uri string, err error) {
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

// checkOurs tells a submit whose first answer was lost from an id that another job has.
func (a *attempt) checkOurs(ctx context.Context) error {
	var job ray.Job
	err := a.retry(ctx, func(ctx context.Context) (err error) {
		job, err = a.cluster.client.Get(ctx, a.args.SubmissionID)
		return err
	})
	if err == nil && job.Entrypoint != a.entrypoint {
		err = fmt.Errorf("ray holds another job of the id %s: delete it, or choose another id", a.args.SubmissionID)
	}
	return err
}

func (a *attempt) accepted() error {
	a.req.Waits("Ray has accepted the job", a.r.cfg.Now()) // otherwise, the step would be shown as running
	if err := a.keep(keySubmitted, moment{a.r.cfg.Now()}); err != nil {
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

// interrupted stops the job, waits until Ray confirms that, and reports it. When the engine closes, it leaves the job alone
// and returns immediately.
func (a *attempt) interrupted(ctx context.Context) string {
	if errors.Is(context.Cause(ctx), task.ErrAbandon) || a.intent.Address == "" {
		return ""
	}
	err := a.stop(ctx)
	if errors.Is(err, task.ErrAbandon) {
		return ""
	}
	if err != nil {
		return a.log.Hide.Text(fmt.Sprintf("the ray job %s could not be stopped, and may still run: %v", a.args.SubmissionID, err))
	}
	return fmt.Sprintf("the ray job %s at %s is no longer running", a.args.SubmissionID, a.intent.Address)
}

// stop is for a job that may never have been sent. It goes on when ctx has ended.
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
	if a.cluster == nil { // stopped while the Ray of a former process was looked for
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
