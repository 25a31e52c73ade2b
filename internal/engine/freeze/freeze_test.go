package freeze_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/freeze"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/policy"
	"github.com/rayorch/rayorch/internal/task/snapshot"
)

const machine = "arn:aws:states:us-east-1:123456789012:stateMachine:m"

// world has directories with code, and a freezer.
type world struct {
	freezer *freeze.Freezer
	ray     string // the directory of a Ray job, in a branch and in a Map
	process string // the directory of a plain job
	named   string // a directory that the definition does not name
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dirs := [3]string{}
	for i := range dirs {
		dirs[i] = t.TempDir()
		if err := os.WriteFile(filepath.Join(dirs[i], "main.py"), fmt.Append(nil, "print(", i, ")\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &world{freezer: freeze.New(t.TempDir(), policy.Policy{}), ray: dirs[0], process: dirs[1], named: dirs[2]}
}

func (w *world) definition() []byte {
	return fmt.Appendf(nil, `{"StartAt":"A","States":{
		"A":{"Type":"Parallel","Next":"B","Branches":[{"StartAt":"R","States":{"R":{"Type":"Task","Resource":%q,"Parameters":{"WorkingDir":%q},"End":true}}}]},
		"B":{"Type":"Map","End":true,"ItemProcessor":{"StartAt":"S","States":{"S":{"Type":"Task","Resource":%q,"Arguments":{"WorkingDir":%q},"Next":"T"},
		"T":{"Type":"Task","Resource":%q,"Arguments":{"Dir":%q,"Snapshot":{}},"End":true}}}}}}`,
		stepfn.RaySubmitJob, w.ray, stepfn.RaySubmitJob, w.ray, stepfn.ProcessRun, w.process)
}

// paths returns the paths of the sources, and checks that they have packages.
func paths(t *testing.T, all []snapshot.Snapshot) (out []string) {
	t.Helper()
	for _, s := range all {
		if s.Package == "" || s.Bytes == 0 {
			t.Errorf("%s has the package %q of %d bytes", s.Path, s.Package, s.Bytes)
		}
		out = append(out, s.Path)
	}
	return out
}

// Prepare packs the directories that the definition names, each once, and those that were added before the start. For an execution that
// was started over the network, it packs only directories that the execution is allowed to use.
func TestPrepare(t *testing.T) {
	w := newWorld(t)
	for _, tc := range []struct {
		name   string
		named  []snapshot.Source
		origin string
		want   []string
	}{
		{"started by the owner", nil, "", []string{w.ray, w.process}},
		{"with an added source", []snapshot.Source{{Path: w.named}}, "", []string{w.named, w.ray, w.process}},
		{"definition from the network", nil, task.NetworkDefinition, []string{w.process}}, // the command of the process can read any directory anyway
		{"input from the network", nil, task.NetworkInput, []string{w.ray, w.process}},    // the owner's definition names both
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := engine.StartRequest{Definition: w.definition()}
			if tc.origin != "" {
				r.Labels = task.WithLabel(nil, task.OriginLabel, tc.origin)
			}
			if err := w.freezer.AddSources("arn", tc.named); err != nil {
				t.Fatal(err)
			}
			if err := w.freezer.Prepare(t.Context(), "arn", &r); err != nil {
				t.Fatal(err)
			}
			all, err := snapshot.Decode(r.Labels[snapshot.Label])
			if diff := cmp.Diff(tc.want, paths(t, all)); diff != "" || err != nil {
				t.Errorf("packed (%v):\n%s", err, diff)
			}
		})
	}
	if err := w.freezer.AddSources("arn", []snapshot.Source{{Path: "relative"}}); err == nil {
		t.Error("a relative path was accepted, whose meaning depends on the process")
	}
	r := engine.StartRequest{Definition: []byte(`{"StartAt":"P","States":{"P":{"Type":"Pass","End":true}}}`)}
	if err := w.freezer.Prepare(t.Context(), "arn", &r); err != nil || r.Labels != nil {
		t.Errorf("a definition without code has the labels %v, %v", r.Labels, err)
	}
}

// Users returns the executions that use a package, except those whose code was released.
func TestUsers(t *testing.T) {
	w := newWorld(t)
	eng, err := engine.Open(t.Context(), engine.Config{
		Dir: "state", FS: vfs.NewMem(), Logger: slog.New(slog.DiscardHandler), Prepare: w.freezer.Prepare,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = eng.Close() }()
	w.freezer.SetEngine(eng)
	definition := fmt.Appendf(nil, `{"StartAt":"P","States":{"P":{"Type":"Succeed"},"R":{"Type":"Task","Resource":%q,"Parameters":{"WorkingDir":%q},"End":true}}}`,
		stepfn.RaySubmitJob, w.ray)
	var arns []string
	for _, name := range []string{"one", "two"} {
		x, err := eng.Start(t.Context(), engine.StartRequest{MachineARN: machine, Name: name, Definition: definition, Input: json.RawMessage(`{}`)})
		if err != nil {
			t.Fatal(err)
		}
		arns = append(arns, x.ARN)
	}
	code, err := w.freezer.Code(arns[0])
	if diff := cmp.Diff([]string{w.ray}, paths(t, code)); diff != "" || err != nil {
		t.Fatalf("the code (%v):\n%s", err, diff)
	}
	uses := func(want ...string) {
		t.Helper()
		users, err := w.freezer.Users()
		if err != nil || len(users[code[0].Package]) != len(want) || len(want) > 0 && users[code[0].Package][len(want)-1] != want[len(want)-1] {
			t.Errorf("the users are %v (%v), want %v", users, err, want)
		}
	}
	uses(arns[1], arns[0])
	if err := w.freezer.Store.Release(arns[0], time.Now()); err != nil {
		t.Fatal(err)
	}
	uses(arns[1])
}
