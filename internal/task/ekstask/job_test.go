package ekstask_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/task"
)

func TestRunJob(t *testing.T) {
	b := newBench(t)
	o := b.output(b.run("runJob", b.job("true", nil)))
	if kube.Kind(o) != "Job" || kube.Name(o) != "work" || kube.Field(o, "metadata", "managedFields") != nil {
		t.Errorf("got %v", o)
	}
	if len(b.submitted) != 0 || len(b.jobs()) != 1 {
		t.Errorf("got %d calls of Submitted, jobs %v; want 0 calls, 1 job", len(b.submitted), b.jobs())
	}
}

func TestRunJobSync(t *testing.T) {
	b := newBench(t)
	o := b.output(b.run("runJob.sync", b.job("echo hello; echo world", logs)))
	if n, _ := kube.Field(o, "status", "succeeded").(float64); n != 1 || kube.Kind(o) != "Job" {
		t.Errorf("got %v", o)
	}
	if got := b.logOf(o); got != "hello\nworld\n" {
		t.Errorf("got log %q", got)
	}
	if got := containerLines(b.log.String()); got != "hello\nworld\n" {
		t.Errorf("got live log %q", got)
	}
	if len(b.submitted) != 1 || !strings.Contains(string(b.submitted[0]), `"uid"`) {
		t.Errorf("got calls of Submitted with %s, want one call with the Job", b.submitted)
	}
}

