package ekstask_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/rayorch/rayorch/internal/kube"
	"github.com/rayorch/rayorch/internal/task"
)

func TestRunJob(t *testing.T) {
	b := newBench(t)
	o := b.output(b.run("runJob", b.job("true", nil)))
	if kube.Kind(o) != "Job" || kube.Name(o) != "work" || kube.Field(o, "metadata", "managedFields") != nil {
		t.Errorf("got %v", o)
	}
	if len(b.submitted) != 0 || len(b.jobs()) != 1 {
		t.Errorf("%d submitted, jobs %v", len(b.submitted), b.jobs())
	}
}

func TestRunJobSync(t *testing.T) {
	b := newBench(t)
	o := b.output(b.run("runJob.sync", b.job("echo hello; echo world", logs)))
	if n, _ := kube.Field(o, "status", "succeeded").(float64); n != 1 || kube.Kind(o) != "Job" {
		t.Errorf("got %v", o)
	}
	if got := b.logOf(o); got != "hello\nworld\n" {
		t.Errorf("got the log %q", got)
	}
	if got := b.log.String(); got != "hello\nworld\n" {
		t.Errorf("got the live log %q", got)
	}
	if len(b.submitted) != 1 || !strings.Contains(string(b.submitted[0]), `"uid"`) {
		t.Errorf("submitted %s", b.submitted)
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

// TestTooMuchLog leaves it to the engine to refuse the output, which must be large enough for that.
func TestTooMuchLog(t *testing.T) {
	b := newBench(t)
	res := b.run("runJob.sync", b.job("head -c 400000 /dev/zero | tr '\\0' x", logs))
	if n := len(res.Output); n < 262144 || n > 300000 {
		t.Errorf("got %d bytes: %s %s", n, res.Error, res.Cause)
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
		t.Errorf("got the name %q", name)
	}
}

// TestFailures has what a person reads when a Job does not end well.
func TestFailures(t *testing.T) {
	deadline := func(job map[string]any) { job["activeDeadlineSeconds"] = 6 }
	tests := []struct {
		name, script string
		change       func(job, pod, container map[string]any)
		before       bool // the reason stands before the JSON, as nothing ran
		want         []string
	}{
		{"exit code", "echo last words; exit 3", nil, false, []string{"container main ended with exit code 3", "last words"}},
		{"memory", "x=aaaaaaaa; while true; do x=$x$x; done", func(_, _, container map[string]any) {
			container["resources"] = map[string]any{"limits": map[string]any{"memory": "16Mi"}}
		}, false, []string{"OOMKilled", "more memory than its limit"}},
		{"deadline", "sleep 100", func(job, _, _ map[string]any) { deadline(job) }, false, []string{"activeDeadlineSeconds, 6"}},
		{"unschedulable", "true", func(job, pod, _ map[string]any) {
			deadline(job)
			pod["nodeSelector"] = map[string]any{"no-such": "label"}
		}, true, []string{"cannot be scheduled", "node selector", "activeDeadlineSeconds, 6"}},
		{"gpu", "true", func(job, _, container map[string]any) {
			deadline(job)
			container["resources"] = map[string]any{"limits": map[string]any{"nvidia.com/gpu": "64"}}
		}, true, []string{"cannot be scheduled", "Insufficient nvidia.com/gpu", "ask for less"}},
		{"image", "true", func(job, _, container map[string]any) {
			deadline(job)
			container["image"] = "registry.invalid/no-such:1"
		}, true, []string{"the image registry.invalid/no-such:1 cannot be pulled"}},
		{"image never pulled", "true", func(job, _, container map[string]any) {
			deadline(job)
			container["image"], container["imagePullPolicy"] = "local/no-such:1", "Never"
		}, true, []string{"local/no-such:1", "Never"}},
		{"claim", "true", func(job, pod, container map[string]any) {
			deadline(job)
			container["volumeMounts"] = []any{map[string]any{"name": "v", "mountPath": "/v"}}
			pod["volumes"] = []any{map[string]any{"name": "v", "persistentVolumeClaim": map[string]any{"claimName": "no-such"}}}
		}, true, []string{`persistentvolumeclaim "no-such" not found`, "create the claim"}},
		{"config map", "true", func(job, _, container map[string]any) {
			deadline(job)
			container["envFrom"] = []any{map[string]any{"configMapRef": map[string]any{"name": "no-such"}}}
		}, true, []string{`configmap "no-such" not found`}},
		{"volume of a config map", "true", func(job, pod, container map[string]any) {
			deadline(job)
			container["volumeMounts"] = []any{map[string]any{"name": "v", "mountPath": "/v"}}
			pod["volumes"] = []any{map[string]any{"name": "v", "configMap": map[string]any{"name": "no-such"}}}
		}, true, []string{"a volume cannot be mounted", `configmap "no-such" not found`}},
		{"service account", "true", func(job, pod, _ map[string]any) {
			deadline(job)
			pod["serviceAccountName"] = "no-such"
		}, true, []string{"its pods cannot be created", `serviceaccount "no-such" not found`}},
		{"command", "true", func(_, _, container map[string]any) { container["command"] = []any{"/no/such"} },
			true, []string{"cannot start: container main", "/no/such"}},
	}
	b := newBench(t)
	results := make([]task.Result, len(tests))
	var all sync.WaitGroup
	for i, test := range tests { // at once: they wait for their deadlines most of the time
		job := b.object(fmt.Sprint("work-", i), test.script, test.change)
		all.Go(func() {
			one := b.another(fmt.Sprint(i))
			results[i] = one.run("runJob.sync", map[string]any{"Namespace": b.ns, "Job": job, "LogOptions": logs["LogOptions"]})
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
				t.Errorf("no job (%v), or not the reason, in the cause: %s", err, res.Cause)
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
	job := b.object("work", "true", func(job, _, _ map[string]any) { job["activeDeadlineSeconds"] = 6 })
	res := b.run("runJob.sync", map[string]any{"Namespace": b.ns, "Job": job})
	b.failure(res, "States.TaskFailed", "its pods cannot be created", "exceeded quota", "have the quota raised")
	if !strings.Contains(b.log.String(), "rayorch: waiting: its pods cannot be created") {
		t.Errorf("the log does not say what is waited for: %s", b.log.String())
	}
}
