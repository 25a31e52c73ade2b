package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// processes are the processes of a run: all processes that have its mark in their environment. It needs /proc, so it finds none on
// other systems than Linux.
type processes struct {
	mark string // NAME=VALUE
	// grace is the time that the processes have to end by themselves. Default: 10 s.
	grace time.Duration
	// rays contains the directories of the Rays that got a signal. They must be removed here, because the process that started a Ray
	// may end before it removes the directory.
	rays map[string]bool
}

// run runs a command, with the mark in its environment, and waits for its end. The command is in the process group of this process, so
// that Ctrl-C in a terminal reaches both. After the first signal, run sends an interrupt to all marked processes, because some of them
// are in other sessions; after the grace period, it kills them.
func (p *processes) run(command []string, signals <-chan os.Signal, env ...string) (interrupted bool, err error) {
	cmd := exec.CommandContext(context.Background(), command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Stdin = os.Stdout, os.Stderr, os.Stdin
	cmd.Env = append(append(os.Environ(), p.mark), env...)
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return false, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	var late <-chan time.Time
	for {
		select {
		case err := <-done:
			return interrupted, err
		case <-signals:
			if !interrupted {
				interrupted, late = true, time.After(p.patience())
				fmt.Fprintln(os.Stderr, "check: interrupted: stopping all processes of the run")
				p.signal(syscall.SIGINT)
			}
		case <-late:
			p.signal(syscall.SIGKILL)
			late = time.After(time.Second) // again, for processes that were just starting
		}
	}
}

func (p *processes) patience() time.Duration {
	if p.grace == 0 {
		return 10 * time.Second
	}
	return p.grace
}

// end waits until all processes have ended, at most for the grace period. It kills the remaining ones, removes the directories of
// their Rays, and returns their pids and command lines. If now is set, it does not wait: after an interrupt, the processes have already
// had their grace period.
func (p *processes) end(now bool) []string {
	defer func() {
		for dir := range p.rays {
			_ = os.RemoveAll(dir)
		}
	}()
	var left []process
	for deadline := time.Now().Add(p.patience()); ; time.Sleep(100 * time.Millisecond) {
		left = p.marked()
		if len(left) == 0 && !now {
			return nil
		}
		if now || time.Now().After(deadline) {
			break
		}
	}
	names := make([]string, len(left))
	for i, l := range left {
		names[i] = fmt.Sprintf("%d %s", l.pid, l.command)
	}
	// Continue until ten checks in a row find no process, because one check can miss a process that is just starting.
	for quiet, deadline := 0, time.Now().Add(time.Minute); quiet < 10 && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		quiet++
		if len(p.marked()) > 0 {
			quiet = 0
			p.signal(syscall.SIGKILL)
		}
	}
	return names
}

var rayDir = regexp.MustCompile(`--temp-dir=(/tmp/rayorch-ray-[A-Za-z0-9]+)( |$)`)

type process struct {
	pid     int
	command string
}

// marked returns the running processes that have the mark, or that work in the directory of a Ray that got a signal.
func (p *processes) marked() []process {
	var found []process
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environs {
		dir := filepath.Dir(path)
		env, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(env, []byte(p.mark)) && !p.rays[rayOf(dir)] {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(dir))
		line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || len(line) == 0 || pid == os.Getpid() {
			continue // a zombie, or ended in the meantime
		}
		found = append(found, process{pid, strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))})
	}
	return found
}

// rayOf returns the directory of a Ray if it is the working directory of the process dir (/proc/PID), and "" otherwise. Ray's agents
// must be found by it, because they clear their environment and lose the mark.
func rayOf(dir string) string {
	cwd, _ := os.Readlink(filepath.Join(dir, "cwd"))
	if m := rayDir.FindStringSubmatch("--temp-dir=" + strings.TrimSuffix(cwd, " (deleted)")); m != nil {
		return m[1]
	}
	return ""
}

// signal sends a signal to all processes, and remembers the directories of the Rays among them.
func (p *processes) signal(sig syscall.Signal) {
	for _, m := range p.marked() {
		if ray := rayDir.FindStringSubmatch(m.command); ray != nil {
			if p.rays == nil {
				p.rays = map[string]bool{}
			}
			p.rays[ray[1]] = true
		}
		_ = syscall.Kill(m.pid, sig)
	}
}
