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

// place is a process's directory. Each file is written once, whole:
//
//	command   what is to run, without its environment, to tell another command of the same id
//	claimed   a supervisor has taken the work: no other one starts it, ever
//	process   pid and start time
//	work      a copy of the working directory, in which the process runs
//	copy      when it was made
//	files     what is too long for a variable or an argument
//	log       what the process prints
//	output    where RAYORCH_OUTPUT points
//	stop      somebody asked for its end
//	exit      how it ended
//	lock      held by the supervisor as long as it lives
type place string

func (p place) id() string              { return filepath.Base(string(p)) }
func (p place) path(name string) string { return filepath.Join(string(p), name) }
func (p place) has(name string) bool    { _, err := os.Stat(p.path(name)); return err == nil }
func (p place) ended() bool             { return p.has("exit") }

// mark stands in the environment of the process and all that it starts.
func (p place) mark() string { return "RAYORCH_PROCESS=" + string(p) }

// started is the process as its supervisor noted it.
type started struct {
	Process   proc.ID
	StartTime int64 // milliseconds since 1970
	// Boot and Uptime are the start by a clock that nobody sets. Earlier releases did not note them.
	Boot   string
	Uptime time.Duration
}

// ran is how long the process has run. Without an uptime of this boot, only the wall clock knows.
func (s started) ran() time.Duration {
	if s.Boot != "" && s.Boot == proc.Boot() {
		return proc.Uptime() - s.Uptime
	}
	return max(time.Since(time.UnixMilli(s.StartTime)), 0)
}

// exit is how a process ended. Error is set when it could not be started.
type exit struct {
	ExitCode  int
	Signal    string
	StartTime int64
	EndTime   int64
	Error     string
}

func (p place) process() (started, bool) {
	var s started
	ok := p.read("process", &s)
	return s, ok
}

func (p place) exit() (exit, bool) {
	var e exit
	ok := p.read("exit", &e)
	return e, ok
}

func (p place) read(name string, into any) bool {
	data, err := os.ReadFile(p.path(name))
	return err == nil && json.Unmarshal(data, into) == nil
}

// write puts a file on disk, whole, before anybody sees it.
func (p place) write(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(string(p), name+".new") // two stops at the same time write the same name
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

func (p place) sync() error {
	dir, err := os.Open(string(p))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// IsID reports whether a process can have an id, which is also the name of its directory.
func IsID(id string) bool { return processID.MatchString(id) }

// IsRunning reports whether the directory is that of a process whose supervisor lives. A supervisor that has recorded the end of its
// process exits a moment later, unless the process left something behind that still prints: so IsRunning waits for that, at most a
// second.
func IsRunning(dir string) bool {
	p := place(dir)
	for tries := 0; p.has("lock") && p.supervised(); tries++ {
		if !p.ended() || tries == 100 {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// lock takes the supervisor's lock, or says that another process has it.
func (p place) lock() (*os.File, bool, error) {
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

// supervised tells whether a supervisor lives.
func (p place) supervised() bool {
	file, free, err := p.lock()
	if free {
		_ = file.Close()
	}
	return err == nil && !free
}

// confirmWait bounds what takes a moment by itself, on a machine that may be busy.
const confirmWait = time.Minute

// stop ends the process and whatever it started, and confirms that nothing is left.
func (p place) stop(grace time.Duration) error {
	noted := p.write("stop", struct{}{})
	if noted != nil && !isFull(noted) {
		return noted
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
		return fmt.Errorf("stop process %s: process %d does not end", p.id(), left[0].PID)
	}
	if noted != nil { // nor could the supervisor note the end now
		return nil //nolint:nilerr // the work is gone, which is what was asked for
	}
	return p.settle()
}

// awaitProcess lets a supervisor that is just starting the process note it.
func (p place) awaitProcess() {
	for deadline := time.Now().Add(confirmWait); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if p.has("process") || p.ended() || !p.supervised() {
			return
		}
	}
}

// settle waits for the supervisor's record of the end, and writes one where no supervisor is left to do it.
func (p place) settle() error {
	for deadline := time.Now().Add(confirmWait); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if p.ended() {
			return nil
		}
		if file, free, err := p.lock(); err == nil && free {
			return errors.Join(p.settleAlone(), file.Close())
		}
	}
	return fmt.Errorf("stop process %s: its supervisor does not say how it ended", p.id())
}

// settleAlone writes the record of the end; the lock is held.
func (p place) settleAlone() error {
	if p.ended() {
		return nil
	}
	s, _ := p.process()
	return p.write("exit", exit{ExitCode: -1, StartTime: s.StartTime, EndTime: time.Now().UnixMilli(), Error: p.lostError()})
}

// lostError says why nobody knows an exit status.
func (p place) lostError() string {
	if p.has("stop") {
		return ""
	}
	return "its supervisor was killed, so its exit status is not known"
}
