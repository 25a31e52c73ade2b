// Command suites runs the project's test suites one after another: `make test` calls it. It prints a line for each with
// its time and counts, the output of what failed, every skip with its reason, what failed once more in a line each (some
// show only the last lines of a long output), and last the sums. It fails when a test
// fails and when a suite leaves a process behind. It is no test framework: a suite is a command whose output it reads.
package main

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"
)

func main() {
	var o options
	flag.StringVar(&o.only, "only", "", "run the suites whose name matches this regular expression")
	flag.BoolVar(&o.list, "list", false, "print the suites' names")
	flag.Parse()
	os.Exit(o.run())
}

type options struct {
	only string
	list bool
}

func (o options) run() int {
	wanted, err := regexp.Compile(o.only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "suites: -only:", err)
		return 2
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	r := runner{mark: "RAYORCH_TEST_RUN=" + rand.Text()}
	for _, s := range suites {
		switch {
		case !wanted.MatchString(s.name) || ctx.Err() != nil:
		case o.list:
			fmt.Println(s.name)
		default:
			if s.cluster {
				r.clusterUp(ctx)
			}
			r.add(s.name, r.runSuite(ctx, s))
		}
	}
	if o.list {
		return 0
	}
	r.clusterDown()
	return r.report(ctx.Err() != nil)
}

// report prints what was skipped, what failed and the sums; it is the exit code.
func (r *runner) report(interrupted bool) int {
	if len(r.skips) > 0 {
		fmt.Printf("\nSKIPPED, so not proved by this run (%d):\n", len(r.skips))
	}
	for _, line := range r.skips {
		fmt.Println("  " + line)
	}
	if len(r.failures) > 0 {
		fmt.Printf("\nFAILED (%d):\n", len(r.failures))
	}
	for _, line := range r.failures {
		fmt.Println("  " + line)
	}
	if interrupted {
		fmt.Println("\ninterrupted: suites that did not run are not counted")
	}
	fmt.Printf("\n%d passed, %d failed, %d skipped in %s\n", r.passed, r.failed, len(r.skips), r.took.Round(time.Second))
	if r.failed > 0 || interrupted || r.passed == 0 {
		return 1
	}
	return 0
}

// add prints a suite's line and adds its counts to the sums.
func (r *runner) add(name string, res result) {
	r.passed, r.failed, r.took = r.passed+res.passed, r.failed+res.failed, r.took+res.took
	for _, s := range res.skips {
		r.skips = append(r.skips, name+": "+s)
	}
	word := "ok  "
	if res.failed > 0 {
		word = "FAIL"
	}
	fmt.Printf("%s  %-16s %5d passed %3d failed %3d skipped %9s\n",
		word, name, res.passed, res.failed, len(res.skips), res.took.Round(100*time.Millisecond))
	for _, f := range res.failures {
		what, _, _ := strings.Cut(f, "\n")
		r.failures = append(r.failures, name+": "+what)
	}
	for _, f := range res.failures {
		fmt.Println("      " + strings.ReplaceAll(strings.TrimRight(f, "\n"), "\n", "\n      "))
	}
}
