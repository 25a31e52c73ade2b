package ray

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"github.com/rayorch/rayorch/internal/backend/hostenv"
	"github.com/rayorch/rayorch/internal/backend/proc"
)

// Head is a Ray that rayorch starts on this machine. It continues to run after the process that started it exits. It does not interfere
// with other Rays: it has its own ports and directories instead of Ray's defaults. Stop terminates the processes of this Ray instead of
// running `ray stop`, which stops every Ray on the machine.
type Head struct {
	// Dir is the directory of its state file, token and output.
	Dir string
	// Python finds the interpreter that runs it.
	Python PythonFinder
	// CPUs is the number of CPUs for jobs. Default: all CPUs that Ray detects.
	CPUs int
	// ObjectStoreBytes is the size of its object store. Default: Ray's default, a share of the memory.
	ObjectStoreBytes int64
	// NoToken disables Ray's token authentication. Every user of this machine can reach Ray's ports (GCS, raylet, agents) and, without a
	// token, run code as this user.
	NoToken bool
	// Env is added to its environment.
	Env []string
	// Wait is the timeout of the start. Default: 5 minutes, because the start takes minutes on a busy machine.
	Wait time.Duration
	// Progress receives messages for the user. May be nil.
	Progress func(line string)
}

// State is the state of a Head. It is stored in the state file.
type State struct {
	Running     bool      `json:"-"`
	Address     string    `json:"address"` // of the dashboard
	GCS         string    `json:"gcs"`
	SessionName string    `json:"sessionName"`
	RayVersion  string    `json:"rayVersion"`
	Python      string    `json:"python"`
	TokenFile   string    `json:"tokenFile,omitempty"`
	TempDir     string    `json:"tempDir"`
	Mark        string    `json:"mark"`   // NAME=VALUE, a variable of all its processes
	Leader      proc.ID   `json:"leader"` // the process of `ray start`
	Started     time.Time `json:"started"`
}

func (h *Head) statePath() string { return filepath.Join(h.Dir, "head.json") }

// OutputPath returns the path of the file with the output of `ray start`.
func (h *Head) OutputPath() string { return filepath.Join(h.Dir, "head.log") }

// Status reads the state file and checks whether the head is running. It returns the zero State if the head was never started or is
// stopped.
func (h *Head) Status(context.Context) (State, error) {
	var state State
	data, err := os.ReadFile(h.statePath())
	if errors.Is(err, fs.ErrNotExist) {
		return state, nil
	}
	if err != nil {
		return state, err
	}
	if err := json.Unmarshal(data, &state); err != nil {
		return state, fmt.Errorf("%s is damaged (%w): make sure that no Ray of rayorch is running, then delete the file", h.statePath(), err)
	}
	state.Running = state.Address != "" && state.Leader.Alive()
	return state, nil
}

// Start starts the head unless it is running, and returns when it accepts jobs. Concurrent calls, also from other processes, start only
// one head.
func (h *Head) Start(ctx context.Context) (State, error) {
	if err := os.MkdirAll(h.Dir, 0o700); err != nil {
		return State{}, err
	}
	unlock, err := lock(ctx, filepath.Join(h.Dir, "lock"))
	if err != nil {
		return State{}, err
	}
	defer unlock()
	state, err := h.Status(ctx)
	if err != nil || state.Running {
		return state, err
	}
	if err := h.clear(state); err != nil {
		return State{}, err
	}
	python, err := h.Python.Get(ctx)
	if err != nil {
		return State{}, err
	}
	h.progress("starting Ray " + python.RayVersion + " (" + python.Path + ")")
	for try := 1; ; try++ {
		state, err := h.launch(ctx, python)
		if err == nil || try == startTries || !errors.Is(err, errEnded) {
			return state, err
		}
		h.progress("trying again: " + err.Error())
	}
}

// startTries is the maximum number of attempts to start Ray. On a busy machine, some of Ray's internal timeouts are too short.
const startTries = 3

var errEnded = errors.New("Ray exited during startup")

func (h *Head) progress(line string) {
	if h.Progress != nil {
		h.Progress(line)
	}
}

// launch starts Ray and waits until it accepts jobs. It stores the state before it starts any process, so that a later start can clean up
// after an interrupted one.
func (h *Head) launch(ctx context.Context, python Python) (State, error) {
	state := State{Python: python.Path, RayVersion: python.RayVersion, Mark: "RAYORCH_RAY=" + rand.Text(), Started: time.Now()}
	var err error
	if state.TempDir, err = newTempDir(); err != nil {
		return state, err
	}
	if !h.NoToken {
		if state.TokenFile, err = h.newToken(); err != nil {
			return state, err
		}
	}
	if err := h.save(state); err != nil {
		return state, err
	}
	exited, err := h.spawn(&state)
	if err == nil {
		err = h.save(state)
	}
	if err == nil {
		err = h.ready(ctx, &state, exited)
	}
	if err != nil {
		return State{}, errors.Join(err, h.clear(state))
	}
	state.Running = true
	return state, h.save(state)
}