func TestLogOptions(t *testing.T) {
	tests := []struct {
		name, script string
		options      map[string]any
		want         any
	}{
		{"json", `echo '{"loss": 1.5, "steps": [1, 2]}'`, map[string]any{"RetrieveLogs": true},
			map[string]any{"loss": 1.5, "steps": []any{1.0, 2.0}}},
		{"raw json", `echo '{"a": 1}'`, map[string]any{"RetrieveLogs": true, "RawLogs": true}, "{\"a\": 1}\n"},
		{"last lines", "for i in 1 2 3 4; do echo line $i; done",
			map[string]any{"RetrieveLogs": true, "LogParameters": map[string]any{"tailLines": []any{"2"}}}, "line 3\nline 4\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			got := b.logOf(b.output(b.run("runJob.sync", b.job(test.script, map[string]any{"LogOptions": test.options}))))
			if g, w := asJSON(t, got), asJSON(t, test.want); g != w {
				t.Errorf("got %s, want %s", g, w)
			}
		})
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestLogTooLarge retrieves a log that exceeds the limit of an output. The runner must return enough of it that the engine rejects the
// output, but not all of it.
func TestLogTooLarge(t *testing.T) {
	b := newBench(t)
	res := b.run("runJob.sync", b.job("head -c 400000 /dev/zero | tr '\\0' x", logs))
	if n := len(res.Output); n < 262144 || n > 300000 {
		t.Errorf("got an output of %d bytes: %s %s", n, res.Error, res.Cause)
	}
}

func TestJobAsString(t *testing.T) {
	b := newBench(t)
	text := asJSON(t, b.object("text", "true", nil))
	o := b.output(b.run("runJob.sync", map[string]any{"Namespace": b.ns, "Job": text, "ClusterName": b.cluster.Client.Context()}))
	if kube.Name(o) != "text" {
		t.Errorf("got %v", o)
	}
}

func TestGenerateName(t *testing.T) {
	b := newBench(t)
	job := b.object("", "true", nil)
	job["metadata"] = map[string]any{"generateName": "made-"}
	o := b.output(b.run("runJob", map[string]any{"Namespace": b.ns, "Job": job}))
	if name := kube.Name(o); !strings.HasPrefix(name, "made-") || len(name) != 10 {
		t.Errorf("got name %q", name)
	}
}

// TestFailures checks the causes of failed Jobs.
func TestFailures(t *testing.T) {
	tests := []struct {
		name, script string
		until        string // text in the log after which the test lets the Job exceed its deadline; "" for a Job that ends by itself
		change       func(job, pod, container map[string]any)
		before       bool // whether the reason precedes the JSON, because nothing ran
		want         []string
	}{
		{"exit code", "echo last words; exit 3", "", nil, false, []string{"container main ended with exit code 3", "last words"}},
		{"memory", "x=aaaaaaaa; while true; do x=$x$x; done", "", func(_, _, container map[string]any) {
			container["resources"] = map[string]any{"limits": map[string]any{"memory": "16Mi"}}
		}, false, []string{"killed"}},
		{"deadline", "echo begun; sleep 3600", "begun", nil, false, []string{"activeDeadlineSeconds, 1"}},
		{"unschedulable", "true", "cannot be scheduled", func(_, pod, _ map[string]any) {
			pod["nodeSelector"] = map[string]any{"no-such": "label"}
		}, true, []string{"cannot be scheduled", "node selector", "activeDeadlineSeconds, 1"}},
		{"gpu", "true", "Insufficient nvidia.com/gpu", func(_, _, container map[string]any) {
			container["resources"] = map[string]any{"limits": map[string]any{"nvidia.com/gpu": "64"}}
		}, true, []string{"cannot be scheduled", "Insufficient nvidia.com/gpu", "request less"}},
		{"image", "true", "cannot be pulled", func(_, _, container map[string]any) {
			container["image"] = "registry.invalid/no-such:1"
		}, true, []string{"the image registry.invalid/no-such:1 cannot be pulled"}},
		{"image never pulled", "true", "local/no-such:1", func(_, _, container map[string]any) {
			container["image"], container["imagePullPolicy"] = "local/no-such:1", "Never"
		}, true, []string{"local/no-such:1", "Never"}},
		{"claim", "true", `"no-such" not found`, func(_, pod, container map[string]any) {
			container["volumeMounts"] = []any{map[string]any{"name": "v", "mountPath": "/v"}}
			pod["volumes"] = []any{map[string]any{"name": "v", "persistentVolumeClaim": map[string]any{"claimName": "no-such"}}}
		}, true, []string{`persistentvolumeclaim "no-such" not found`, "create the claim"}},
		{"config map", "true", `"no-such" not found`, func(_, _, container map[string]any) {
			container["envFrom"] = []any{map[string]any{"configMapRef": map[string]any{"name": "no-such"}}}
		}, true, []string{`configmap "no-such" not found`}},
		{"volume of a config map", "true", `configmap "no-such" not found`, func(_, pod, container map[string]any) {
			container["volumeMounts"] = []any{map[string]any{"name": "v", "mountPath": "/v"}}
			pod["volumes"] = []any{map[string]any{"name": "v", "configMap": map[string]any{"name": "no-such"}}}
		}, true, []string{"a volume cannot be mounted", `configmap "no-such" not found`}},
		{"service account", "true", "its pods cannot be created", func(_, pod, _ map[string]any) {
			pod["serviceAccountName"] = "no-such"
		}, true, []string{"its pods cannot be created", `serviceaccount "no-such" not found`}},
		{"command", "true", "", func(_, _, container map[string]any) { container["command"] = []any{"/no/such"} },
			true, []string{"cannot start: container main", "/no/such"}},
	}
	b := newBench(t)
	results := make([]task.Result, len(tests))
	var all sync.WaitGroup
	for i, test := range tests { // in parallel, because the Jobs mostly wait for their deadlines
		job := b.object(fmt.Sprint("work-", i), test.script, test.change)
		all.Go(func() {
			one := b.another(fmt.Sprint(i))
			done, _ := one.begin(map[string]any{"Namespace": b.ns, "Job": job, "LogOptions": logs["LogOptions"]})
			if test.until != "" {
				one.awaitLog(test.until)
				one.setDeadline(fmt.Sprint("work-", i))
			}
			results[i] = <-done
		})
	}
	all.Wait()
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			res := results[i]
			b := &bench{t: t}
			b.failure(res, "States.TaskFailed", test.want...)
			reason, object, _ := strings.Cut(res.Cause, "\n")
			if !test.before {
				reason, object = "", res.Cause
			}
			var job struct {
				Reason string
				Kind   string
			}
			if err := json.Unmarshal([]byte(object), &job); err != nil || job.Kind != "Job" || test.before != (job.Reason == reason) {
				t.Errorf("the cause does not contain the Job (%v), or the reason is in the wrong place: %s", err, res.Cause)
			}
			t.Log(job.Reason)
		})
	}
}

func TestQuota(t *testing.T) {
	b := newBench(t)
	b.cluster.Apply(t, kube.Object{
		"apiVersion": "v1", "kind": "ResourceQuota", "metadata": map[string]any{"name": "none", "namespace": b.ns},
		"spec": map[string]any{"hard": map[string]any{"pods": "0"}},
	})
	done, _ := b.begin(b.job("true", nil))
	b.awaitLog("rayorch: waiting: its pods cannot be created")
	b.setDeadline("work")
	b.failure(<-done, "States.TaskFailed", "its pods cannot be created", "exceeded quota", "raise the quota")
}

// setDeadline sets the deadline of a Job to one second, which it has already exceeded.
func (b *bench) setDeadline(name string) {
	b.t.Helper()
	_, err := b.cluster.Do(clustertest.Context(b.t), kube.Request{
		Method: http.MethodPatch, Path: kube.JobsPath(b.ns) + "/" + name,
		ContentType: "application/merge-patch+json", Body: []byte(`{"spec": {"activeDeadlineSeconds": 1}}`)})
	if err != nil {
		b.t.Error(err)
	}
}
