package modes_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/stepfn"
)

// TestModes runs small pipelines in all submission modes, on one Ray. Without RAYORCH_TEST_KUBERNETES=all, it runs only a few cases.
func TestModes(t *testing.T) {
	w := newShared(t)
	for name, test := range map[string]func(t *testing.T){
		"outputs": w.outputs, "failure": w.failure, "retry": w.retry, "timeout": w.timeout, "pending": w.pending,
		"abort": w.abort, "redrive": w.redrive, "redrive after failure": w.redriveFailed, "no ray": w.noRay, "working directory": w.workingDir, "plain": w.plain, "plain abort": w.plainAbort,
	} {
		t.Run(name, func(t *testing.T) {
			if name != "outputs" && name != "plain" {
				needsFull(t)
			}
			t.Parallel()
			test(t)
		})
	}
}

const head = `version: 1
name: w
storage: {path: /data, claim: data}
targets: {kubernetes: {kind: kubernetes, ray: {cluster: ray}}}
`

// unclaimed is head without a claim.
var unclaimed = strings.Replace(head, ", claim: data", "", 1)

var all = []string{"job", "proxy", "rayjob"}

// eachMode runs a pipeline in all submission modes, in parallel.
func (w *shared) eachMode(t *testing.T, steps, input string, check func(t *testing.T, mode string, r *run)) {
	t.Helper()
	for _, mode := range all {
		t.Run(mode, func(t *testing.T) {
			if mode == "rayjob" {
				needsFull(t)
			}
			t.Parallel()
			p := w.open(t)
			check(t, mode, p.start(t, head+steps, t.TempDir(), mode, input))
		})
	}
}

// outputs passes a parameter with quotes, shell syntax and JSONata syntax through steps: no mode may interpret or change it.
func (w *shared) outputs(t *testing.T) {
	w.eachMode(t, `
params: {text: {type: string}}
steps:
- name: one
  ray:
    entrypoint: printf '%s' ${{ params.text }} | python3 -c 'import json, sys, os; json.dump({"a":[sys.stdin.read()]}, open(os.environ["RAYORCH_OUTPUT"], "w"))'
- name: two
  ray: {entrypoint: 'test ${{ steps.one.output.a[0] }} = ${{ params.text }}; echo $?', env: {DOLLARS: '$(RAYORCH_STEP) $$'}}
- name: three
  ray: {entrypoint: 'printf "\"%s\"" "$DOLLARS" >$RAYORCH_OUTPUT', env: {DOLLARS: '$(RAYORCH_STEP) $$'}}
`, `{"text": "$(touch /tmp/x) ' \" $$ $(RAYORCH_STEP) {% 1 %} \\ \n"}`, func(t *testing.T, _ string, r *run) {
		r.want(t, stepfn.Succeeded, `"one":{"a":["$(touch /tmp/x) ' \" $$ $(RAYORCH_STEP) {% 1 %} \\ \n"]},"two":null,"three":"$(RAYORCH_STEP) $$"`)
	})
}

func (w *shared) failure(t *testing.T) {
	w.eachMode(t, `
steps: [{name: one, ray: {entrypoint: "echo the reason; exit 3"}}]
`, `{}`, func(t *testing.T, _ string, r *run) { r.want(t, stepfn.Failed, "the reason") })
}

func (w *shared) retry(t *testing.T) {
	w.eachMode(t, `
steps: [{name: one, ray: {entrypoint: "test $RAYORCH_ATTEMPT = 2 && echo $RAYORCH_ATTEMPT >$RAYORCH_OUTPUT"}, retry: {attempts: 2, interval: 1s}}]
`, `{}`, func(t *testing.T, _ string, r *run) { r.want(t, stepfn.Succeeded, `{"one":2}`) })
}

func (w *shared) timeout(t *testing.T) {
	w.eachMode(t, `
steps: [{name: one, ray: {entrypoint: "sleep 3600"}, timeout: 3s}]
`, `{}`, func(t *testing.T, _ string, r *run) {
		r.want(t, stepfn.Failed, "States.Timeout: the job timed out after ", " s (limit 3 s)")
		r.quiet(t)
	})
}