func (h *Head) newToken() (string, error) {
	path := filepath.Join(h.Dir, "token")
	return path, writeFile(path, []byte(rand.Text()+rand.Text()+"\n"))
}

func (h *Head) save(state State) error {
	data, err := json.MarshalIndent(state, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(h.statePath(), append(data, '\n'))
}

// writeFile replaces a file atomically: a reader sees the old content or the new one.
func writeFile(path string, data []byte) error {
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// rayStart is `ray start` with two changes for which Ray has no settings. It waits longer for its node, because the start can take more
// than Ray's 30 s on a busy machine. And it starts no Ray client server: that server cannot use a free port, no client uses it, and
// `ray start` exits if the server does not start within 30 s.
const rayStart = `import sys, time
import ray.scripts.scripts as scripts
from ray._private import services

scripts.get_ray_client_dependency_error = lambda: ImportError("not wanted")
scripts.check_ray_client_dependencies_installed = lambda: False # its name in older releases
get_node = getattr(services, "get_node", None)
end = time.monotonic() + 180

def patiently(*args, **named):
    while True:
        try:
            return get_node(*args, **named)
        except RuntimeError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)

if get_node:
    services.get_node = patiently
sys.argv[0] = "ray"
scripts.main()
`

func (h *Head) spawn(state *State) (exited chan error, err error) {
	argv := append([]string{"-c", rayStart}, h.args(*state)...)
	cmd := exec.Command(state.Python, argv...) //nolint:noctx // it must outlive this process
	// Ray's helper processes import modules from their working directory first, so it must not contain a user's file such as types.py.
	cmd.Dir = filepath.Dir(state.TempDir)
	cmd.Env = h.environ(*state)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := os.OpenFile(h.OutputPath(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start ray: %w", err)
	}
	// Before Wait is called, the PID stays valid even if the process has already exited.
	state.Leader, err = proc.Of(cmd.Process.Pid)
	exited = make(chan error, 1)
	go func() { exited <- cmd.Wait() }() // ends when the head exits
	return exited, err
}

func (h *Head) args(state State) []string {
	args := []string{
		"start", "--head", "--block", "--disable-usage-stats", "--log-color=false",
		"--port=0", "--min-worker-port=0", "--max-worker-port=0", "--dashboard-port=0", "--dashboard-agent-listen-port=0",
		"--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1",
		"--metrics-export-port=0", "--temp-dir=" + state.TempDir,
	}
	if h.CPUs > 0 {
		args = append(args, "--num-cpus="+strconv.Itoa(h.CPUs))
	}
	if h.ObjectStoreBytes > 0 {
		args = append(args, "--object-store-memory="+strconv.FormatInt(h.ObjectStoreBytes, 10))
	}
	return args
}

// environ returns the environment of Ray, which its jobs inherit: therefore it contains only hostenv.Base and Ray's settings. Settings
// have lower-case names such as RAY_memory_usage_threshold. The directory of the interpreter comes first in PATH, so that `python` in
// an entrypoint is the interpreter with Ray.
func (h *Head) environ(state State) []string {
	env := hostenv.Base(os.Environ())
	for _, entry := range os.Environ() {
		if raySetting.MatchString(entry) {
			env = append(env, entry)
		}
	}
	env = append(env, "PATH="+filepath.Dir(state.Python)+string(filepath.ListSeparator)+os.Getenv("PATH"),
		loopbackOnly, "AUTOSCALER_METRIC_PORT=0", "DASHBOARD_METRIC_PORT=0",
		"RAY_DASHBOARD_STARTUP_TIMEOUT_S=180", state.Mark) // seconds; a busy machine is slow
	if state.TokenFile == "" {
		env = append(env, "RAY_AUTH_MODE=disabled")
	} else {
		env = append(env, "RAY_AUTH_MODE=token", "RAY_AUTH_TOKEN_PATH="+state.TokenFile)
	}
	return append(env, h.Env...)
}

// raySetting matches environment entries that are settings of Ray.
var raySetting = regexp.MustCompile(`^RAY_[a-z]`)

// loopbackOnly makes Ray use 127.0.0.1 as the node's address, as it does by default on macOS and Windows, so that all its ports are
// bound to that address. Without it, Ray replaces --node-ip-address=127.0.0.1 with the address of a network interface.
const loopbackOnly = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0"

// ready waits until the head accepts jobs, at most Wait.
func (h *Head) ready(ctx context.Context, state *State, exited <-chan error) error {
	wait := h.Wait
	if wait == 0 {
		wait = 5 * time.Minute
	}
	ctx, cancel := context.WithTimeoutCause(ctx, wait, fmt.Errorf("Ray did not start within %s", wait))
	defer cancel()
	for {
		last := state.check(ctx)
		if last == nil {
			return nil
		}
		select {
		case err := <-exited:
			return fmt.Errorf("%w: %s (%v); its output is in %s", errEnded, h.lastOutput(), err, h.OutputPath()) //nolint:errorlint // an exit status
		case <-ctx.Done():
			return fmt.Errorf("%w (%v): %s; its output is in %s", context.Cause(ctx), last, h.lastOutput(), h.OutputPath()) //nolint:errorlint // the last error
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// check returns an error that describes why the head does not accept jobs yet. If it does, check sets the fields of the state that the
// head reports, and returns nil.
func (s *State) check(ctx context.Context) error {
	address, err := dashboardAddress(s.TempDir)
	if err != nil {
		return err
	}
	client, err := newClient(address, s.TokenFile)
	if err != nil {
		return err
	}
	version, err := client.Version(ctx)
	if err != nil {
		return err
	}
	s.SessionName, s.RayVersion = version.SessionName, version.RayVersion
	gcs, err := os.ReadFile(filepath.Join(s.TempDir, "ray_current_cluster")) // written after all processes have started
	if err != nil {
		return err
	}
	s.GCS = string(bytes.TrimSpace(gcs))
	if s.GCS == "" || !agentUp(s.TempDir) {
		return errors.New("some of its processes have not started yet")
	}
	if _, err = client.List(ctx); err == nil {
		s.Address = address
	}
	return err
}

// dashboardAddress returns the address of the dashboard. The operating system chooses the port, and the dashboard logs the address.
func dashboardAddress(tempDir string) (string, error) {
	logs, _ := filepath.Glob(filepath.Join(tempDir, "session_[0-9]*", "logs", "dashboard.log"))
	for _, path := range logs {
		if address := loggedAddress(path); address != "" {
			return "http://" + address, nil
		}
	}
	return "", errors.New("the dashboard is not listening yet")
}

// agentUp reports whether the agent, which submits jobs, has recorded its port, as releases since 2.5x do. The agent registers shortly
// after that; until then, a submission returns a temporary error, after which Retry repeats it.
func agentUp(tempDir string) bool {
	ports, _ := filepath.Glob(filepath.Join(tempDir, "session_*", "*_port_*"))
	if len(ports) == 0 {
		return true // an older release, which records no ports
	}
	agents, _ := filepath.Glob(filepath.Join(tempDir, "session_*", "dashboard_agent_listen_port_*"))
	return len(agents) > 0
}

func newClient(address, tokenFile string) (*Client, error) {
	cfg := Config{Address: address}
	if tokenFile != "" {
		token, err := readToken(tokenFile)
		if err != nil {
			return nil, err
		}
		cfg.Token = token
	}
	return New(cfg)
}

func (h *Head) lastOutput() string {
	data, _ := os.ReadFile(h.OutputPath())
	return lastLine(string(data))
}

// Stop terminates all processes of the head, including jobs, and returns when they have ended. It returns nil if the head is not running.
func (h *Head) Stop(ctx context.Context) error {
	unlock, err := lock(ctx, filepath.Join(h.Dir, "lock"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	state, err := h.Status(ctx)
	if err != nil {
		return err
	}
	return h.clear(state)
}

// clear terminates the processes of a head, which may be only partly started, and deletes its files.
func (h *Head) clear(state State) error {
	if state.Mark == "" {
		return nil
	}
	// List the processes before the leader ends: after that, its descendants would no longer be recognizable as such.
	all, err := proc.Tree(state.Leader, state.Mark)
	if err != nil {
		return err
	}
	if err := state.Leader.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	left := proc.Gone(all, 5*time.Second)
	for _, id := range left {
		_ = id.Signal(syscall.SIGKILL)
	}
	// List them again, because processes may have been started meanwhile.
	late, _ := proc.Tree(state.Leader, state.Mark)
	for _, id := range late {
		_ = id.Signal(syscall.SIGKILL)
	}
	if left := proc.Gone(append(left, late...), time.Minute); len(left) > 0 {
		return fmt.Errorf("stop ray: the process with PID %d did not end within a minute of SIGKILL", left[0].PID)
	}
	return errors.Join(removeTemp(state.TempDir), remove(state.TokenFile), remove(h.statePath()))
}

// remove deletes a file if it exists. An empty path is ignored.
func remove(path string) error {
	if err := os.Remove(path); path != "" && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// lock waits for an exclusive lock on a file. The lock is released by unlock, or when this process exits.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			_ = file.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			_ = file.Close()
			return nil, fmt.Errorf("wait for another start or stop of ray: %w", err)
		}
	}
}
