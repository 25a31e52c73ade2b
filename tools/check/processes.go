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

// processes are those of a run: all that have its mark in their environment, which only Linux shows.
type processes struct {
	mark string
	// grace is how long they have to end by themselves. Defaults to 10 s.
	grace time.Duration
	// rays are the directories of the Rays that got a signal: the process that started a Ray may end before it removes them.
	rays map[string]bool
}

// run runs a command with the mark to its end. It shares this process's group, so that a terminal's Ctrl-C reaches both;
// what else a signal does not reach is asked to end.
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
				fmt.Fprintln(os.Stderr, "check: interrupted: ending what runs")
				p.signal(syscall.SIGINT)
			}
		case <-late:
			p.signal(syscall.SIGKILL)
			late = time.After(time.Second) // once more, for what was being started
		}
	}
}

func (p *processes) patience() time.Duration {
	if p.grace == 0 {
		return 10 * time.Second
	}
	return p.grace
}

// end waits for what still runs, kills it, removes the directories of Rays among it, and says what it was. After an
// interrupt nobody waits: what runs then was told to end before.
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
	// Until several looks in a row find nothing: a process that is just starting is missed by one.
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
			continue // a zombie, or gone meanwhile
		}
		found = append(found, process{pid, strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))})
	}
	return found
}

// rayOf is the directory of the Ray that a process works in. Ray's agents clear their environment, and so lose the mark.
func rayOf(dir string) string {
	cwd, _ := os.Readlink(filepath.Join(dir, "cwd"))
	if m := rayDir.FindStringSubmatch("--temp-dir=" + strings.TrimSuffix(cwd, " (deleted)")); m != nil {
		return m[1]
	}
	return ""
}

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
