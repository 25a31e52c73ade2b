package kubernetes_test

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/ekstask"
)

// published measures what the published module does: for each Ray step, a container installs Ray with pip and then runs Ray's own client,
// and a state machine polls the Job once a minute. The pods cannot reach a package index, so they sleep for RAYORCH_BENCH_PIP seconds
// (default: 23) instead of running pip.
func (b *bench) published(t *testing.T) (first, over time.Duration) {
	t.Helper()
	pip, err := strconv.ParseFloat(cmp.Or(os.Getenv("RAYORCH_BENCH_PIP"), "23"), 64)
	if err != nil {
		t.Fatal(err)
	}
	definition := fmt.Sprintf(`{"StartAt": "Train", "States": {%s, %s, "Done": {"Type": "Succeed"}}}`,
		b.minutely(t, "Train", "Infer", pip, fmt.Sprintf("date +%%s.%%N > /data/published; sleep %d", trainSeconds)),
		b.minutely(t, "Infer", "Done", pip, "true"))
	eng, err := engine.Open(t.Context(), engine.Config{
		Dir: t.TempDir(), Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Runners: map[string]task.Runner{ekstask.Prefixes[0]: ekstask.New(ekstask.Config{Default: kube.Config{Kubeconfig: b.c.Kubeconfig}})},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = eng.Close() }()
	x, err := eng.Start(t.Context(), engine.StartRequest{
		MachineARN: "arn:aws:states:us-east-1:123456789012:stateMachine:published", MachineName: "published", Definition: []byte(definition), Input: []byte("{}"),
	})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	clustertest.Until(t.Context(), t, "the end of the published module's execution", func() error {
		if x, err = eng.Describe(x.ARN); err == nil && x.Status == stepfn.Running {
			err = clustertest.ErrNotYet
		}
		return err
	})
	if x.Status != stepfn.Succeeded {
		t.Fatalf("status %s, error %s, cause %s, want SUCCEEDED\n%s", x.Status, x.Error, x.Cause, b.podLogs(t))
	}
	first = b.stamp(t, "published").Sub(began)
	over = b.job(t, "published-infer").start().Sub(b.job(t, "published-train").end())
	t.Logf("published: first line after %.2f s, hand-over %.2f s", first.Seconds(), over.Seconds())
	return first, over
}

// podLogs returns the logs of the submitters, to show why one failed.
func (b *bench) podLogs(t *testing.T) string {
	ctx, text := clustertest.Context(t), ""
	for _, name := range []string{"published-train", "published-infer"} {
		pods, err := b.c.Pods(ctx, b.namespace, map[string]string{"job-name": name})
		if err != nil {
			return err.Error()
		}
		for _, p := range pods {
			log, err := b.c.PodLog(ctx, b.namespace, p.Metadata.Name, "submit", kube.LogOptions{})
			if err != nil {
				return err.Error()
			}
			all, _ := io.ReadAll(log) // a partial log is sufficient
			_ = log.Close()
			text += name + ":\n" + string(all)
		}
	}
	return text
}

// minutely returns the states of one step, which create the Job and poll it once a minute until it is complete.
func (b *bench) minutely(t *testing.T, state, next string, pip float64, command string) string {
	name := "published-" + map[string]string{"Train": "train", "Infer": "infer"}[state]
	script := fmt.Sprintf("sleep %g; exec ray job submit --address http://%s:8265 --submission-id %s -- sh -c %s",
		pip, b.ray.Head, name, strconv.Quote(command))
	return fmt.Sprintf(`
%[1]q: {"Type": "Task", "Resource": "arn:aws:states:::eks:runJob", "Next": "Wait %[1]s", "Parameters": {"Namespace": %[2]q, "Job": {
  "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": %[3]q}, "spec": {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never",
  "containers": [{"name": "submit", "image": %[4]q, "command": ["bash", "-c", %[5]q]}]}}}}}},
"Wait %[1]s": {"Type": "Wait", "Seconds": 60, "Next": "Ask %[1]s"},
"Ask %[1]s": {"Type": "Task", "Resource": "arn:aws:states:::eks:call", "Next": "See %[1]s", "Parameters": {"Method": "GET",
  "Path": "/apis/batch/v1/namespaces/%[2]s/jobs/%[3]s"}},
"See %[1]s": {"Type": "Choice", "Choices": [{"Variable": "$.ResponseBody.status.succeeded", "IsPresent": true, "Next": %[6]q},
  {"Variable": "$.ResponseBody.status.failed", "IsPresent": true, "Next": "Failed %[1]s"}], "Default": "Wait %[1]s"},
"Failed %[1]s": {"Type": "Fail", "Error": "Failed"}`, state, b.namespace, name, b.c.RayImage(t), script, next)
}
