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

// supervisorInput is what the supervisor reads from its standard input, as JSON. It contains secrets, so it must not be passed in a file
// or in arguments.
type supervisorInput struct {
	Argv    []string
	Env     [][]byte // NAME=VALUE; bytes, because it may not be valid UTF-8
	Dir     string
	Secrets []string // values to redact in the log
}

// exitDiskFull is the exit code of a supervisor that could not claim the work because the disk is full.
const exitDiskFull = 75 // EX_TEMPFAIL

// SuperviseMain runs the supervisor of a process and returns its exit code. Its only argument is the directory of the process.
func SuperviseMain(args []string) int {
	if len(args) != 1 {
		fmt.Fprintln(os.Stderr, "rayorch: error: this command is for internal use by rayorch")
		return 2
	}
	if err := supervise(procDir(args[0]), os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "rayorch: error: supervise:", err)
		if isFull(err) {
			return exitDiskFull
		}
		return 1
	}
	return 0
}

// supervise claims the work, runs the process and returns after the process and everything that it left behind have closed their output.
// It does nothing if the work is already claimed, so that the process runs at most once.
func supervise(p procDir, in io.Reader) error {
	var o supervisorInput
	if err := json.NewDecoder(in).Decode(&o); err != nil {
		return fmt.Errorf("read the command from standard input: %w", err)
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
	if err := errors.Join(claim.Close(), retryWhileFull(p.sync)); err != nil {
		return err
	}
	// SIGHUP and SIGINT come from a terminal and are meant for interactive programs.
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT)
	end, output := run(p, o)
	if err := retryWhileFull(func() error { return p.write("exit", end) }); err != nil || output == nil {
		return err
	}
	<-output.ended
	return nil
}

// run runs the process and returns how it ended. The returned pipe is nil if the process did not start. Child processes that the process
// left behind may still use the pipe.
func run(p procDir, o supervisorInput) (exit, *outputPipe) {
	if p.has("stop") {
		return exit{ExitCode: -1, EndTime: time.Now().UnixMilli()}, nil
	}
	cmd, output, err := start(p, o)
	begin, uptime := time.Now().UnixMilli(), proc.Uptime()
	if err != nil {
		return exit{ExitCode: -1, StartTime: begin, EndTime: begin, Error: err.Error()}, nil
	}
	var recording sync.WaitGroup
	if id, err := proc.Of(cmd.Process.Pid); err == nil { // otherwise, a stop finds the process by its mark
		recording.Go(func() {
			_ = retryWhileFull(func() error { return p.write("process", started{id, begin, proc.Boot(), uptime}) })
		})
	}
	forwardTerm(cmd.Process.Pid)
	_ = cmd.Wait() // ProcessState below has the exit status
	output.drain()
	for !output.log.close() && isFull(output.log.why) { // ignores other errors of the log: the exit must be recorded anyway
		time.Sleep(fullRetry)
	}
	recording.Wait()
	end := exit{ExitCode: cmd.ProcessState.ExitCode(), StartTime: begin, EndTime: time.Now().UnixMilli()}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		end.Signal = status.Signal().String()
	}
	return end, output
}

// start starts the process in its own process group, with a pipe as its standard output and standard error.
func start(p procDir, o supervisorInput) (*exec.Cmd, *outputPipe, error) {
	if len(o.Argv) == 0 {
		return nil, nil, errors.New("the command is empty")
	}
	var file *os.File
	err := retryWhileFull(func() (err error) {
		file, err = os.OpenFile(p.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	output, write, err := newOutputPipe(&redactingLog{file: file, hide: joblog.NewRedactor(o.Secrets)})
	if err != nil {
		return nil, nil, err
	}
	defer write.Close()
	cmd := exec.Command(o.Argv[0], o.Argv[1:]...) //nolint:noctx // terminated by signals to its group, also from other processes
	cmd.Dir, cmd.Stdout, cmd.Stderr = o.Dir, write, write
	for _, entry := range o.Env {
		cmd.Env = append(cmd.Env, string(entry))
	}
	cmd.Env = append(cmd.Env, "RAYORCH_OUTPUT="+p.path("output"), p.mark())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd, output, cmd.Start()
}

// forwardTerm forwards SIGTERM from the supervisor to the process group of the process.
func forwardTerm(pid int) {
	terms := make(chan os.Signal, 1)
	signal.Notify(terms, syscall.SIGTERM)
	go func() { // runs until the supervisor exits
		for range terms {
			_ = syscall.Kill(-pid, syscall.SIGTERM)
		}
	}()
}
