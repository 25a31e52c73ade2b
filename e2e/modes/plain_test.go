package modes_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// plain runs plain jobs with busybox.
func (w *shared) plain(t *testing.T) {
	for name, c := range map[string]struct {
		steps  string
		status stepfn.Status
		want   string
	}{
		"output": {`
- name: one
  job: {shell: 'echo "{\"a\": \"$X $ORDER\"}" >$RAYORCH_OUTPUT; echo kept >$RAYORCH_STORAGE/file', env: {X: '$(ORDER) $$', ORDER: first}}
- name: two
  job: {command: [sh, -c, 'test "$1" = "$2" && cat "$RAYORCH_STORAGE/file" && echo 1 >$RAYORCH_OUTPUT', x, "${{ steps.one.output.a }}", "$(ORDER) $$ first"]}
`, stepfn.Succeeded, `{"one":{"a":"$(ORDER) $$ first"},"two":1}`},
		"no storage": {`
- {name: one, job: {shell: 'echo kept >$RAYORCH_STORAGE/file && echo "\"$(id -u) $(cat $RAYORCH_STORAGE/file)\"" >$RAYORCH_OUTPUT'}}
`, stepfn.Succeeded, `{"one":"1000 kept"}`},
		"failure": {`
- {name: one, job: {shell: "echo the reason; exit 3"}}
`, stepfn.Failed, "Job.Failed: exit code 3: Error the reason"},
		"retry": {`
- {name: one, job: {shell: "test $RAYORCH_ATTEMPT = 2 && echo $RAYORCH_ATTEMPT >$RAYORCH_OUTPUT"}, retry: {attempts: 2, interval: 1s}}
`, stepfn.Succeeded, `{"one":2}`},
		"timeout": {`
- {name: one, job: {shell: "sleep 3600"}, timeout: 3s}
`, stepfn.Failed, "States.Timeout: the job timed out after 3 s (limit 3 s)"},
		"unschedulable": {`
- {name: one, job: {shell: "true", nodeSelector: {nobody: has}}, pendingTimeout: LIMITs}
`, stepfn.Failed, "Job.StartFailed: no pod of the job started within LIMIT s: Unschedulable: 0/1 nodes are available"},
		"no image": {`
- {name: one, job: {shell: "true", image: "nobody.invalid/has:1"}, pendingTimeout: LIMITs}
`, stepfn.Failed, "nobody.invalid/has:1"},
		"no claim": {`
- {name: one, job: {shell: "true", mounts: [{claim: nobody, path: /x}]}, pendingTimeout: LIMITs}
`, stepfn.Failed, `persistentvolumeclaim "nobody" not found`},
		"too much memory": {`
- {name: one, job: {shell: "tail /dev/zero", memory: 20Mi}}
`, stepfn.Failed, "OOMKilled"},
		"bad output": {`
- {name: one, job: {shell: "echo { >$RAYORCH_OUTPUT"}}
`, stepfn.Failed, "Job.Failed: the output"},
		"loop and cleanup": {`
- name: all
  forEach:
    items: [a, b]
    steps:
    - {name: one, job: {command: [sh, -c, 'echo "\"$1$RAYORCH_INDEX\"" >$RAYORCH_OUTPUT', x, "${{ item }}"]}}
- {name: last, job: {shell: "exit 7"}, onFailure: {job: {shell: 'echo "$RAYORCH_ERROR"; test "$RAYORCH_ERROR" = Job.Failed'}}}
`, stepfn.Failed, "Job.Failed: exit code 7"},
	} {
		t.Run(name, func(t *testing.T) {
			text := head
			switch name {
			case "output": // runs always, like "no storage"
			case "no storage":
				text = unclaimed
			default:
				needsFull(t)
			}
			t.Parallel()
			p := w.open(t)
			limit := 0
			if strings.Contains(c.steps, "LIMIT") {
				limit = 4
			}
			r := withGrowingLimit(t, limit, func(seconds int) *run {
				return p.start(t, text+"steps:"+limited(c.steps, seconds), t.TempDir(), "job", "{}")
			}, c.status, c.want)
			r.quiet(t)
			if name == "loop and cleanup" && !r.entered(t, "Run cleaning up after last") {
				t.Error("the onFailure job of the step last did not run")
			}
		})
	}
}

// plainAbort stops an execution while a plain job runs: the cleanup machine must delete the Job and its pod.
func (w *shared) plainAbort(t *testing.T) {
	p := w.open(t)
	r := p.start(t, head+`
steps: [{name: one, job: {shell: "sleep 3600"}}]
`, t.TempDir(), "job", "{}")
	r.until(t, "the pod", func() error {
		if pods := r.objects(t, "/api/v1/namespaces/"+p.namespace+"/pods"); len(pods) != 1 {
			return fmt.Errorf("got the pods %v, want one", pods)
		}
		return nil
	})
	if _, err := p.engine.Stop(r.ARN, "", ""); err != nil {
		t.Fatal(err)
	}
	r.quiet(t)
}

// entered reports whether the execution entered a state.
func (r *run) entered(t *testing.T, state string) bool {
	t.Helper()
	events, err := r.p.engine.History(r.ARN, engine.HistoryQuery{Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if e.Name == state {
			return true
		}
	}
	return false
}
