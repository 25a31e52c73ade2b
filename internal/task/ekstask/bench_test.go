package ekstask_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/ekstask"
	"github.com/rayorch/rayorch/internal/task/tasktest"
)

const prefix = "arn:aws:states:::eks:"

// bench is a Runner for one attempt in its own namespace. It acts as the engine: it stores records, reports and the log, which a
// second run of the attempt gets.
type bench struct {
	t         *testing.T
	cluster   *clustertest.Cluster
	ns        string
	id        string // distinguishes several attempts in a namespace
	cfg       ekstask.Config
	runner    *ekstask.Runner
	mu        sync.Mutex
	records   map[string][]byte
	submitted [][]byte
	reported  string
	pending   string
	log       tasktest.Log
}

// newBench returns a bench for a test that runs in parallel with others.
func newBench(t *testing.T) *bench {
	t.Helper()
	c := clustertest.Start(t)
	t.Parallel()
	return benchOn(t, c)
}

// benchOn returns a bench for a test that disturbs the cluster. The test does not run in parallel with others.
func benchOn(t *testing.T, c *clustertest.Cluster) *bench {
	t.Helper()
	b := &bench{t: t, cluster: c, ns: c.Namespace(t), records: map[string][]byte{}}
	b.cfg = ekstask.Config{Default: kube.Config{Kubeconfig: c.Kubeconfig}, CallGrace: 5 * time.Minute}
	b.start()
	return b
}

// start creates a Runner, as a new rayorch process does.
func (b *bench) start() { b.runner = ekstask.New(b.cfg) }

// another returns a bench for another attempt in the same namespace.
func (b *bench) another(id string) *bench {
	return &bench{t: b.t, cluster: b.cluster, ns: b.ns, id: id, cfg: b.cfg, runner: b.runner, records: map[string][]byte{}}
}

// request returns the request of the attempt, with the records that were stored before.
func (b *bench) request(resource string, args map[string]any) *task.Request {
	b.t.Helper()
	input, err := json.Marshal(args)
	if err != nil {
		b.t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return &task.Request{
		ID: "1/" + b.ns + b.id, Execution: "arn:execution:" + b.ns, State: "State", Attempt: 1, Resource: prefix + resource, Input: input,
		Resumed: len(b.records) > 0, Records: maps.Clone(b.records), Log: &b.log,
		Keep: func(key string, record []byte) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.records[key] = record
			return nil
		},
		Report: func(text string) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.reported = text
		},
		Pending: func(reason string, since time.Time) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.pending = reason; reason != "" && since.IsZero() {
				b.t.Error("Pending was called without a time")
			}
		},
		Submitted: func(output []byte) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.submitted = append(b.submitted, output)
			return nil
		},
	}
}

// run runs the attempt and waits for its result.
func (b *bench) run(resource string, args map[string]any) task.Result {
	b.t.Helper()
	return b.runner.Run(clustertest.Context(b.t), b.request(resource, args))
}

// begin starts the attempt of a Job in the background. end ends its context with a cause and waits for its result.
func (b *bench) begin(args map[string]any) (ended <-chan task.Result, end func(cause error) task.Result) {
	b.t.Helper()
	req := b.request("runJob.sync", args)
	ctx, cancel := context.WithCancelCause(clustertest.Context(b.t))
	done := make(chan task.Result, 1)
	go func() { done <- b.runner.Run(ctx, req) }()
	return done, func(cause error) task.Result {
		cancel(cause)
		return <-done
	}
}

// job returns arguments with a Job of one container that runs a script.
func (b *bench) job(script string, more map[string]any) map[string]any {
	args := map[string]any{"Namespace": b.ns, "Job": b.object("work", script, nil)}
	maps.Copy(args, more)
	return args
}

// object returns a Job of one container that runs a script. change can modify the specs of the Job, its pod and its container.
func (b *bench) object(name, script string, change func(job, pod, container map[string]any)) map[string]any {
	container := map[string]any{
		"name": "main", "image": b.cluster.Busybox(), "command": []any{"sh", "-c", script},
	}
	pod := map[string]any{
		"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": []any{container},
	}
	spec := map[string]any{"backoffLimit": 0, "template": map[string]any{"spec": pod}}
	job := map[string]any{
		"apiVersion": "batch/v1", "kind": "Job", "metadata": map[string]any{"name": name}, "spec": spec,
	}
	if change != nil {
		change(spec, pod, container)
	}
	return job
}

// logs are arguments that retrieve the logs.
var logs = map[string]any{"LogOptions": map[string]any{"RetrieveLogs": true}}