// pending runs a job that needs more CPUs than Ray has.
func (w *shared) pending(t *testing.T) {
	w.eachMode(t, `
steps: [{name: one, ray: {entrypoint: "echo never", cpus: 1000}, pendingTimeout: 8s}]
`, `{}`, func(t *testing.T, _ string, r *run) {
		r.want(t, stepfn.Failed, "Ray.PendingTimeout: ")
		r.quiet(t)
	})
}

// abort stops an execution while its job runs: the cleanup machine must stop the job.
func (w *shared) abort(t *testing.T) {
	w.eachMode(t, `
steps: [{name: one, ray: {entrypoint: "sleep 3600"}}]
`, `{}`, func(t *testing.T, _ string, r *run) {
		r.until(t, "the job", func() error {
			n, err := r.running(t)
			if err == nil && n != 1 {
				err = fmt.Errorf("%d jobs run on Ray, want 1", n)
			}
			return err
		})
		if _, err := r.p.engine.Stop(r.ARN, "", ""); err != nil {
			t.Fatal(err)
		}
		r.quiet(t)
	})
}

// redrive aborts a run and redrives it: the stop does not count as an attempt, and the new job has a different id.
func (w *shared) redrive(t *testing.T) {
	if !w.Local {
		t.Skip("SKIPPED: the files of the claim are not on this machine")
	}
	w.eachMode(t, `
steps: [{name: one, ray: {entrypoint: "if [ -e $RAYORCH_STORAGE/again ]; then echo $RAYORCH_ATTEMPT >$RAYORCH_OUTPUT; else touch $RAYORCH_STORAGE/again; sleep 3600; fi"}}]
`, `{}`, func(t *testing.T, _ string, r *run) {
		r.until(t, "the job", func() error {
			_, err := os.Stat(filepath.Join(w.claim.Dir, "w", r.Name, "again"))
			return err
		})
		if _, err := r.p.engine.Stop(r.ARN, "", ""); err != nil {
			t.Fatal(err)
		}
		r.quiet(t)
		if _, err := r.p.engine.Redrive(r.ARN); err != nil {
			t.Fatal(err)
		}
		r.want(t, stepfn.Succeeded, `{"one":1}`)
	})
}

// noRay runs a step on a RayCluster that does not exist.
func (w *shared) noRay(t *testing.T) {
	for _, mode := range all {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			p := w.open(t)
			text := strings.Replace(head, "cluster: ray", "cluster: nobody", 1) + `
steps: [{name: one, ray: {entrypoint: "echo never"}, pendingTimeout: LIMITs}]
`
			want := map[string]string{"job": "Ray.Unreachable", "proxy": "Ray.Unreachable", "rayjob": "Ray.PendingTimeout"}[mode]
			withGrowingLimit(t, 10, func(seconds int) *run {
				return p.start(t, limited(text, seconds), t.TempDir(), mode, "{}")
			}, stepfn.Failed, want).quiet(t)
		})
	}
}

// workingDir uploads a directory with each method (via) that a submission mode supports. A program in it must stay executable.
func (w *shared) workingDir(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "work", "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	program := "#!/bin/sh\necho '\"it'\\''s '$(cat sub/text)'\"' >$RAYORCH_OUTPUT\n"
	for name, text := range map[string]string{"run": program, "sub/text": "$HOME"} {
		if err := os.WriteFile(filepath.Join(dir, "work", name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ mode, via string }{{"job", "configMap"}, {"proxy", "inline"}, {"proxy", "claim"}, {"rayjob", "inline"}, {"rayjob", "claim"}} {
		t.Run(c.mode+" "+c.via, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(head, "kind: kubernetes,", "kind: kubernetes, workingDir: {via: "+c.via+"},", 1) + `
steps: [{name: one, ray: {entrypoint: ./run, workingDir: work}}]
`
			r := w.open(t).start(t, text, dir, c.mode, "{}")
			r.want(t, stepfn.Succeeded, `{"one":"it's $HOME"}`)
		})
	}
}
