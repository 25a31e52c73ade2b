// Package modes_test compiles pipelines in each submission mode and runs them with the engine on a real Kubernetes with a real Ray. It
// checks the outputs and errors of steps, and that no objects are left behind.
package modes_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/ekstask"
)

// fixture is an engine with the shared namespace.
type fixture struct {
	*shared
	engine  *engine.Engine
	cleanup []byte // definition of the cleanup machine
}

// pack zips a directory like the command does.
func pack(dir string, excludes []string) ([]byte, error) {
	p, err := ray.Pack(context.Background(), dir, excludes)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return p.Bytes()
}

const machineARN = "arn:aws:states:us-east-1:123456789012:stateMachine:m"

// Resolve returns the cleanup machine of the test's pipeline. It makes a fixture an engine.Machines.
func (p *fixture) Resolve(arn string) (engine.StartRequest, error) {
	return engine.StartRequest{MachineARN: arn, MachineName: "m-cleanup", Definition: p.cleanup}, nil
}

// shared is a Kubernetes namespace with a Ray, which several tests share.
type shared struct {
	*clustertest.Cluster
	namespace, image string
	claim            clustertest.Claim
}

// newShared creates a namespace with a Ray, or skips the test without a cluster.
func newShared(t *testing.T) *shared {
	t.Helper()
	w := &shared{Cluster: clustertest.Start(t)}
	w.namespace, w.image = w.Restricted(t), w.RayImage(t)
	w.claim = w.Claim(t, w.namespace)
	w.RayCluster(t, w.namespace, clustertest.RayOptions{Name: "ray", Claim: w.claim.Name, NoWorker: true})
	return w
}

// needsFull skips a test that only make test-kubernetes runs.
func needsFull(t *testing.T) {
	t.Helper()
	if os.Getenv("RAYORCH_TEST_KUBERNETES") != "all" {
		t.Skip("SKIPPED: runs only with RAYORCH_TEST_KUBERNETES=all (make test-kubernetes)")
	}
}

// open starts an engine for a test.
func (w *shared) open(t *testing.T) *fixture {
	t.Helper()
	p := &fixture{shared: w}
	runner := ekstask.New(ekstask.Config{Default: kube.Config{Kubeconfig: w.Kubeconfig}})
	var err error
	p.engine, err = engine.Open(t.Context(), engine.Config{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler),
		Machines: func(*store.Store) engine.Machines { return p },
		Runners:  map[string]task.Runner{"arn:aws:states:::eks:": runner}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { runner.Close(); _ = p.engine.Close() })
	return p
}

// run is an execution of the test.
type run struct {
	engine.Execution
	p *fixture
}

// start compiles a pipeline, applies the ConfigMaps with its files, and starts it.
func (p *fixture) start(t *testing.T, text, dir, mode, input string) *run {
	t.Helper()
	file, err := pipeline.Decode("pipeline.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	r, err := compile.Compile(file, compile.Options{Target: "kubernetes", BaseDir: dir, Submit: mode, Namespace: p.namespace,
		Image: p.image, JobImage: p.Busybox(), Pack: pack})
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