// output decodes the output of a successful result.
func (b *bench) output(res task.Result) map[string]any {
	b.t.Helper()
	if res.Error != "" {
		b.t.Fatalf("failed: %s: %s", res.Error, res.Cause)
	}
	var o map[string]any
	if err := json.Unmarshal(res.Output, &o); err != nil {
		b.t.Fatal(err)
	}
	return o
}

// failure checks that an attempt failed with this error name, and that the cause contains all texts.
func (b *bench) failure(res task.Result, name string, texts ...string) {
	b.t.Helper()
	if res.Error != name {
		b.t.Errorf("got error %q, want %q; cause %s, output %.500s", res.Error, name, res.Cause, res.Output)
	}
	for _, text := range texts {
		if !strings.Contains(res.Cause, text) {
			b.t.Errorf("got cause %s, want one that contains %q", res.Cause, text)
		}
	}
}

// logOf returns the log of the only container of the only pod in a result.
func (b *bench) logOf(o map[string]any) any {
	b.t.Helper()
	pods, _ := kube.Field(o, "logs", "pods").(map[string]any)
	if len(pods) != 1 {
		b.t.Fatalf("got logs %v, want those of one pod", o["logs"])
	}
	for _, pod := range pods {
		return kube.Field(pod.(map[string]any), "containers", "main", "log")
	}
	return nil
}

// jobs returns the Jobs in the namespace.
func (b *bench) jobs() []kube.Meta {
	b.t.Helper()
	var list struct {
		Items []struct{ Metadata kube.Meta }
	}
	res, err := b.cluster.Do(clustertest.Context(b.t), kube.Request{Path: kube.JobsPath(b.ns)})
	if err == nil {
		err = json.Unmarshal(res.Body, &list)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	var all []kube.Meta
	for _, j := range list.Items {
		all = append(all, j.Metadata)
	}
	return all
}

// awaitLog waits until the live log contains a text.
func (b *bench) awaitLog(text string) {
	b.t.Helper()
	clustertest.Until(clustertest.Context(b.t), b.t, "the log "+text, func() error {
		if now := b.log.String(); !strings.Contains(now, text) {
			return fmt.Errorf("it is %q", now)
		}
		return nil
	})
}

// nothingLeft checks that no Job exists and no pod runs. Pods that have ended may still exist for a short time.
func (b *bench) nothingLeft() {
	b.t.Helper()
	if err := b.left(); err != nil {
		b.t.Error(err)
	}
}

// left returns an error that lists existing Jobs and running pods, or nil if there are none.
func (b *bench) left() error {
	b.t.Helper()
	if left := b.jobs(); len(left) > 0 {
		return fmt.Errorf("jobs still exist: %v", left)
	}
	pods, err := b.cluster.Pods(clustertest.Context(b.t), b.ns, nil)
	for _, p := range pods {
		if phase := p.Status.Phase; phase != "Succeeded" && phase != "Failed" {
			err = errors.Join(err, fmt.Errorf("the pod %s is %s", p.Metadata.Name, phase))
		}
	}
	return err
}

// blockingScript is a script that prints a line and waits until unblock is called.
const blockingScript = "echo begun; nc -l -p 8080 -e true; echo done"

// unblock ends the wait of the script in the only pod by connecting to it.
func (b *bench) unblock() {
	b.t.Helper()
	ctx := clustertest.Context(b.t)
	clustertest.Until(ctx, b.t, "the end of the container", func() error {
		pods, err := b.cluster.Pods(ctx, b.ns, nil)
		if err != nil || len(pods) != 1 {
			return fmt.Errorf("there are %d pods, want 1: %w", len(pods), err)
		}
		for _, s := range pods[0].Containers() {
			if s.State.Terminated != nil {
				return nil
			}
		}
		_, err = b.cluster.Do(ctx, kube.Request{Path: kube.ObjectPath("v1", b.ns, "pods", pods[0].Metadata.Name+":8080") + "/proxy/"})
		return fmt.Errorf("the container still runs; the request returned %w", err) // an error, because nc is not a web server
	})
}

// containerLines removes the notes about pending pods from a log, which rayorch adds if the cluster is busy.
func containerLines(log string) string {
	var b strings.Builder
	for line := range strings.Lines(log) {
		if !strings.HasPrefix(line, "rayorch: waiting: ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// newRunnerWithoutCluster returns a Runner whose only cluster is unreachable. token returns the credentials or an error.
func newRunnerWithoutCluster(token func(context.Context, string, string) (string, error)) *ekstask.Runner {
	return ekstask.New(ekstask.Config{CallGrace: time.Millisecond, Token: token, Default: kube.Config{
		Endpoint: "https://127.0.0.1:1", Token: func(ctx context.Context) (string, error) { return token(ctx, "", "") },
	}})
}
