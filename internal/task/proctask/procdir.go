package proctask

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/rayorch/rayorch/internal/backend/proc"
)

// procDir is the path of the directory with the state of a process. Its name is the id of the process. It contains the following files.
// The records (command, process, copy, stop, exit) are written once and atomically.
//
//	command         the command, without its environment; detects a second command with the same id
//	claimed         exists if a supervisor has taken the work; no other supervisor starts the process after that
//	process         the PID and the start time of the process (started)
//	work            a copy of the working directory, in which the process runs
//	copy            when the copy was created (workCopy)
//	files           values that are too long for an environment variable or an argument, one file each
//	log             the output of the process
//	supervisor.log  errors of the supervisor
//	output          the file that RAYORCH_OUTPUT names
//	stop            exists if a stop was requested
//	exit            how the process ended (exit)
//	lock            locked by the supervisor while it runs
type procDir string

func (p procDir) id() string              { return filepath.Base(string(p)) }
func (p procDir) path(name string) string { return filepath.Join(string(p), name) }
func (p procDir) has(name string) bool    { _, err := os.Stat(p.path(name)); return err == nil }
func (p procDir) ended() bool             { return p.has("exit") }

// mark returns an environment variable that the process and its descendants have. It identifies them even if they leave the process
// group or session.
func (p procDir) mark() string { return "RAYORCH_PROCESS=" + string(p) }

// started is the supervisor's record of a process that it has started.
type started struct {
	Process   proc.ID
	StartTime int64 // Unix time in milliseconds
	// Boot and Uptime are the start time by a clock that cannot be set. Earlier releases did not record them.
	Boot   string
	Uptime time.Duration
}

// ran returns how long the process has run. It uses the wall clock if there is no recorded uptime, or if it is of another boot.
func (s started) ran() time.Duration {
	if s.Boot != "" && s.Boot == proc.Boot() {
		return proc.Uptime() - s.Uptime
	}
	return max(time.Since(time.UnixMilli(s.StartTime)), 0)
}

// exit is the record of how a process ended.
type exit struct {
	ExitCode  int    // -1 if the process did not start, was terminated by a signal, or its exit status is unknown
	Signal    string // name of the signal that terminated the process
	StartTime int64  // Unix time in milliseconds
	EndTime   int64  // Unix time in milliseconds
	Error     string // why the process did not start, or why its exit status is unknown
}

func (p procDir) process() (started, bool) {
	var s started
	ok := p.read("process", &s)
	return s, ok
}

func (p procDir) exit() (exit, bool) {
	var e exit
	ok := p.read("exit", &e)
	return e, ok
}

func (p procDir) read(name string, into any) bool {
	data, err := os.ReadFile(p.path(name))
	return err == nil && json.Unmarshal(data, into) == nil
}

// write creates a file atomically: a reader sees the complete file or none. The file is on disk when write returns.
func (p procDir) write(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(string(p), name+".new") // concurrent stops write the same file
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	if err := os.Rename(file.Name(), p.path(name)); err != nil {
		return err
	}
	return p.sync()
}

// sync writes changes of the directory itself to disk, such as new names.
func (p procDir) sync() error {
	dir, err := os.Open(string(p))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// IsID reports whether id is a valid process id, and so can be the name of a process's directory.
func IsID(id string) bool { return processID.MatchString(id) }

// IsRunning reports whether dir is the directory of a process whose supervisor is running. A supervisor exits shortly after it has
// recorded the end of its process, unless the process left behind child processes that still print. So if the end is recorded,
// IsRunning waits up to one second for the supervisor to exit.
func IsRunning(dir string) bool {
	p := procDir(dir)
	for tries := 0; p.has("lock") && p.supervised(); tries++ {
		if !p.ended() || tries == 100 {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// lock acquires the supervisor's lock. It returns false if another process holds the lock. Closing the file releases the lock.
func (p procDir) lock() (*os.File, bool, error) {
	file, err := os.OpenFile(p.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, false, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return file, true, nil
	}
	_ = file.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, false, nil
	}
	return nil, false, err
}

// supervised reports whether a supervisor is running.
func (p procDir) supervised() bool {
	file, free, err := p.lock()
	if free {
		_ = file.Close()
	}
	return err == nil && !free
}

// confirmWait is the timeout of each step of a stop. A step usually takes milliseconds, but much longer on a busy machine.
const confirmWait = time.Minute

// stop terminates the process and its descendants: with SIGTERM, and after the grace period with SIGKILL. It returns nil when all of
// them have ended and the exit is recorded.
func (p procDir) stop(grace time.Duration) error {
	requestErr := p.write("stop", struct{}{})
	if requestErr != nil && !isFull(requestErr) {
		return requestErr
	}
	p.awaitProcess()
	s, _ := p.process()
	tree, err := proc.Tree(s.Process, p.mark())
	if err != nil {
		return err
	}
	if s.Process.Alive() {
		_ = syscall.Kill(-s.Process.PID, syscall.SIGTERM)
	}
	left := proc.Gone(tree, grace)
	late, _ := proc.Tree(s.Process, p.mark())
	for _, id := range append(left, late...) {
		_ = id.Signal(syscall.SIGKILL)
	}
	if left = proc.Gone(append(left, late...), confirmWait); len(left) > 0 {
		return fmt.Errorf("stop process %s: the process with PID %d did not end within %s of SIGKILL", p.id(), left[0].PID, confirmWait)
	}
	if requestErr != nil { // the disk is full, so that the supervisor cannot record the exit now
		return nil //nolint:nilerr // the processes have ended, which is what a stop is for
	}
	return p.awaitExit()
}

// awaitProcess waits until the supervisor has recorded the process, in case the supervisor is just starting it.
func (p procDir) awaitProcess() {
	for deadline := time.Now().Add(confirmWait); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if p.has("process") || p.ended() || !p.supervised() {
			return
		}
	}
}

// awaitExit waits until the supervisor has recorded the exit. If no supervisor is running, it writes the record itself.
func (p procDir) awaitExit() error {
	for deadline := time.Now().Add(confirmWait); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if p.ended() {
			return nil
		}
		if file, free, err := p.lock(); err == nil && free {
			return errors.Join(p.writeExit(), file.Close())
		}
	}
	return fmt.Errorf("stop process %s: the supervisor did not record the exit of the process within %s", p.id(), confirmWait)
}

// writeExit records the exit of a process that has no supervisor. The caller holds the lock.
func (p procDir) writeExit() error {
	if p.ended() {
		return nil
	}
	s, _ := p.process()
	return p.write("exit", exit{ExitCode: -1, StartTime: s.StartTime, EndTime: time.Now().UnixMilli(), Error: p.lostError()})
}

// lostError returns why the exit status of a process without a supervisor is unknown. It is empty after a stop, which explains the end.
func (p procDir) lostError() string {
	if p.has("stop") {
		return ""
	}
	return "the supervisor was killed, so the exit status of the process is unknown"
}
