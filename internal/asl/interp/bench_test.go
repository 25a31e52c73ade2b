package interp_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/asl/interp"
)

func chain(n int) string {
	var b strings.Builder
	b.WriteString(`{"StartAt":"S0","States":{`)
	for i := range n - 1 {
		fmt.Fprintf(&b, `"S%d":{"Type":"Pass","Next":"S%d"},`, i, i+1)
	}
	fmt.Fprintf(&b, `"S%d":{"Type":"Pass","End":true}}}`, n-1)
	return b.String()
}

// BenchmarkChain measures one complete execution of Pass states, decided and encoded as in the engine.
func BenchmarkChain(b *testing.B) {
	for _, n := range []int{1, 50} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m, err := asl.Parse([]byte(chain(n)))
			if err != nil {
				b.Fatal(err)
			}
			input := []byte(`{"a":1,"b":"text"}`)
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				run := interp.New(interp.Params{ExecutionARN: "arn", Input: input, StartTime: epoch}, m)
				d, err := run.Apply(interp.Start{}, epoch)
				if err != nil || !d.Closed {
					b.Fatal(err)
				}
				buf = history.AppendEvents(buf[:0], d.Events)
				buf = run.AppendHead(buf)
				for _, id := range d.Dirty {
					buf = run.AppendFrame(buf, id)
				}
			}
		})
	}
}

// BenchmarkMap measures one iteration, with a task, of a Map with 10,000 items: its cost must not depend on the number of
// items.
func BenchmarkMap(b *testing.B) {
	m, err := asl.Parse([]byte(`{"StartAt":"M","States":{"M":{"Type":"Map","MaxConcurrency":100,"ItemProcessor":{"StartAt":"A",` +
		`"States":{"A":{"Type":"Task","Resource":"arn:aws:states:::ray:submitJob.sync","End":true}}},"End":true}}}`))
	if err != nil {
		b.Fatal(err)
	}
	items := []byte("[" + strings.Repeat("1,", 9999) + "1]")
	var run *interp.Run
	var tasks []interp.Task
	b.ReportAllocs()
	for b.Loop() {
		if len(tasks) == 0 {
			run = interp.New(interp.Params{ExecutionARN: "arn", Express: true, Input: items, StartTime: epoch}, m)
			tasks = applyAll(b, run, interp.Start{})
		}
		tasks = append(tasks[1:], applyAll(b, run, interp.TaskEnded{Task: tasks[0].ID, Output: []byte("1")})...)
	}
}

// applyAll applies a fact, and Continue until the run waits. It returns the tasks to start.
func applyAll(b *testing.B, run *interp.Run, f interp.Fact) (tasks []interp.Task) {
	for {
		d, err := run.Apply(f, epoch)
		if err != nil {
			b.Fatal(err)
		}
		tasks = append(tasks, d.Tasks...)
		if !d.More {
			return tasks
		}
		f = interp.Continue{}
	}
}
