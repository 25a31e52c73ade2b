package ways_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/compile"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/kube"
	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/ray"
	"github.com/rayorch/rayorch/internal/store"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/ekstask"
)

// place is a namespace of the real cluster with a Ray in it, and an engine.
type place struct {
	client    *kube.Client
	engine    *engine.Engine
	namespace string
	cleanup   []byte
}

// pack zips a directory as the command does.
func pack(dir string, excludes []string) ([]byte, error) {
	p, err := ray.Pack(context.Background(), dir, excludes)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return p.Bytes()
}

const machineARN = "arn:aws:states:us-east-1:123456789012:stateMachine:m"

// Resolve finds the clean-up machine of the test's pipeline.
func (p *place) Resolve(arn string) (engine.StartRequest, error) {
	return engine.StartRequest{MachineARN: arn, MachineName: "m-cleanup", Definition: p.cleanup}, nil
}

func open(t *testing.T) *place {
	t.Helper()
	cfg := kube.Config{Kubeconfig: os.Getenv("RAYORCH_TEST_KUBECONFIG")}
	client, err := kube.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := &place{client: client, namespace: os.Getenv("RAYORCH_DEV_NS")}
	runner := ekstask.New(ekstask.Config{Default: cfg})
	p.engine, err = engine.Open(t.Context(), engine.Config{Dir: t.TempDir(), Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Machines: func(*store.Store) engine.Machines { return p },
		Runners:  map[string]task.Runner{"arn:aws:states:::eks:": runner}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.engine.Close() })
	return p
}

// run is one execution.
type run struct {
	engine.Execution
	p *place
}

// start compiles a pipeline, applies its files and starts it.
func (p *place) start(t *testing.T, text, dir, way, input string) *run {
	t.Helper()
	file, err := pipeline.Decode("pipeline.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	r, err := compile.Compile(file, compile.Options{Target: "kubernetes", BaseDir: dir, Submit: way, Namespace: p.namespace,
		Claim: "data", Image: "rayorch-test/ray:2.60.0", JobImage: "local/busybox:1", Pack: pack})
	if err != nil {
		t.Fatal(err)
	}
	p.apply(t, r.Files)
	p.cleanup = r.Cleanup
	x, err := p.engine.Start(t.Context(), engine.StartRequest{MachineARN: machineARN, MachineName: "m", Definition: r.Definition,
		Input: []byte(input), Cleanup: machineARN + "-cleanup"})
	if err != nil {
		t.Fatal(err)
	}
	return &run{x, p}
}

func (p *place) apply(t *testing.T, files []compile.ConfigMap) {
	t.Helper()
	var objects []kube.Object
	for _, f := range files {
		o := map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "data": f.Data, "binaryData": f.Binary,
			"metadata": map[string]any{"name": f.Name, "namespace": p.namespace}}
		data, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		var object kube.Object
		if err := json.Unmarshal(data, &object); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, object)
	}
	if _, err := p.client.Apply(t.Context(), objects, kube.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
}

// end waits for the end of the execution.
func (r *run) end(t *testing.T) engine.Execution {
	t.Helper()
	deadline := time.Now().Add(5 * time.Minute)
	for time.Now().Before(deadline) {
		x, err := r.p.engine.Describe(r.ARN)
		if err != nil {
			t.Fatal(err)
		}
		if x.Status != engine.Running {
			return x
		}
		time.Sleep(100 * time.Millisecond)
	}
	r.dump(t)
	t.Fatal("it does not end")
	return engine.Execution{}
}

// dump writes the history into the test's log.
func (r *run) dump(t *testing.T) {
	t.Helper()
	events, err := r.p.engine.History(r.ARN, engine.HistoryQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if e.Name != "" && !strings.HasSuffix(string(e.Type), "Exited") || e.Error != "" {
			t.Logf("%d %s %s %s %.500s", e.ID, e.Type, e.Name, e.Error, e.Cause)
		}
	}
}

func (r *run) want(t *testing.T, status, has string) {
	t.Helper()
	x := r.end(t)
	got := string(x.Output)
	if x.Status != engine.Succeeded {
		got = x.Error + ": " + x.Cause
	}
	if x.Status != status || !strings.Contains(got, has) {
		r.dump(t)
		t.Fatalf("%s: %s, want %s: %s", x.Status, got, status, has)
	}
}

const head = `version: 1
name: w
storage: {path: /mnt/rayorch, claim: data}
targets: {kubernetes: {kind: kubernetes, ray: {cluster: ray}}}
`

var all = []string{"job", "proxy", "rayjob"}

// eachWay runs a pipeline by each way, all at once.
func eachWay(t *testing.T, steps, input string, check func(t *testing.T, way string, r *run)) {
	t.Helper()
	for _, way := range all {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			p := open(t)
			check(t, way, p.start(t, head+steps, t.TempDir(), way, input))
		})
	}
}

