package ways_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
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
