package proctask

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/rayorch/rayorch/internal/proc"
)

// order is what a supervisor reads on its standard input: secrets are in it, so that it is never a file or an argument.
type order struct {
	Argv []string
	Env  [][]byte // need not be UTF-8
	Dir  string
	// Secrets are values that the log must not hold.
	Secrets []string
}

// SuperviseMain is the supervisor: args is the process's directory. It returns the exit code of the supervisor itself.
func SuperviseMain(args []string) int {
	if len(args) != 1 {
		fmt.Fprintln(os.Stderr, "rayorch: error: the supervisor is for rayorch's own use")
		return 2
	}
	if err := supervise(place(args[0]), os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "rayorch: error: supervise:", err)
		return 1
	}
	return 0
}

// supervise runs the process once: whoever finds the work claimed leaves it alone. It lives as long as the process.
func supervise(p place, in io.Reader) error {
	var o order
	if err := json.NewDecoder(in).Decode(&o); err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	lock, free, err := p.lock()
	if err != nil || !free {
		return err
	}
	defer lock.Close()
	claim, err := os.OpenFile(p.path("claimed"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := errors.Join(claim.Close(), p.sync()); err != nil {
		return err
	}
	// A hang-up or an interrupt is meant for what was started with a terminal.
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT)
	return p.write("exit", run(p, o))
}

func run(p place, o order) exit {
	if p.has("stop") {
		return exit{ExitCode: -1, EndTime: time.Now().UnixMilli()}
	}
	cmd, err := start(p, o)
	begin := time.Now().UnixMilli()
	if err != nil {
		return exit{ExitCode: -1, StartTime: begin, EndTime: begin, Error: err.Error()}
	}
	if id, err := proc.Of(cmd.Process.Pid); err == nil {
		_ = p.write("process", started{id, begin}) // without it a stop finds the process by its mark
	}
	passOn(cmd.Process.Pid)
	_ = cmd.Wait() // the state below says it all
	if hiding, ok := cmd.Stdout.(*hidingLog); ok {
		hiding.close()
	}
	end := exit{ExitCode: cmd.ProcessState.ExitCode(), StartTime: begin, EndTime: time.Now().UnixMilli()}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		end.Signal = status.Signal().String()
	}
	return end
}

// start gives the process a group of its own and a log file as its output, which needs nobody to copy it unless there
// are secrets to hide.
func start(p place, o order) (*exec.Cmd, error) {
	if len(o.Argv) == 0 {
		return nil, errors.New("the command is empty")
	}
	log, err := os.OpenFile(p.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(o.Argv[0], o.Argv[1:]...) //nolint:noctx // ended by signals to its group, from wherever
	cmd.Dir, cmd.Stdout, cmd.Stderr = o.Dir, log, log
	if len(o.Secrets) > 0 {
		hiding, err := newHidingLog(p.path("log"), o.Secrets)
		if err != nil {
			return nil, err
		}
		cmd.Stdout, cmd.Stderr, cmd.WaitDelay = hiding, hiding, outputDelay
	}
	for _, entry := range o.Env {
		cmd.Env = append(cmd.Env, string(entry))
	}
	cmd.Env = append(cmd.Env, "RAYORCH_OUTPUT="+p.path("output"), p.mark())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	return cmd, err
}

// passOn ends the process when the supervisor is asked to end.
func passOn(pid int) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	go func() { // ends with the supervisor
		for range asked {
			_ = syscall.Kill(-pid, syscall.SIGTERM)
		}
	}()
}
