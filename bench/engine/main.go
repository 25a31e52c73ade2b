// Command engine measures the engine with closed loops: every client starts its next execution when the previous one has ended. It
// prints one line of figures for each workload. With -endpoint, it measures a server of the Step Functions API over HTTP instead.
// bench/README.md has results.
//
//	go run ./bench/engine -seconds 10
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rayorch/rayorch/internal/engine"
)

func main() {
	seconds := flag.Int("seconds", 10, "how long each workload runs")
	dir := flag.String("dir", "", "state directory (default: a temporary one below the working directory)")
	profile := flag.String("cpuprofile", "", "write a CPU profile to this file")
	only := flag.String("only", "", "run only the workload with this name")
	wait := flag.Int("waiting", 0, "instead of the workloads, measure a restart with this number of waiting executions")
	done := flag.Int("finished", 0, "instead of the workloads, measure reads with this number of finished executions")
	endpoint := flag.String("endpoint", "", "measure the server at this URL instead of an engine in this process")
	pid := flag.Int("pid", 0, "process id of the server at -endpoint, to read its memory")
	reset := flag.Bool("reset", false, "the server at -endpoint is moto: reset it before each execution (not timed)")
	short := flag.Bool("short", false, "leave out the workload with a fixed rate, and continue if a workload fails")
	maps := flag.Bool("maps", false, "instead of the workloads, run Maps of increasing size")
	flag.Parse()
	if err := withDir(*dir, func(dir string) error {
		switch {
		case *wait > 0:
			return waiting(dir, *wait)
		case *done > 0:
			return finished(dir, *done)
		case *maps:
			return mapped(dir)
		}
		t, end, err := openTarget(dir, *endpoint, *pid, *reset)
		if err != nil {
			return err
		}
		return errors.Join(bench(time.Duration(*seconds)*time.Second, t, *profile, *only, *short), end())
	}); err != nil {
		log.Fatal(err)
	}
}

