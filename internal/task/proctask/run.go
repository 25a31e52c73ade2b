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
	keyLogged    = "process.logged" // written by older releases: number of bytes of the log that were passed on

	// pollInterval is the interval at which the runner checks the log and the exit file. A check costs two system calls.
	pollInterval = 20 * time.Millisecond
	// claimWait is how long the supervisor may take to start and to claim the work. It usually takes milliseconds.
	claimWait = 2 * time.Minute
)

// attempt is one attempt of process:run.sync.
type attempt struct {
	r       *Runner
	req     *task.Request
	args    *Arguments
	env     [][]byte          // NAME=VALUE
	files   map[string]string // values that are too long for a variable, and a script that is too long for an argument, by file name
	procDir procDir
	log     *joblog.Log
	secrets []string
	lines   *follower
	before  int64         // number of bytes of the log that a previous rayorch process passed on
	process started       // zero until the supervisor has recorded it
	began   time.Duration // start of the process, as an uptime (proc.Uptime)
}

// runProcess starts the process, or finds the one that a previous rayorch process started, and waits until it ends.
func (r *Runner) runProcess(ctx context.Context, req *task.Request) task.Result {
	a := &attempt{r: r, req: req}
	switch err := a.prepare(ctx); {
	case err != nil && ctx.Err() != nil: // stopped while prepare waited for a secret; stopping an existing process does not need it
		if !a.procDir.has("claimed") {
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

// prepare checks the arguments and collects what the process needs. It may block until the values of secrets are known.
func (a *attempt) prepare(ctx context.Context) (err error) {
	a.log = joblog.New(nil, joblog.Redactor{}) // replaced below, when the secrets are known
	if a.args, err = parseArguments(a.req.Input); err != nil {
		return err
	}
	a.procDir = procDir(filepath.Join(a.r.cfg.Dir, a.args.ID))
	if err := a.permitted(); err != nil {
		return err
	}
	valueOf := func(name string) (string, error) { return a.r.cfg.Secret(ctx, a.req, name) }
	env, secrets, files, err := a.args.environment(a.r.cfg.Inheritable(), valueOf, a.procDir.path("files"))
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

// permitted checks that the execution is allowed to use the owner's directories and variables that the arguments name. It does not check
// a process that this attempt has already started, so that a change of the policy does not end it.
func (a *attempt) permitted() error {
	may, labels := &a.r.cfg.Policy, a.req.Labels
	mayRead := func(variable string) error { return may.Env(labels, variable) }
	a.args.DropDenied(mayRead)
	if _, ours := a.req.Records[keySubmitted]; ours { // an existing directory is no proof: another execution may use the same id
		return nil
	}
	errs := []error{may.ProcessDir(labels, a.args.Dir), may.Inherit(labels, a.args.InheritEnv)}
	errs = append(errs, a.args.Denied(mayRead))
	return errors.Join(errs...)
}

// begin starts the process. While the disk is full, it waits for space.
func (a *attempt) begin(ctx context.Context) error {
	began := time.Now()
	defer a.req.Waits("", began)
	for {
		err := a.start(ctx)
		if !isFull(err) {
			return err
		}
		a.req.Waits("the disk of the state directory is full: the process starts when there is space", began)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(fullRetry):
		}
	}
}

// start starts a supervisor unless one has already claimed the work. Even if two supervisors are started, only one claims the work and
// starts the process.
func (a *attempt) start(ctx context.Context) error {
	if err := os.MkdirAll(string(a.procDir), 0o700); err != nil {
		return err
	}
	if err := a.checkCommand(); err != nil {
		return err
	}
	if !a.procDir.has("claimed") {
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

// checkCommand returns an error if a process with the same id but another command exists. Otherwise, it records the command.
func (a *attempt) checkCommand() error {
	var there []string
	if a.procDir.read("command", &there) {
		if !slices.Equal(there, a.args.argv()) {
			return fmt.Errorf("a process with another command already has the id %s: choose another id", a.args.ID)
		}
		return nil
	}
	return a.procDir.write("command", a.args.argv())
}

// writeFiles writes the values that are too long for a variable or an argument to files. It returns the command to run: if the script is
// too long for an argument, the command reads it from its file.
func (a *attempt) writeFiles() (argv []string, err error) {
	argv, dir := a.args.argv(), a.procDir.path("files")
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

// supervise starts the supervisor for command. The supervisor gets its own session, so that it is not affected by the terminal or by the
// end of this process.
func (a *attempt) supervise(command []string) error {
	data, err := json.Marshal(supervisorInput{Argv: command, Env: a.env, Dir: a.dir(), Secrets: a.secrets})
	if err != nil {
		return err
	}
	if len(a.r.cfg.Supervisor) == 0 {
		return errors.New("no supervisor is configured")
	}
	argv := append(slices.Clone(a.r.cfg.Supervisor), string(a.procDir))
	cmd := exec.Command(argv[0], argv[1:]...) //nolint:noctx // it must outlive this process
	cmd.Stdin = bytes.NewReader(data)
	cmd.Env = hostenv.Base(os.Environ()) // minimal, because the job can read the environment of its supervisor
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	errs, err := os.OpenFile(a.procDir.path("supervisor.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer errs.Close()
	cmd.Stderr = errs
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the supervisor: %w", err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }() // ends when the supervisor exits
	return a.awaitClaim(exited, cmd.Process.Kill)
}

// awaitClaim waits until a supervisor has claimed the work, at most claimWait. Then it kills the supervisor, so that the supervisor does
// not start the process after the attempt has failed.
func (a *attempt) awaitClaim(exited <-chan error, kill func() error) error {
	timeout := time.After(claimWait)
	for {
		select {
		case err := <-exited:
			var exit *exec.ExitError
			if errors.As(err, &exit) && exit.ExitCode() == exitDiskFull && !a.procDir.has("claimed") {
				return fmt.Errorf("the supervisor exited: %w", syscall.ENOSPC)
			}
			if !a.procDir.has("claimed") {
				text, _ := os.ReadFile(a.procDir.path("supervisor.log"))
				return errors.Join(fmt.Errorf("the supervisor exited: %s", bytes.TrimSpace(text)), err)
			}
			return nil
		case <-timeout:
			_ = kill()
			if err := <-exited; !a.procDir.has("claimed") {
				return errors.Join(fmt.Errorf("the supervisor did not start within %s", claimWait), err)
			}
			return nil
		case <-time.After(5 * time.Millisecond):
			if a.procDir.has("claimed") {
				return nil
			}
		}
	}
}

// follow passes the log on and waits until the process ends, runs too long, or ctx ends.
func (a *attempt) follow(ctx context.Context) task.Result {
	a.before = a.logged()
	a.lines = &follower{path: a.procDir.path("log"), at: a.before, emit: a.log.Line}
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for n := 0; ; n++ {
		if e, ok := a.procDir.exit(); ok {
			a.lines.readRest()
			return a.outcome(e)
		}
		a.lines.readSome()
		if n%50 == 49 && !a.procDir.supervised() { // once a second
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

// logged returns the number of bytes of the log that a previous rayorch process passed on.
func (a *attempt) logged() (n int64) {
	position := a.req.Log.Position()
	if position == nil {
		position = a.req.Records[keyLogged]
	}
	_ = json.Unmarshal(position, &n)
	return max(n, 0)
}

// overdue reports whether the process has run longer than its timeout. The time since the start is kept by the uptime of the machine, so
// that setting the clock does not affect it.
func (a *attempt) overdue() bool {
	limit := a.args.timeout()
	if limit == 0 {
		return false
	}
	if a.process.StartTime == 0 {
		a.process, _ = a.procDir.process()
		a.began = proc.Uptime() - a.process.ran()
	}
	return a.process.StartTime > 0 && proc.Uptime()-a.began > limit
}

func (a *attempt) timedOut() task.Result {
	cause := task.TimedOut("the process", proc.Uptime()-a.began, a.args.timeout())
	if err := a.procDir.stop(a.r.cfg.StopGrace); err != nil {
		cause += "; " + err.Error()
	}
	a.lines.readRest()
	return task.Fail(stepfn.StatesTimeout, a.log.Cause(cause))
}

// interrupted handles the end of the attempt's context: it stops the process, unless the engine closes.
func (a *attempt) interrupted(cause error) task.Result {
	if errors.Is(cause, task.ErrAbandon) {
		return task.Fail(stepfn.JobStopped, cause.Error())
	}
	result := task.Fail(stepfn.JobStopped, cause.Error())
	result.Stopped = "the process " + a.args.ID + " is no longer running"
	if err := a.procDir.stop(a.r.cfg.StopGrace); err != nil {
		result.Stopped = a.log.Hide.Text(fmt.Sprintf("the process %s could not be stopped and may still be running: %v", a.args.ID, err))
	}
	a.lines.readRest()
	return result
}

// orphaned stops a process whose supervisor was killed, because its exit status cannot be determined.
func (a *attempt) orphaned() task.Result {
	if e, ok := a.procDir.exit(); ok { // the supervisor recorded the exit since the last check
		a.lines.readRest()
		return a.outcome(e)
	}
	cause := a.procDir.lostError()
	if err := a.procDir.stop(a.r.cfg.StopGrace); err != nil {
		cause += "; " + err.Error()
	}
	a.lines.readRest()
	return task.Fail(stepfn.JobFailed, a.log.Cause(cause))
}

// Output is the result of process:run.sync.
type Output struct {
	ID        string          `json:"Id"`
	PID       int             `json:"Pid"`
	ExitCode  int             `json:"ExitCode"`
	StartTime int64           `json:"StartTime"` // Unix time in milliseconds
	EndTime   int64           `json:"EndTime"`   // Unix time in milliseconds
	Output    json.RawMessage `json:"Output"`    // null if the process wrote none
}

// outcome returns the result of a process that has ended.
func (a *attempt) outcome(e exit) task.Result {
	s, ok := a.procDir.process()
	switch {
	case a.procDir.has("stop"):
		return task.Fail(stepfn.JobStopped, a.log.Cause("the process was stopped"))
	case e.Error != "" && !ok:
		return task.Fail(stepfn.JobStartFailed, e.Error)
	case e.Error != "":
		return task.Fail(stepfn.JobFailed, a.log.Cause(e.Error))
	case e.Signal != "":
		return task.Fail(stepfn.JobFailed, a.log.Cause("the process was terminated by the signal: "+e.Signal))
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

// output returns the output of the job. A pipeline's shell code prints it into the log; otherwise, it is in the file that RAYORCH_OUTPUT
// names. It is null if there is neither.
func (a *attempt) output() (json.RawMessage, error) {
	a.reread()
	if a.log.Marked() {
		return a.log.Output()
	}
	file, err := os.Open(a.procDir.path("output"))
	if err != nil {
		return json.RawMessage("null"), nil
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, joblog.OutputBytes+1))
	if text = bytes.TrimSpace(text); err != nil || len(text) == 0 {
		return json.RawMessage("null"), err
	}
	return a.log.ParseOutput(string(text))
}

// reread reads the last lines of the log again if a previous rayorch process passed them on: they may contain the output.
func (a *attempt) reread() {
	if a.before == 0 {
		return
	}
	a.log = joblog.New(nil, a.log.Hide)
	again := &follower{path: a.lines.path, at: max(0, a.lines.at-2*bufferBytes), emit: a.log.Line}
	again.readRest()
}
