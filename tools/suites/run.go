package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type runner struct {
	mark           string // stands in the environment of all that the suites start
	passed, failed int
	skips          []string
	failures       []string // "suite: what failed: its own first line"
	took           time.Duration
	cluster        cluster
}

// result is what a suite's output says.
type result struct {
	passed, failed int
	skips          []string // "test: reason"
	failures       []string // of each its name or what it is in the first line, then what was printed
	took           time.Duration
}

func (r *result) fail(text string) {
	r.failed++
	r.failures = append(r.failures, text)
}

// runSuite runs the suite's command in a process group of its own, so that its end takes all with it.
func (r *runner) runSuite(ctx context.Context, s suite) result {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	var out bytes.Buffer
	cmd := command(ctx, s)
	cmd.Stdout, cmd.Stderr = &out, &out
	if !s.outlives {
		cmd.Env = append(os.Environ(), r.mark)
	}
	err := cmd.Run()
	res := s.read(out.Bytes(), err)
	if ctx.Err() != nil {
		res.fail(fmt.Sprintf("did not end: %v; its last lines:\n%s", ctx.Err(), tail(out.Bytes(), 30)))
	}
	for _, p := range r.leftovers() {
		res.fail("left a process behind: " + p)
	}
	res.took = time.Since(start)
	return res
}

func command(ctx context.Context, s suite) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.command[0], s.command[1:]...)
	cmd.Dir = filepath.FromSlash("./" + s.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// leftovers ends and names the processes that a suite started and that still run. It finds them by the mark in their
// environment, which only Linux shows; a moment's grace is for those that are just ending.
func (r *runner) leftovers() []string {
	var left []string
	for range 20 {
		if left = r.marked(nil); len(left) == 0 {
			return nil
		}
		time.Sleep(250 * time.Millisecond)
	}
	r.marked(func(pid int) { _ = syscall.Kill(pid, syscall.SIGKILL) })
	return left
}

func (r *runner) marked(do func(pid int)) []string {
	var found []string
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environs {
		env, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(env, []byte(r.mark)) {
			continue
		}
		dir := filepath.Dir(path)
		pid, _ := strconv.Atoi(filepath.Base(dir))
		line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || len(line) == 0 {
			continue // a zombie, or gone meanwhile
		}
		found = append(found, fmt.Sprintf("%d %s", pid, strings.ReplaceAll(string(line), "\x00", " ")))
		if do != nil {
			do(pid)
		}
	}
	return found
}

func tail(text []byte, n int) string {
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// ends is the first and the last lines of a long text: a test says what is wrong at either end of what it prints.
func ends(text string, first, last int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if left := len(lines) - first - last; left > 1 {
		lines = slices.Concat(lines[:first], []string{fmt.Sprintf("... %d lines ...", left)}, lines[len(lines)-last:])
	}
	return strings.Join(lines, "\n")
}

// notStarted says that a command could not be started at all, and with what.
func notStarted(err error) (string, bool) {
	var missing *exec.Error
	if errors.As(err, &missing) {
		return missing.Error() + ": run make test, which sets it up", true
	}
	return "", false
}
