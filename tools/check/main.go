// Command check watches a whole test run: `make test` runs make through it. gotestsum runs the Go tests and Make the rest;
// what neither does is here. It ends every process that the run left behind and fails the run for it, takes down the
// Kubernetes that the run started, and prints what was skipped and why, what failed, what failed before it passed (FLAKY),
// and the sums. After an interrupt (Ctrl-C, any number of times) it cleans up all the same.
//
//	check -results DIR -- COMMAND...
//
// DIR holds what the parts of the run wrote: *.json (gotestsum's --jsonfile) and, of each other part, *.log and *.status.
// The last line goes into its file closing, too.
package main

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	results := flag.String("results", ".tools/test", "the directory of the parts' results; emptied first")
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	os.Exit(run(*results, flag.Args()))
}

func run(results string, command []string) int {
	// A second Ctrl-C must not end this process before it has cleaned up.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	start := time.Now()
	if err := emptied(results); err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		return 1
	}
	temp, err := os.MkdirTemp("/tmp", "rt") // short: sockets are made below it, whose paths may have 107 bytes
	if err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		return 1
	}
	clusterWas := clusterUp()
	p := processes{mark: "LC_CHECK_RUN=" + rand.Text()} // jobs and the Rays that rayorch starts inherit LC_*, and few others
	interrupted, err := p.run(command, signals, "TMPDIR="+temp)
	s := read(results)
	if err != nil && s.failed == 0 && !interrupted {
		s.fail(strings.Join(command, " ")+": "+err.Error(), "")
	}
	s.leftovers(&p, interrupted)
	if !clusterWas && clusterUp() {
		s.step("cluster down", quietly(exec.CommandContext(context.Background(), "e2e/cluster/down")))
	}
	_ = os.RemoveAll(temp)
	code := s.print(time.Since(start), interrupted)
	if err := os.WriteFile(filepath.Join(results, "closing"), []byte(s.closing()), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
	}
	return code
}

func emptied(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.MkdirAll(dir, 0o755)
}

// leftovers ends what the run left behind, which is a failure unless the run was interrupted.
func (s *summary) leftovers(p *processes, interrupted bool) {
	for _, left := range p.end(interrupted) {
		if !interrupted {
			s.fail("left a process behind: "+left, "")
		}
	}
}

// quietly runs a command and returns what it printed when it failed.
func quietly(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// clusterUp tells whether the Kubernetes of e2e/cluster runs. It outlives what starts it, so it has no mark.
func clusterUp() bool {
	name := os.Getenv("RAYORCH_CLUSTER_NAME")
	if name == "" {
		name = "rayorch"
	}
	pid, err := os.ReadFile("/run/rayorch-cluster-" + name + ".pid")
	if err != nil {
		return false
	}
	_, err = os.Stat(filepath.Join("/proc", strings.TrimSpace(string(pid))))
	return err == nil
}
