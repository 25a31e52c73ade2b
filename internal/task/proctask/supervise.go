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
	"sync"
	"syscall"
	"time"

	"github.com/rayorch/rayorch/internal/backend/proc"
	"github.com/rayorch/rayorch/internal/task/joblog"
)

// order is what a supervisor reads on its standard input: secrets are in it, so that it is never a file or an argument.
type order struct {
	Argv []string
	Env  [][]byte // need not be UTF-8
	Dir  string
	// Secrets are values that the log must not hold.
	Secrets []string
}

// exitFull is the exit code of a supervisor that found no room on the disk to take the work.
const exitFull = 75 // EX_TEMPFAIL

// SuperviseMain is the supervisor: args is the process's directory. It returns the exit code of the supervisor itself.
func SuperviseMain(args []string) int {
	if len(args) != 1 {
		fmt.Fprintln(os.Stderr, "rayorch: error: the supervisor is for rayorch's own use")
		return 2
	}
	if err := supervise(place(args[0]), os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "rayorch: error: supervise:", err)
		if isFull(err) {
			return exitFull
		}
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
	if err := errors.Join(claim.Close(), whenRoom(p.sync)); err != nil {
		return err
	}
	// A hang-up or an interrupt is meant for what was started with a terminal.
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT)
	end, output := run(p, o)
	if err := whenRoom(func() error { return p.write("exit", end) }); err != nil || output == nil {
		return err
	}
	<-output.ended
	return nil
}

// run is the life of the process. Its output may be in use when it has ended, by what it left behind.
func run(p place, o order) (exit, *outputPipe) {
	if p.has("stop") {
		return exit{ExitCode: -1, EndTime: time.Now().UnixMilli()}, nil
	}
	cmd, output, err := start(p, o)
	begin, uptime := time.Now().UnixMilli(), proc.Uptime()
	if err != nil {
		return exit{ExitCode: -1, StartTime: begin, EndTime: begin, Error: err.Error()}, nil
	}
	var noted sync.WaitGroup
	if id, err := proc.Of(cmd.Process.Pid); err == nil {
		// Without it a stop finds the process by its mark.
		noted.Go(func() {
			_ = whenRoom(func() error { return p.write("process", started{id, begin, proc.Boot(), uptime}) })
		})
	}
	passOn(cmd.Process.Pid)
	_ = cmd.Wait() // the state below says it all
	output.drain()
	for !output.log.close() && isFull(output.log.why) { // another error of the log must not keep the job's end from being told
		time.Sleep(fullEvery)
	}
	noted.Wait()
	end := exit{ExitCode: cmd.ProcessState.ExitCode(), StartTime: begin, EndTime: time.Now().UnixMilli()}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		end.Signal = status.Signal().String()
	}
	return end, output
}

// start gives the process a group of its own and a pipe as its output.
func start(p place, o order) (*exec.Cmd, *outputPipe, error) {
	if len(o.Argv) == 0 {
		return nil, nil, errors.New("the command is empty")
	}
	var file *os.File
	err := whenRoom(func() (err error) {
		file, err = os.OpenFile(p.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	output, write, err := newOutputPipe(&hidingLog{file: file, hide: joblog.NewRedactor(o.Secrets)})
	if err != nil {
		return nil, nil, err
	}
	defer write.Close()
	cmd := exec.Command(o.Argv[0], o.Argv[1:]...) //nolint:noctx // ended by signals to its group, from wherever
	cmd.Dir, cmd.Stdout, cmd.Stderr = o.Dir, write, write
	for _, entry := range o.Env {
		cmd.Env = append(cmd.Env, string(entry))
	}
	cmd.Env = append(cmd.Env, "RAYORCH_OUTPUT="+p.path("output"), p.mark())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd, output, cmd.Start()
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
