package console_test

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
)

// TestScreenshots takes the screenshots in docs/images (make screenshots). It checks nothing.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("RAYORCH_SCREENSHOTS")
	if dir == "" {
		t.Skip("runs only with make screenshots")
	}
	s := serve(t, nil)
	show := &story{site: s, trained: make(chan bool), written: make(chan bool)}
	arn := show.run(t)
	p := open(t, s.URL)
	snap := func(name, theme string, width, height int64) {
		t.Helper()
		p.prefers(theme)
		p.size(width, height)
		// Wait some frames, until the page is drawn in the new size. There are no animations, because prefers disables them.
		p.do(`document.activeElement.blur(); scrollTo(0, 0); await document.fonts.ready;
			for (let i = 0; i < 5; i++) await new Promise((done) => requestAnimationFrame(done))`)
		png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d bytes", name, len(png))
	}

	p.to(execution(arn, "?tab=metrics"))
	p.sees(".chart-value", ".")
	p.states(map[string]string{"train": "running, attempt 2"})
	snap("console-metrics-dark", "dark", 1280, 1120)
	p.button("Logs")
	p.sees(".log .row", "metric")
	snap("console-logs-light", "light", 1280, 1100)
	show.trained <- true
	p.button("Timeline")
	p.states(map[string]string{"evaluate": "running, 2 of 4 done"})
	snap("console-execution-light", "light", 1280, 1000)
	snap("console-execution-narrow", "light", 375, 812)
	p.to("#/executions")
	p.sees(".row-name", "night-20")
	snap("console-executions-light", "light", 1280, 800)
	snap("console-executions-narrow", "dark", 375, 812)
	p.to("#/machines")
	p.sees("tbody", "shakespeare")
	p.do(`[...document.querySelectorAll("button")].find((b) => b.getAttribute("aria-label") === "Start shakespeare").click()`)
	p.sees("dialog", "steps")
	snap("console-start-dark", "dark", 1280, 860)
	close(show.written)
}

// story is a pipeline in progress, after other executions.
type story struct {
	*site
	trained, written chan bool
}

const storyFile = `version: 1
name: shakespeare
description: Train a character model on four plays, then write text with it.
params:
  steps: {type: integer, default: 600, min: 1, max: 100000, description: "Training steps; 600 take half a minute on two cores."}
  rate: {type: number, default: 0.005, min: 0.00001, max: 1, description: The highest learning rate.}
  size: {type: string, default: small, choices: [small, medium, large], description: The model.}
  resume: {type: boolean, default: false}
steps:
  - name: prepare
    ray: {entrypoint: python prepare.py}
  - name: train
    ray: {entrypoint: "python train.py --steps ${{ params.steps }} --rate ${{ params.rate }}"}
    retry: {attempts: 3, interval: 1s}
  - name: evaluate
    forEach:
      items: [hamlet, lear, macbeth, othello]
      maxConcurrency: 2
      steps:
        - name: write
          ray: {entrypoint: "python infer.py --play ${{ item }}"}
  - name: publish
    ray: {entrypoint: python publish.py}
`

// run starts the pipeline, and returns its ARN when the second attempt of its training has printed its log.
func (s *story) run(t *testing.T) string {
	t.Helper()
	again := make(chan bool)
	done := func(req *task.Request, output string) task.Result {
		return task.Result{Output: fmt.Appendf(nil, `{"SubmissionId":"%s","Address":"http://127.0.0.1:8265","Status":"SUCCEEDED","Output":%s}`, submission(req), output)}
	}
	submitted := func(req *task.Request) {
		_ = req.Submitted(fmt.Appendf(nil, `{"SubmissionId":"%s","Address":"http://127.0.0.1:8265","Status":"PENDING"}`, submission(req)))
	}
	s.on("prepare", func(_ context.Context, req *task.Request) task.Result {
		submitted(req)
		time.Sleep(1500 * time.Millisecond)
		return done(req, `{"characters": 678345, "plays": ["hamlet", "lear", "macbeth", "othello"]}`)
	})
	s.on("train", func(_ context.Context, req *task.Request) task.Result {
		submitted(req)
		_, _ = io.WriteString(req.Log, "2026-03-02 02:00:07 INFO worker.py:1850 -- Connected to the Ray cluster\n\x1b[36m(worker pid=4711)\x1b[0m reading 4 plays, 678,345 characters\n")
		last := map[int]int{1: 140, 2: 430}[req.Attempt]
		for i := 0; i <= last; i += 10 {
			x := float64(i)
			loss := 1.38 + 2.9*math.Exp(-x/70) + 0.05*math.Sin(x/9)
			_, _ = fmt.Fprintf(req.Log, "step %d of 600\nmetric loss=%.4f validation=%.4f chars_per_second=%.0f step=%d\n", i, loss, loss+0.04+x/3000, 39000+2500*math.Sin(x/40), i)
		}
		time.Sleep(2500 * time.Millisecond)
		if req.Attempt == 1 {
			return task.Fail(stepfn.RayJobFailed, "the worker died: out of memory on node 10.0.0.12")
		}
		again <- true
		<-s.trained
		return done(req, `{"checkpoint": "/mnt/rayorch/shakespeare/night-20/checkpoint-600", "loss": 1.4127}`)
	})
	var writes atomic.Int32
	s.on("write", func(ctx context.Context, req *task.Request) task.Result {
		submitted(req)
		time.Sleep(1200 * time.Millisecond)
		if writes.Add(1) > 2 {
			select {
			case <-s.written:
			case <-ctx.Done():
			}
		}
		return done(req, `{"text": "To be, or not to be: that is the question"}`)
	})
	before := s.machine("churn-model", succeed)
	failing := s.machine("nightly-import", `{"StartAt":"no","States":{"no":{"Type":"Fail","Error":"Import.Empty"}}}`)
	for i := 1; i < 20; i++ {
		one := before
		if i%5 == 0 {
			one = failing
		}
		s.ended(s.start(one, fmt.Sprintf("night-%02d", i), "{}"))
	}
	decoded, err := pipeline.Decode("pipeline.yaml", []byte(storyFile))
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := compile.Compile(decoded, compile.Options{BaseDir: "/pipelines/shakespeare", StorageDir: "/mnt/rayorch"})
	if err != nil {
		t.Fatal(err)
	}
	arn := s.start(s.machine("shakespeare", string(compiled.Definition)), "night-20", `{"steps": 600}`)
	select {
	case <-again:
	case <-time.After(patience):
		x, _ := s.eng.Describe(arn)
		t.Fatalf("the second attempt of train did not start within %s: %+v", patience, x)
	}
	return arn
}

func submission(req *task.Request) string {
	return fmt.Sprintf("r5d9e14edb82f-%s-%d", strings.ToLower(req.State), req.Attempt)
}