// withDir calls fn with the state directory dir, or with a temporary one if dir is empty.
func withDir(dir string, fn func(dir string) error) error {
	if dir != "" {
		return fn(dir)
	}
	dir, err := os.MkdirTemp(".", "bench-state-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return fn(dir)
}

// workload is one closed loop.
type workload struct {
	name    string
	clients int
	steps   int // transitions of an execution
	rate    int // executions per second of all clients; 0: as many as possible
}

var workloads = []workload{
	{"one step, 1 client", 1, 1, 0},
	{"one step, 500 per second", 16, 1, 500},
	{"one step, 32 clients", 32, 1, 0},
	{"chain of 50, 1 client", 1, 50, 0},
	{"chain of 50, 32 clients", 32, 50, 0},
}

// bench runs each workload for the duration d and prints the results. If short is set, a workload that fails is printed as a result,
// because some other engines cannot run all of them.
func bench(d time.Duration, t target, profile, only string, short bool) error {
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	fmt.Printf("%-26s %10s %12s %9s %9s %9s %9s\n", "workload", "runs/s", "transit./s", "p50 ms", "p99 ms", "max ms", "RSS MB")
	for _, w := range workloads {
		if only != "" && only != w.name || short && w.rate > 0 {
			continue
		}
		if err := w.run(t, d); err != nil && !short {
			return err
		} else if err != nil {
			text := strings.Join(strings.Fields(err.Error()), " ")
			fmt.Printf("%-26s %s\n", w.name, text[:min(200, len(text))])
		}
	}
	return nil
}

// chain returns a definition with a chain of Pass states.
func chain(steps int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"StartAt":"S1","States":{`)
	for i := 1; i < steps; i++ {
		fmt.Fprintf(&b, `"S%d":{"Type":"Pass","Next":"S%d"},`, i, i+1)
	}
	fmt.Fprintf(&b, `"S%d":{"Type":"Pass","End":true}}}`, steps)
	return b.Bytes()
}

// run runs the workload for the duration d and prints its figures.
func (w workload) run(t target, d time.Duration) error {
	runtime.GC()
	executes := make([]func() error, w.clients)
	prepare := t.prepare
	if w.clients > 1 {
		prepare = nil // a client that resets the server would delete the executions of the others
	}
	for c := range executes {
		var err error
		if executes[c], err = t.client(w.steps); err != nil {
			return err
		}
	}
	begin := time.Now()
	took := make([][]time.Duration, w.clients)
	errs := make([]error, w.clients)
	var wg sync.WaitGroup
	for c := range took {
		wg.Go(func() { took[c], errs[c] = w.client(prepare, executes[c], begin, begin.Add(d), c) })
	}
	wg.Wait()
	all := slices.Concat(took...)
	if err := errors.Join(errs...); err != nil || len(all) == 0 {
		return fmt.Errorf("%s: %d executions: %w", w.name, len(all), err)
	}
	slices.Sort(all)
	lasted := time.Since(begin)
	if prepare != nil { // without the time for prepare
		lasted = 0
		for _, t := range all {
			lasted += t
		}
	}
	per := float64(len(all)) / lasted.Seconds()
	ms := func(q float64) float64 { return all[int(q*float64(len(all)-1))].Seconds() * 1000 }
	fmt.Printf("%-26s %10.0f %12.0f %9.2f %9.2f %9.2f %9d\n", w.name, per, per*float64(w.steps),
		ms(0.5), ms(0.99), ms(1), t.resident())
	return nil
}

// client runs executions one after another until the end, and returns their durations. With a rate, the duration is measured from the
// time when the execution was due, so that a slow execution also counts for those that were delayed by it.
func (w workload) client(prepare, execute func() error, begin, end time.Time, c int) (took []time.Duration, err error) {
	for i := 0; time.Now().Before(end); i++ {
		if prepare != nil {
			if err := prepare(); err != nil {
				return took, err
			}
		}
		due := time.Now()
		if w.rate > 0 {
			due = begin.Add(time.Duration(i*w.clients+c) * time.Second / time.Duration(w.rate))
			time.Sleep(time.Until(due))
		}
		if err := execute(); err != nil {
			return took, err
		}
		took = append(took, time.Since(due))
	}
	return took, nil
}

// target is the engine or server to measure.
type target struct {
	client   func(steps int) (func() error, error) // returns a function that runs one execution
	prepare  func() error                          // called before each execution, not timed; may be nil
	resident func() int                            // resident memory in MB
}

// openTarget opens an engine in this process, or connects to the server at the endpoint.
func openTarget(dir, endpoint string, pid int, reset bool) (target, func() error, error) {
	if endpoint != "" {
		return serverTarget(endpoint, pid, reset), func() error { return nil }, nil
	}
	e, err := engine.Open(context.Background(), engine.Config{Dir: dir})
	if err != nil {
		return target{}, nil, err
	}
	return target{
		client: func(steps int) (func() error, error) {
			r := engine.StartRequest{
				MachineARN: fmt.Sprintf("arn:aws:states:us-east-1:123456789012:stateMachine:chain%d", steps),
				Definition: chain(steps), Input: []byte(`{"greeting":"hello"}`),
			}
			return func() error { return executeIn(e, r) }, nil
		},
		resident: resident,
	}, e.Close, nil
}

// serverTarget returns a target for a server of the Step Functions API.
func serverTarget(endpoint string, pid int, reset bool) target {
	t := target{
		client: func(steps int) (func() error, error) {
			c := newCaller(endpoint)
			arn, err := c.machine(steps)
			return func() error { return c.execute(arn) }, err
		},
		resident: func() int { return residentOf(fmt.Sprint(pid)) },
	}
	if !reset {
		return t
	}
	plain := newCaller(endpoint)
	var steps int
	t.prepare = func() error {
		if err := plain.reset(); err != nil {
			return err
		}
		_, err := plain.machine(steps)
		return err
	}
	t.client = func(n int) (func() error, error) {
		steps = n
		c := newCaller(endpoint)
		if err := c.reset(); err != nil {
			return nil, err
		}
		arn, err := c.machine(n)
		return func() error { return c.execute(arn) }, err
	}
	return t
}

// executeIn runs one execution in an engine in this process.
func executeIn(e *engine.Engine, r engine.StartRequest) error {
	x, err := e.Start(context.Background(), r)
	for after := x.LastEventID; err == nil && !x.Closed(); {
		var r engine.WatchResult
		r, err = e.Watch(context.Background(), x.ARN, after)
		x.Status, after = r.Status, r.LastEventID
	}
	return err
}

// resident returns the resident memory of this process in MB.
func resident() int { return residentOf("self") }

// residentOf returns the resident memory of a process in MB, or 0 if /proc does not have it.
func residentOf(pid string) int {
	text, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0
	}
	kb := 0
	for line := range strings.Lines(string(text)) {
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kb); err == nil {
			break
		}
	}
	return kb / 1024
}
