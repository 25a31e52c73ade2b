// Command peers measures Temporal with the closed loops of bench/engine: an execution is a workflow, and a step is an activity. The
// server is a separate process with SQLite on disk; the worker runs in the process of the clients.
//
//	go run . -seconds 10 -journal wal
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

const queue, namespace = "bench", "bench"

func main() {
	seconds := flag.Int("seconds", 10, "how long each workload runs")
	journal := flag.String("journal", "", "SQLite's journal mode; every commit is then synced (default: the server's default)")
	serving := flag.Int("serve", 0, "run the server on this port; measure uses this internally")
	file := flag.String("file", "", "the database file of the server")
	flag.Parse()
	err := error(nil)
	if *serving != 0 {
		err = serve(*serving, *file, *journal)
	} else {
		err = measure(time.Duration(*seconds)*time.Second, *journal)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// measure starts a server and a worker, and runs the workloads against them.
func measure(d time.Duration, journal string) error {
	dir, err := os.MkdirTemp(".", "bench-temporal-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	port := freePort()
	server := exec.Command(os.Args[0], "-serve", fmt.Sprint(port), "-file", dir+"/temporal.db", "-journal", journal)
	server.Stderr = os.Stderr
	if err := server.Start(); err != nil {
		return err
	}
	defer func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	}()
	c, err := dial(port)
	if err != nil {
		return err
	}
	defer c.Close()
	w := worker.New(c, queue, worker.Options{MaxConcurrentActivityTaskPollers: 16, MaxConcurrentWorkflowTaskPollers: 16})
	w.RegisterWorkflow(Chain)
	w.RegisterActivity(Step)
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	fmt.Printf("%-26s %10s %12s %9s %9s %9s %9s\n", "workload", "runs/s", "transit./s", "p50 ms", "p99 ms", "max ms", "RSS MB")
	for _, l := range []loop{{"one step, 1 client", 1, 1}, {"one step, 32 clients", 32, 1},
		{"chain of 50, 1 client", 1, 50}, {"chain of 50, 32 clients", 32, 50}} {
		if err := l.run(c, d, server.Process.Pid); err != nil {
			return err
		}
	}
	return nil
}

// Chain is a workflow that runs the given number of activities one after another.
func Chain(ctx workflow.Context, steps int) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	for range steps {
		if err := workflow.ExecuteActivity(ctx, Step).Get(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

// Step does nothing, as a Pass state does.
func Step(context.Context) error { return nil }

// dial connects to the server. It retries, because the server takes some seconds to create its tables.
func dial(port int) (c client.Client, err error) {
	for range 120 {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		c, err = client.DialContext(ctx, client.Options{
			HostPort: fmt.Sprintf("127.0.0.1:%d", port), Namespace: namespace, Logger: quiet{},
		})
		cancel()
		if err == nil {
			return c, nil
		}
		time.Sleep(500 * time.Millisecond)
	}
	return nil, fmt.Errorf("wait for the server: %w", err)
}

// loop is a closed loop, as in bench/engine.
type loop struct {
	name           string
	clients, steps int
}

// run runs the loop for the duration d and prints its figures. pid is the server, whose memory is printed.
func (l loop) run(c client.Client, d time.Duration, pid int) error {
	execute := func() error {
		run, err := c.ExecuteWorkflow(context.Background(), client.StartWorkflowOptions{TaskQueue: queue}, Chain, l.steps)
		if err != nil {
			return err
		}
		return run.Get(context.Background(), nil)
	}
	if err := execute(); err != nil { // the first one waits for the worker's pollers
		return fmt.Errorf("%s: %w", l.name, err)
	}
	begin := time.Now()
	took, errs := make([][]time.Duration, l.clients), make([]error, l.clients)
	var wg sync.WaitGroup
	for i := range took {
		wg.Go(func() {
			for errs[i] == nil && time.Since(begin) < d {
				at := time.Now()
				errs[i] = execute()
				took[i] = append(took[i], time.Since(at))
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	all := slices.Concat(took...)
	slices.Sort(all)
	per := float64(len(all)) / time.Since(begin).Seconds()
	ms := func(q float64) float64 { return all[int(q*float64(len(all)-1))].Seconds() * 1000 }
	fmt.Printf("%-26s %10.0f %12.0f %9.2f %9.2f %9.2f %9d\n", l.name, per, per*float64(l.steps), ms(0.5), ms(0.99), ms(1), resident(pid))
	return nil
}

// resident returns the resident memory of a process in MB.
func resident(pid int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
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

// quiet discards the log messages of the SDK, which would otherwise be mixed with the table.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}

var _ sdklog.Logger = quiet{}