// apply creates the ConfigMaps of a compiled pipeline.
func (p *fixture) apply(t *testing.T, files []compile.ConfigMap) {
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
	if _, err := p.Client.Apply(t.Context(), objects, kube.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
}

// end waits for the end of the execution.
func (r *run) end(t *testing.T) (x engine.Execution) {
	t.Helper()
	r.until(t, "the end", func() (err error) {
		if x, err = r.p.engine.Describe(r.ARN); err == nil && x.Status == stepfn.Running {
			err = errors.New("the execution is RUNNING")
		}
		return err
	})
	return x
}

// dump writes the history to the log of the test.
func (r *run) dump(t *testing.T) {
	t.Helper()
	events, err := r.p.engine.History(r.ARN, engine.HistoryQuery{Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if e.Name != "" && !strings.HasSuffix(string(e.Type), "Exited") || e.Error != "" || len(e.AssignedVariables) > 0 {
			t.Logf("%d %s %s %s %.500s %.300s", e.ID, e.Type, e.Name, e.Error, e.Cause, e.AssignedVariables)
		}
	}
}

// differs waits for the end of the execution and returns how it differs from the expected end, or "". has are texts that the output, or the
// error and its cause, must contain.
func (r *run) differs(t *testing.T, status stepfn.Status, has ...string) string {
	t.Helper()
	x := r.end(t)
	got := string(x.Output)
	if x.Status != stepfn.Succeeded {
		got = x.Error + ": " + x.Cause
	}
	for _, text := range has {
		if x.Status != status || !strings.Contains(got, text) {
			return fmt.Sprintf("%s: %s, want %s: %s", x.Status, got, status, text)
		}
	}
	return ""
}

// want fails the test if the execution does not end as expected. See differs.
func (r *run) want(t *testing.T, status stepfn.Status, has ...string) {
	t.Helper()
	if text := r.differs(t, status, has...); text != "" {
		r.dump(t)
		t.Fatal(text)
	}
}

// withGrowingLimit starts a run whose step has a limit of the given number of seconds. While the run does not end as expected, it starts
// another one with a four times longer limit, because a busy machine can take minutes to reach the expected state. The last run
// counts. With 0 seconds, for steps without a limit, it starts only one run. LIMIT in the expected texts stands for the seconds.
func withGrowingLimit(t *testing.T, seconds int, start func(seconds int) *run, status stepfn.Status, has ...string) *run {
	t.Helper()
	for ; ; seconds *= 4 {
		r, want := start(seconds), make([]string, len(has))
		for i, text := range has {
			want[i] = limited(text, seconds)
		}
		text := r.differs(t, status, want...)
		if text == "" {
			return r
		}
		if seconds == 0 || seconds > 60 {
			r.dump(t)
			t.Fatal(text)
		}
		t.Logf("with a limit of %d s: %s", seconds, text)
	}
}

// limited replaces LIMIT in a text by the seconds.
func limited(text string, seconds int) string {
	return strings.ReplaceAll(text, "LIMIT", strconv.Itoa(seconds))
}

// prefix returns the prefix of the ids of the execution's jobs.
func (r *run) prefix() string {
	sum := sha256.Sum256([]byte(r.ARN))
	return "r" + hex.EncodeToString(sum[:])[:12]
}

// running counts the jobs of the execution that run in Ray.
func (r *run) running(t *testing.T) (n int, err error) {
	t.Helper()
	answer, err := r.p.Do(t.Context(), kube.Request{Method: "GET",
		Path: "/api/v1/namespaces/" + r.p.namespace + "/services/ray-head-svc:8265/proxy/api/jobs/"})
	if err != nil {
		return 0, err
	}
	var jobs []ray.Job
	if err := json.Unmarshal(answer.Body, &jobs); err != nil {
		return 0, err
	}
	for _, job := range jobs {
		if strings.HasPrefix(job.SubmissionID, r.prefix()) && !job.Status.Terminal() {
			n++
		}
	}
	return n, nil
}

// list returns the objects of a kind that belong to the execution.
func (r *run) list(t *testing.T, path string) []kube.Object {
	t.Helper()
	answer, err := r.p.Do(t.Context(), kube.Request{Path: path, Query: url.Values{"labelSelector": {"rayorch.dev/execution=" + r.prefix()}}})
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Items []kube.Object }
	if err := json.Unmarshal(answer.Body, &list); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// objects returns the names of the objects of a kind that belong to the execution and have not ended.
func (r *run) objects(t *testing.T, path string) (names []string) {
	t.Helper()
	for _, o := range r.list(t, path) {
		phase := kube.Field(o, "status", "phase")
		if phase != "Succeeded" && phase != "Failed" && kube.Field(o, "status", "completionTime") == nil {
			names = append(names, kube.Name(o))
		}
	}
	return names
}

// quiet waits until no object and no Ray job of the execution runs.
func (r *run) quiet(t *testing.T) {
	t.Helper()
	r.gone(t)
	r.until(t, "an idle Ray", func() error {
		n, err := r.running(t)
		if n > 0 {
			err = fmt.Errorf("%d jobs still run on Ray", n)
		}
		return err
	})
}

// gone waits until all objects of the execution have ended or are deleted.
func (r *run) gone(t *testing.T) {
	t.Helper()
	ns := "/namespaces/" + r.p.namespace + "/"
	r.until(t, "the end of all objects", func() error {
		pods, jobs, rayJobs := r.objects(t, "/api/v1"+ns+"pods"), r.objects(t, "/apis/batch/v1"+ns+"jobs"), r.objects(t, "/apis/ray.io/v1"+ns+"rayjobs")
		if len(pods)+len(jobs)+len(rayJobs) > 0 {
			return fmt.Errorf("still running: pods %v, Jobs %v, RayJobs %v", pods, jobs, rayJobs)
		}
		return nil
	})
}

// until waits until check returns nil, like clustertest.Until. If it fails, it also shows the history.
func (r *run) until(t *testing.T, what string, check func() error) {
	t.Helper()
	ok := false
	defer func() {
		if !ok {
			r.dump(t)
		}
	}()
	clustertest.Until(clustertest.Context(t), t, what, check)
	ok = true
}
