package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/stepfn"
)

const waitMachine = "arn:aws:states:us-east-1:123456789012:stateMachine:wait"

// waiting starts n executions that wait, restarts the engine, and measures how late timers fire. All but a thousand executions wait
// for a day. The thousand probes wait until the same time after the restart.
func waiting(dir string, n int) error {
	e, err := engine.Open(context.Background(), engine.Config{Dir: dir})
	if err != nil {
		return err
	}
	begin := time.Now()
	const probes = 1000
	if err := startWaiting(e, probes, n, begin.Add(24*time.Hour)); err != nil {
		return err
	}
	due := time.Now().Add(time.Minute).Truncate(time.Millisecond) // the restart must take less time
	if err := startWaiting(e, 0, probes, due); err != nil {
		return err
	}
	fmt.Printf("%d waiting: started in %.0f s (%.0f per second), RSS %d MB\n", n, time.Since(begin).Seconds(),
		float64(n)/time.Since(begin).Seconds(), resident())
	if err := e.Close(); err != nil {
		return err
	}
	runtime.GC()
	debug.FreeOSMemory()
	begin = time.Now()
	if e, err = engine.Open(context.Background(), engine.Config{Dir: dir}); err != nil {
		return err
	}
	defer e.Close()
	if _, err := e.Start(context.Background(), engine.StartRequest{MachineARN: waitMachine, Definition: chain(1)}); err != nil {
		return err
	}
	fmt.Printf("%d waiting: ready %.1f s after a restart, RSS %d MB, %d timers\n", n, time.Since(begin).Seconds(),
		resident(), e.Metrics().Timers)
	return lateness(e, probes, due, n)
}

// startWaiting starts the executions with the numbers from (inclusive) to to (exclusive), which wait until the given time.
func startWaiting(e *engine.Engine, from, to int, until time.Time) error {
	var next atomic.Int64
	var failed atomic.Value
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for {
				i := from + int(next.Add(1)) - 1
				if i >= to {
					return
				}
				_, err := e.Start(context.Background(), engine.StartRequest{
					MachineARN: waitMachine, Name: fmt.Sprint("w", i),
					Definition: []byte(`{"StartAt":"W","States":{"W":{"Type":"Wait","TimestampPath":"$.until","End":true}}}`),
					Input:      fmt.Appendf(nil, `{"until":"%s"}`, until.UTC().Format("2006-01-02T15:04:05.000Z")),
				})
				if err != nil {
					failed.Store(err)
					return
				}
			}
		})
	}
	wg.Wait()
	err, _ := failed.Load().(error)
	return err
}

// finished runs n executions and measures the duration of reads among them.
func finished(dir string, n int) error {
	e, err := engine.Open(context.Background(), engine.Config{Dir: dir})
	if err != nil {
		return err
	}
	defer e.Close()
	begin := time.Now()
	if err := startWaiting(e, 0, n, begin.Add(-time.Hour)); err != nil {
		return err
	}
	fmt.Printf("%d finished: in %.0f s (%.0f per second), RSS %d MB, %d MB on disk\n", n, time.Since(begin).Seconds(),
		float64(n)/time.Since(begin).Seconds(), resident(), e.Store().Size()>>20)
	var describes, lists []time.Duration
	token := ""
	for i := range 1000 {
		begin := time.Now()
		if _, err := e.Describe(fmt.Sprintf("arn:aws:states:us-east-1:123456789012:execution:wait:w%d", (i*7919)%n)); err != nil {
			return err
		}
		describes = append(describes, time.Since(begin))
		begin = time.Now()
		page, err := e.List(engine.ListFilter{MachineARN: waitMachine, Status: stepfn.Succeeded, Token: token})
		if err != nil {
			return err
		}
		token = page.Next
		lists = append(lists, time.Since(begin))
	}
	slices.Sort(describes)
	slices.Sort(lists)
	fmt.Printf("%d finished: describe p50 %s, p99 %s; a page of 100 p50 %s, p99 %s\n", n, describes[500], describes[990],
		lists[500], lists[990])
	return nil
}

// lateness waits until the probes are due and prints how late their timers fired, and the duration of reads.
func lateness(e *engine.Engine, probes int, due time.Time, n int) error {
	early := time.Until(due)
	if early <= 0 {
		return fmt.Errorf("the restart ended %s after the timers were due: too late to measure them", -early)
	}
	time.Sleep(early + 5*time.Second)
	var late []time.Duration
	for i := range probes {
		x, err := e.Describe(fmt.Sprintf("arn:aws:states:us-east-1:123456789012:execution:wait:w%d", i))
		if err != nil {
			return err
		}
		if x.Status != stepfn.Succeeded {
			return fmt.Errorf("%s is %s, %s after it was due", x.ARN, x.Status, time.Since(due))
		}
		late = append(late, x.Stopped.Sub(due))
	}
	slices.Sort(late)
	fmt.Printf("%d waiting: %d timers with the same deadline were late by %s (median), %s (last)\n", n, probes,
		late[probes/2], late[probes-1])
	begin := time.Now()
	for i := range 1000 {
		if _, err := e.Describe(fmt.Sprintf("arn:aws:states:us-east-1:123456789012:execution:wait:w%d", (i*7919)%n)); err != nil {
			return err
		}
	}
	each := time.Since(begin) / 1000
	begin = time.Now()
	if _, err := e.List(engine.ListFilter{MachineARN: waitMachine, Status: stepfn.Running, Limit: 100}); err != nil {
		return err
	}
	fmt.Printf("%d waiting: describe takes %s, a page of 100 %s\n", n, each, time.Since(begin))
	return nil
}

// mapped runs a distributed Map over increasing numbers of items.
func mapped(dir string) error {
	e, err := engine.Open(context.Background(), engine.Config{Dir: dir})
	if err != nil {
		return err
	}
	defer e.Close()
	for _, n := range []int{1000, 10_000, 100_000} {
		begin := time.Now()
		x, err := e.Start(context.Background(), engine.StartRequest{
			MachineARN: "arn:aws:states:us-east-1:123456789012:stateMachine:map",
			Definition: []byte(`{"StartAt":"M","States":{"M":{"Type":"Map","QueryLanguage":"JSONata","Items":"{% [1..$states.input] %}",
				"ItemSelector":1,"ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},"StartAt":"P","States":
				{"P":{"Type":"Pass","QueryLanguage":"JSONata","Output":0,"End":true}}},"Output":1,"End":true}}}`),
			Input: fmt.Append(nil, n),
		})
		if err != nil {
			return err
		}
		for after := x.LastEventID; !x.Closed(); {
			r, err := e.Watch(context.Background(), x.ARN, after)
			if err != nil {
				return err
			}
			x.Status, after = r.Status, r.LastEventID
		}
		took := time.Since(begin)
		fmt.Printf("distributed Map of %d items: %s in %.1f s (%.0f items per second), RSS %d MB\n", n, x.Status, took.Seconds(),
			float64(n)/took.Seconds(), resident())
	}
	return nil
}
