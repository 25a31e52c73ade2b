package proctask

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/rayorch/rayorch/internal/backend/hostenv"
	"github.com/rayorch/rayorch/internal/backend/proc"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/jobenv"
	"github.com/rayorch/rayorch/internal/task/joblog"
)

const (
	keySubmitted = "process.submitted"
	keyLogged    = "process.logged" // of older releases: bytes of the log passed on

	// lookEvery is how often the log and the end are looked for: two system calls.
	lookEvery = 20 * time.Millisecond
	// claimWait bounds the start of a program of ours, on a machine that may be busy.
	claimWait = 2 * time.Minute
)

// attempt is one run of process:run.sync.
type attempt struct {
	r       *Runner
	req     *task.Request
	args    *Arguments
	env     [][]byte
	files   map[string]string // for the process to read: variables that are too long, and a script that is
	place   place
	log     *joblog.Log
	secrets []string
	lines   *follower
	before  int64         // bytes of the log that a former process passed on
	process started       // once known
	began   time.Duration // of the process, by proc.Uptime
}

func (r *Runner) runProcess(ctx context.Context, req *task.Request) task.Result {
	a := &attempt{r: r, req: req}
	switch err := a.prepare(ctx); {
	case err != nil && ctx.Err() != nil: // it waited for a secret: what a former process started is stopped without
		if !a.place.has("claimed") {
			return task.Fail(stepfn.JobStopped, context.Cause(ctx).Error())
		}
	case err != nil:
		return task.Failure(err, stepfn.JobStartFailed)
	default:
		if err := a.begin(ctx); err != nil {
			return task.Fail(stepfn.JobStartFailed, a.log.Hide.Text(err.Error()))
		}
	}
	result := a.follow(ctx)
	if !errors.Is(context.Cause(ctx), task.ErrAbandon) {
		a.removeCopy()
	}
	result.Cause = a.log.Hide.Text(result.Cause)
	return result
}

func (a *attempt) prepare(ctx context.Context) (err error) {
	a.log = joblog.New(nil, joblog.Redactor{}) // until the secrets are known
	if a.args, err = parseArguments(a.req.Input); err != nil {
		return err
	}
	a.place = place(filepath.Join(a.r.cfg.Dir, a.args.ID))
	if err := a.permitted(); err != nil {
		return err
	}
	valueOf := func(name string) (string, error) { return a.r.cfg.Secret(ctx, a.req, name) }
	env, secrets, files, err := a.args.environment(a.r.cfg.Inheritable(), valueOf, a.place.path("files"))
	if err != nil {
		return err
	}
	for _, entry := range env {
		a.env = append(a.env, []byte(entry))
	}
	a.files = files
	a.secrets = secrets
	a.log = joblog.New(a.req.Log, joblog.NewRedactor(secrets)).From(a.req.Log.Position())
	a.log.Begin()
	return nil
}

// permitted checks what the process uses of the engine's owner. A process that a former engine started goes on.
func (a *attempt) permitted() error {
	may, labels := &a.r.cfg.Policy, a.req.Labels
	mayRead := func(variable string) error { return may.Env(labels, variable) }
	a.args.DropDenied(mayRead)
	if _, ours := a.req.Records[keySubmitted]; ours { // another execution can name the id of a process, too
		return nil
	}
	errs := []error{may.ProcessDir(labels, a.args.Dir), may.Inherit(labels, a.args.InheritEnv)}
	errs = append(errs, a.args.Denied(mayRead))
	return errors.Join(errs...)
}

// begin starts the process, once there is room on the disk for what is kept of it.
func (a *attempt) begin(ctx context.Context) error {
	began := time.Now()
	defer a.req.Waits("", began)
	for {
		err := a.start(ctx)
		if !isFull(err) {
			return err
		}
		a.req.Waits("the disk of the state directory is full: the process waits for space", began)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(fullEvery):
		}
	}
}

// start starts a supervisor unless one has claimed the work; two of them cannot both run it.
func (a *attempt) start(ctx context.Context) error {
	if err := os.MkdirAll(string(a.place), 0o700); err != nil {
		return err
	}
	if err := a.same(); err != nil {
		return err
	}
	if !a.place.has("claimed") {
		argv, err := a.writeFiles()
		if err != nil {
			return err
		}
		if err := a.copyDir(ctx); err != nil {
			return err
		}
		if err := a.supervise(argv); err != nil {
			return err
		}
	}
	if _, ok := a.req.Records[keySubmitted]; ok {
		return nil
	}
	out, err := json.Marshal(struct{ Id string }{a.args.ID})
	if err != nil {
		return err
	}
	return errors.Join(a.req.Keep(keySubmitted, []byte("{}")), a.req.Submitted(out))
}

