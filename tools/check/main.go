// Command check supervises a complete test run: `make test` runs its parts through it. After the run, it
//
//   - kills the processes that the run left behind, and fails the run if there were any;
//   - stops the Kubernetes that the run started;
//   - prints a summary: the slowest tests, the skipped ones with their reasons, the ones that failed and then passed (FLAKY), the
//     failed ones, and the totals.
//
// It also cleans up after an interrupt (Ctrl-C, any number of times).
//
//	check -results DIR -- COMMAND...
//
// DIR contains the results of the parts: *.json (gotestsum's --jsonfile), and *.log and *.status of each part that is not a Go test.
// check also writes the last line of the summary to the file closing in DIR, for .ci/run.
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
	results := flag.String("results", ".tools/test", "the directory for the results of the parts; emptied first")
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	os.Exit(run(*results, flag.Args()))
}

// run runs the command, cleans up, prints the summary, and returns the exit code.
func run(results string, command []string) int {
	// A second Ctrl-C must not end this process before it has cleaned up.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	start := time.Now()
	if err := empty(results); err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		return 1
	}
	temp, err := os.MkdirTemp("/tmp", "rt") // short, because paths of sockets below it have at most 107 bytes
	if err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		return 1
	}
	clusterWasUp := clusterUp()
	// LC_*, because jobs and the Rays that rayorch starts inherit only few other variables.
	p := processes{mark: "LC_CHECK_RUN=" + rand.Text()}
	interrupted, err := p.run(command, signals, "TMPDIR="+temp)
	s := read(results)
	if err != nil && s.failed == 0 && !interrupted {
		s.fail(strings.Join(command, " ")+": "+err.Error(), "")
	}
	s.leftovers(&p, interrupted)
	if !clusterWasUp && clusterUp() {
		s.step("cluster down", outputOnError(exec.CommandContext(context.Background(), "e2e/cluster/down")))
	}
	_ = os.RemoveAll(temp)
	code := s.print(time.Since(start), interrupted)
	if err := os.WriteFile(filepath.Join(results, "closing"), []byte(s.closing()), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
	}
	return code
}

// empty creates the directory, or removes its contents.
func empty(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.MkdirAll(dir, 0o755)
}

// leftovers kills the processes that the run left behind. Each of them is a failure, unless the run was interrupted.
func (s *summary) leftovers(p *processes, interrupted bool) {
	for _, left := range p.end(interrupted) {
		if !interrupted {
			s.fail("left a process behind: "+left, "")
		}
	}
}

// outputOnError runs a command. If it fails, the error contains its output.
func outputOnError(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// clusterUp reports whether the Kubernetes of e2e/cluster runs. It is meant to outlive the process that starts it, so it has no mark.
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