func TestOutputs(t *testing.T) {
	t.Parallel()
	eachWay(t, `
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
		r.want(t, engine.Succeeded, `"one":{"a":["$(touch /tmp/x) ' \" $$ $(RAYORCH_STEP) {% 1 %} \\ \n"]},"two":null,"three":"$(RAYORCH_STEP) $$"`)
	})
}

func TestFailure(t *testing.T) {
	t.Parallel()
	eachWay(t, `
steps: [{name: one, ray: {entrypoint: "echo the reason; exit 3"}}]
`, `{}`, func(t *testing.T, _ string, r *run) { r.want(t, engine.Failed, "the reason") })
}

func TestRetry(t *testing.T) {
	t.Parallel()
	eachWay(t, `
steps: [{name: one, ray: {entrypoint: "test $RAYORCH_ATTEMPT = 2 && echo $RAYORCH_ATTEMPT >$RAYORCH_OUTPUT"}, retry: {attempts: 2, interval: 1s}}]
`, `{}`, func(t *testing.T, _ string, r *run) { r.want(t, engine.Succeeded, `{"one":2}`) })
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	eachWay(t, `
steps: [{name: one, ray: {entrypoint: "sleep 600"}, timeout: 3s}]
`, `{}`, func(t *testing.T, _ string, r *run) {
		r.want(t, engine.Failed, "States.Timeout: the job ran longer than 3 s")
		r.quiet(t)
	})
}

func TestPending(t *testing.T) {
	t.Parallel()
	eachWay(t, `
steps: [{name: one, ray: {entrypoint: "echo never", cpus: 1000}, pendingTimeout: 8s}]
`, `{}`, func(t *testing.T, _ string, r *run) {
		r.want(t, engine.Failed, "Ray.PendingTimeout: ")
		r.quiet(t)
	})
}

func TestAbort(t *testing.T) {
	t.Parallel()
	eachWay(t, `
steps: [{name: one, ray: {entrypoint: "sleep 600"}}]
`, `{}`, func(t *testing.T, _ string, r *run) {
		r.until(t, "the job runs", func() bool { return r.running(t) == 1 })
		if _, err := r.p.engine.Stop(t.Context(), r.ARN, "", ""); err != nil {
			t.Fatal(err)
		}
		r.quiet(t)
	})
}

func TestNoRay(t *testing.T) {
	t.Parallel()
	for _, way := range all {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			p := open(t)
			text := strings.Replace(head, "cluster: ray", "cluster: nobody", 1) + `
steps: [{name: one, ray: {entrypoint: "echo never"}, pendingTimeout: 10s}]
`
			r := p.start(t, text, t.TempDir(), way, "{}")
			want := map[string]string{"job": "Ray.Unreachable", "proxy": "Ray.Unreachable", "rayjob": "Ray.PendingTimeout"}[way]
			r.want(t, engine.Failed, want)
			r.quiet(t)
		})
	}
}

// prefix is what the ids of the execution's jobs start with.
func (r *run) prefix() string {
	sum := sha256.Sum256([]byte(r.ARN))
	return "r" + hex.EncodeToString(sum[:])[:12]
}

// running counts the jobs of the execution that run in Ray.
func (r *run) running(t *testing.T) int {
	t.Helper()
	answer, err := r.p.client.Do(t.Context(), kube.Request{Method: "GET",
		Path: "/api/v1/namespaces/" + r.p.namespace + "/services/ray-head-svc:8265/proxy/api/jobs/"})
	if err != nil {
		t.Fatal(err)
	}
	var jobs []ray.Job
	if err := json.Unmarshal(answer.Body, &jobs); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, job := range jobs {
		if strings.HasPrefix(job.SubmissionID, r.prefix()) && !job.Status.Terminal() {
			n++
		}
	}
	return n
}

// objects counts the objects of a kind that the execution left and that are not done with.
func (r *run) objects(t *testing.T, path string) int {
	t.Helper()
	answer, err := r.p.client.Do(t.Context(), kube.Request{Method: "GET", Path: path, Query: url.Values{"labelSelector": {"rayorch.dev/execution=" + r.prefix()}}})
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Items []struct{ Status struct{ Phase, CompletionTime string } }
	}
	if err := json.Unmarshal(answer.Body, &list); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, item := range list.Items {
		if item.Status.Phase != "Succeeded" && item.Status.Phase != "Failed" && item.Status.CompletionTime == "" {
			n++
		}
	}
	return n
}

// quiet waits until nothing of the execution runs any more.
func (r *run) quiet(t *testing.T) {
	t.Helper()
	ns := "/namespaces/" + r.p.namespace + "/"
	r.until(t, "nothing is left", func() bool {
		return r.running(t) == 0 && r.objects(t, "/api/v1"+ns+"pods") == 0 && r.objects(t, "/apis/batch/v1"+ns+"jobs") == 0 &&
			r.objects(t, "/apis/ray.io/v1"+ns+"rayjobs") == 0
	})
}

func (r *run) until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !done(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.dump(t)
			t.Fatalf("still waiting until %s", what)
		}
	}
}

func TestShakespeare(t *testing.T) {
	dir, err := filepath.Abs("../../examples/shakespeare")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "pipeline.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, way := range []string{"job", "proxy", "rayjob"} {
		t.Run(way, func(t *testing.T) {
			p := open(t)
			r := p.start(t, string(text), dir, way, `{"steps": 5, "length": 20, "batch": 64}`)
			r.want(t, engine.Succeeded, "texts")
		})
	}
}
