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

// Head is a Ray of our own on this machine. It outlives the process that started it. Its ports, directories and processes
// are its own: it never uses Ray's usual ones, and it is stopped by its own processes, never by `ray stop`, which ends
// every Ray on the machine.
type Head struct {
	// Dir keeps its state file, token and output.
	Dir string
	// Python finds the interpreter that runs it.
	Python PythonFinder
	// CPUs is what it offers to jobs. Defaults to what Ray counts.
	CPUs int
	// ObjectStoreBytes bounds its object store. Defaults to Ray's own share of the memory.
	ObjectStoreBytes int64
	// NoToken leaves Ray's token authentication off. Any user of this machine can reach Ray's ports (GCS, raylet, agents), and
	// without a token run code as this user, so that it is on by default.
	NoToken bool
	// Env is added to its environment.
	Env []string
	// Wait bounds the start. Defaults to 5 min: a busy machine takes minutes.
	Wait time.Duration
	// Progress takes lines for the user. Defaults to none.
	Progress func(line string)
}

// State is what is known of a Head.
type State struct {
	Running     bool      `json:"-"`
	Address     string    `json:"address"` // of the dashboard
	GCS         string    `json:"gcs"`
	SessionName string    `json:"sessionName"`
	RayVersion  string    `json:"rayVersion"`
	Python      string    `json:"python"`
	TokenFile   string    `json:"tokenFile,omitempty"`
	TempDir     string    `json:"tempDir"`
	Mark        string    `json:"mark"` // in the environment of all its processes
	Leader      proc.ID   `json:"leader"`
	Started     time.Time `json:"started"`
}

func (h *Head) statePath() string { return filepath.Join(h.Dir, "head.json") }

// OutputPath is the file that holds what `ray start` printed.
func (h *Head) OutputPath() string { return filepath.Join(h.Dir, "head.log") }

// Status reads the state file and looks whether the processes are there.
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
		return state, fmt.Errorf("%s is damaged (%w): remove it once no ray of rayorch's runs", h.statePath(), err)
	}
	state.Running = state.Address != "" && state.Leader.Alive()
	return state, nil
}

// Start starts the head unless it runs, and returns once it takes jobs. Two starts at once make one head.
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
	h.progress("starting ray " + python.RayVersion + " (" + python.Path + ")")
	for try := 1; ; try++ {
		state, err := h.launch(ctx, python)
		if err == nil || try == startTries || !errors.Is(err, errEnded) {
			return state, err
		}
		h.progress("trying again: " + err.Error())
	}
}

// startTries is for what Ray itself does not wait for long enough on a busy machine.
const startTries = 3

var errEnded = errors.New("ray ended as it started")

func (h *Head) progress(line string) {
	if h.Progress != nil {
		h.Progress(line)
	}
}

// launch writes the intent down before it acts, so that a start cut short is found and cleared by the next one.
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

// writeFile replaces a file at once, so that a reader sees the old one or the new one.
func writeFile(path string, data []byte) error {
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// rayStart is ray start but for two things that have no setting. It waits longer for its node, which takes more than Ray's
// 30 s on a busy machine. And it starts no server for Ray Client, whose port Ray does not choose itself and no client knows:
// that server gives up after 30 s, too, and ray start then ends with it.
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
	cmd := exec.Command(state.Python, argv...) //nolint:noctx // it outlives whoever starts it
	// Ray's helper processes import from the working directory first: a job's file named types.py must not be theirs.
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
	// Asked before anybody waits for it: until then the process is known, however soon it ends.
	state.Leader, err = proc.Of(cmd.Process.Pid)
	exited = make(chan error, 1)
	go func() { exited <- cmd.Wait() }() // ends with the head; it only takes up what the head leaves behind
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

// environ is what jobs get of ours (see hostenv), for they get the environment of their Ray, and Ray's settings proper, which have
// names in lower case, such as RAY_memory_usage_threshold. Python's directory comes first in PATH, so that `python` in a job's
// entrypoint is the one that has Ray.
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

var raySetting = regexp.MustCompile(`^RAY_[a-z]`)

// loopbackOnly makes Ray take 127.0.0.1 for the node's address, as it does by default on macOS and Windows, and so bind all that
// it listens on there. Without it, Ray replaces --node-ip-address=127.0.0.1 by the address of an interface.
const loopbackOnly = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0"

// ready waits until the dashboard answers, then until its Jobs API does.
func (h *Head) ready(ctx context.Context, state *State, exited <-chan error) error {
	wait := h.Wait
	if wait == 0 {
		wait = 5 * time.Minute
	}
	ctx, cancel := context.WithTimeoutCause(ctx, wait, fmt.Errorf("ray did not answer within %s", wait))
	defer cancel()
	for {
		last := state.answers(ctx)
		if last == nil {
			return nil
		}
		select {
		case err := <-exited:
			return fmt.Errorf("%w: %s (%v); all it said is in %s", errEnded, h.lastOutput(), err, h.OutputPath()) //nolint:errorlint // an exit status
		case <-ctx.Done():
			return fmt.Errorf("%w (%v): %s; all it said is in %s", context.Cause(ctx), last, h.lastOutput(), h.OutputPath()) //nolint:errorlint // what was last seen
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// answers tells why the head takes no jobs yet, and notes what it says of itself once it does.
func (s *State) answers(ctx context.Context) error {
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
	gcs, err := os.ReadFile(filepath.Join(s.TempDir, "ray_current_cluster")) // written when all has started
	if err != nil {
		return err
	}
	s.GCS = string(bytes.TrimSpace(gcs))
	if s.GCS == "" || !agentUp(s.TempDir) {
		return errors.New("not all of it is up")
	}
	if _, err = client.List(ctx); err == nil {
		s.Address = address
	}
	return err
}

// dashboardAddress reads where the dashboard listens, which it logs once it does: it binds a port that the system gives it.
func dashboardAddress(tempDir string) (string, error) {
	logs, _ := filepath.Glob(filepath.Join(tempDir, "session_[0-9]*", "logs", "dashboard.log"))
	for _, path := range logs {
		if address := loggedAddress(path); address != "" {
			return "http://" + address, nil
		}
	}
	return "", errors.New("the dashboard does not listen yet")
}

// agentUp tells whether the agent, which submits jobs, has noted its port, as releases since 2.5x do. It registers soon
// after; until then a submit is answered with what Retry repeats.
func agentUp(tempDir string) bool {
	ports, _ := filepath.Glob(filepath.Join(tempDir, "session_*", "*_port_*"))
	if len(ports) == 0 {
		return true // an older release notes none
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

// Stop ends the head and all its processes, jobs included, and confirms that none is left. It is no error when none runs.
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

// clear ends what a head has, running or half started, and removes its files.
func (h *Head) clear(state State) error {
	if state.Mark == "" {
		return nil
	}
	// Found before the leader ends, so that what has it for an ancestor is known.
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
	// Once more, for what was started while the rest ended.
	late, _ := proc.Tree(state.Leader, state.Mark)
	for _, id := range late {
		_ = id.Signal(syscall.SIGKILL)
	}
	if left := proc.Gone(append(left, late...), time.Minute); len(left) > 0 {
		return fmt.Errorf("stop ray: process %d does not end", left[0].PID)
	}
	return errors.Join(removeTemp(state.TempDir), remove(state.TokenFile), remove(h.statePath()))
}

func remove(path string) error {
	if err := os.Remove(path); path != "" && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// lock takes a lock that ends with this process.
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