// same refuses an id that another command has.
func (a *attempt) same() error {
	var there []string
	if a.place.read("command", &there) {
		if !slices.Equal(there, a.args.argv()) {
			return fmt.Errorf("another command has the id %s: choose another id", a.args.ID)
		}
		return nil
	}
	return a.place.write("command", a.args.argv())
}

// writeFiles writes values that are too long for a variable or an argument to files. argv is the command that reads them.
func (a *attempt) writeFiles() (argv []string, err error) {
	argv, dir := a.args.argv(), a.place.path("files")
	if a.args.Shell != "" && len(a.args.Shell) >= jobenv.MaxVariable {
		argv = []string{"/bin/sh", filepath.Join(dir, "script")}
		a.files = maps.Clone(a.files)
		if a.files == nil {
			a.files = map[string]string{}
		}
		a.files["script"] = a.args.Shell
	}
	if len(a.files) == 0 {
		return argv, nil
	}
	err = os.MkdirAll(dir, 0o700)
	for name, text := range a.files {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return argv, err
}

// supervise starts the supervisor in a session of its own, so that no terminal and no end of ours reaches it.
func (a *attempt) supervise(command []string) error {
	data, err := json.Marshal(order{Argv: command, Env: a.env, Dir: a.dir(), Secrets: a.secrets})
	if err != nil {
		return err
	}
	if len(a.r.cfg.Supervisor) == 0 {
		return errors.New("no supervisor is configured")
	}
	argv := append(slices.Clone(a.r.cfg.Supervisor), string(a.place))
	cmd := exec.Command(argv[0], argv[1:]...) //nolint:noctx // it outlives us
	cmd.Stdin = bytes.NewReader(data)
	cmd.Env = hostenv.Base(os.Environ()) // the process can read that of its supervisor
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	errs, err := os.OpenFile(a.place.path("supervisor.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer errs.Close()
	cmd.Stderr = errs
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the supervisor: %w", err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }() // ends with the supervisor; it only takes up what that leaves behind
	return a.awaitClaim(exited, cmd.Process.Kill)
}

// awaitClaim returns once a supervisor has taken the work. One that does not in time is killed: it must not take later what
// has failed by then.
func (a *attempt) awaitClaim(exited <-chan error, kill func() error) error {
	timeout := time.After(claimWait)
	for {
		select {
		case err := <-exited:
			var exit *exec.ExitError
			if errors.As(err, &exit) && exit.ExitCode() == exitFull && !a.place.has("claimed") {
				return fmt.Errorf("the supervisor ended: %w", syscall.ENOSPC)
			}
			if !a.place.has("claimed") {
				text, _ := os.ReadFile(a.place.path("supervisor.log"))
				return errors.Join(fmt.Errorf("the supervisor ended: %s", bytes.TrimSpace(text)), err)
			}
			return nil
		case <-timeout:
			_ = kill()
			if err := <-exited; !a.place.has("claimed") {
				return errors.Join(fmt.Errorf("the supervisor did not take the work within %s", claimWait), err)
			}
			return nil
		case <-time.After(5 * time.Millisecond):
			if a.place.has("claimed") {
				return nil
			}
		}
	}
}

// follow passes on the log and waits for the end.
func (a *attempt) follow(ctx context.Context) task.Result {
	a.before = a.logged()
	a.lines = &follower{path: a.place.path("log"), at: a.before, emit: a.log.Line}
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for n := 0; ; n++ {
		if e, ok := a.place.exit(); ok {
			a.lines.rest()
			return a.outcome(e)
		}
		a.lines.some()
		if n%50 == 49 && !a.place.supervised() {
			return a.orphaned()
		}
		if a.overdue() {
			return a.timedOut()
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return a.interrupted(context.Cause(ctx))
		}
	}
}

// logged is how many bytes of the log a former process passed on.
func (a *attempt) logged() (n int64) {
	position := a.req.Log.Position()
	if position == nil {
		position = a.req.Records[keyLogged]
	}
	_ = json.Unmarshal(position, &n)
	return max(n, 0)
}

func (a *attempt) overdue() bool {
	limit := a.args.timeout()
	if limit == 0 {
		return false
	}
	if a.process.StartTime == 0 {
		a.process, _ = a.place.process()
		a.began = proc.Uptime() - a.process.ran()
	}
	return a.process.StartTime > 0 && proc.Uptime()-a.began > limit
}

func (a *attempt) timedOut() task.Result {
	cause := task.TimedOut("the process", proc.Uptime()-a.began, a.args.timeout())
	if err := a.place.stop(a.r.cfg.StopGrace); err != nil {
		cause += "; " + err.Error()
	}
	a.lines.rest()
	return task.Fail(stepfn.StatesTimeout, a.log.Cause(cause))
}

func (a *attempt) interrupted(cause error) task.Result {
	if errors.Is(cause, task.ErrAbandon) {
		return task.Fail(stepfn.JobStopped, cause.Error())
	}
	result := task.Fail(stepfn.JobStopped, cause.Error())
	result.Stopped = "the process " + a.args.ID + " does not run any more"
	if err := a.place.stop(a.r.cfg.StopGrace); err != nil {
		result.Stopped = a.log.Hide.Text(fmt.Sprintf("the process %s could not be stopped, and may still run: %v", a.args.ID, err))
	}
	a.lines.rest()
	return result
}

// orphaned ends a process whose supervisor was killed: nobody will know how it ends.
func (a *attempt) orphaned() task.Result {
	if e, ok := a.place.exit(); ok { // written between the looks
		a.lines.rest()
		return a.outcome(e)
	}
	cause := a.place.lostError()
	if err := a.place.stop(a.r.cfg.StopGrace); err != nil {
		cause += "; " + err.Error()
	}
	a.lines.rest()
	return task.Fail(stepfn.JobFailed, a.log.Cause(cause))
}

// Output is the result of process:run.sync.
type Output struct {
	ID        string          `json:"Id"`
	PID       int             `json:"Pid"`
	ExitCode  int             `json:"ExitCode"`
	StartTime int64           `json:"StartTime"` // milliseconds since 1970
	EndTime   int64           `json:"EndTime"`
	Output    json.RawMessage `json:"Output"`
}

func (a *attempt) outcome(e exit) task.Result {
	s, ok := a.place.process()
	switch {
	case a.place.has("stop"):
		return task.Fail(stepfn.JobStopped, a.log.Cause("the process was stopped"))
	case e.Error != "" && !ok:
		return task.Fail(stepfn.JobStartFailed, e.Error)
	case e.Error != "":
		return task.Fail(stepfn.JobFailed, a.log.Cause(e.Error))
	case e.Signal != "":
		return task.Fail(stepfn.JobFailed, a.log.Cause("the process was ended by the signal "+e.Signal))
	case e.ExitCode != 0:
		cause := a.log.Cause(fmt.Sprintf("the process ended with exit code %d", e.ExitCode))
		return task.Fail(stepfn.JobFailed, cause+a.args.InheritEnv.Advice(a.r.cfg.Inheritable(), a.args.given(), cause))
	}
	output, err := a.output()
	if err != nil {
		return task.Fail(stepfn.JobFailed, err.Error())
	}
	data, err := json.Marshal(Output{a.args.ID, s.Process.PID, e.ExitCode, e.StartTime, e.EndTime, output})
	if err != nil {
		return task.Fail(stepfn.JobFailed, err.Error())
	}
	return task.Result{Output: data}
}

// output is in the log when a wrapper printed it, else in the file that RAYORCH_OUTPUT names.
func (a *attempt) output() (json.RawMessage, error) {
	a.reread()
	if a.log.Marked() {
		return a.log.Output()
	}
	file, err := os.Open(a.place.path("output"))
	if err != nil {
		return json.RawMessage("null"), nil
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, joblog.OutputBytes+1))
	if text = bytes.TrimSpace(text); err != nil || len(text) == 0 {
		return json.RawMessage("null"), err
	}
	return a.log.Check(string(text))
}

// reread reads the last lines again when a former process has passed them on.
func (a *attempt) reread() {
	if a.before == 0 {
		return
	}
	a.log = joblog.New(nil, a.log.Hide)
	again := &follower{path: a.lines.path, at: max(0, a.lines.at-2*bufferBytes), emit: a.log.Line}
	again.rest()
}
