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
	"github.com/rayorch/rayorch/internal/engine/snapshot"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/policy"
)

const machine = "arn:aws:states:us-east-1:123456789012:stateMachine:m"

// world has directories with code and a freezer of a state directory.
type world struct {
	freezer *freeze.Freezer
	ray     string // of a Ray job, in a branch and in a Map
	process string // of a plain job
	named   string // which no definition names
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

// paths are the sources of an execution's code.
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

// TestPrepare packs what the definition names, each directory once, and what was named before the start. An execution that came over the
// network gets only what it may use.
func TestPrepare(t *testing.T) {
	w := newWorld(t)
	for _, tc := range []struct {
		name   string
		named  []snapshot.Source
		origin string
		want   []string
	}{
		{"the owner's", nil, "", []string{w.ray, w.process}},
		{"with what was named", []snapshot.Source{{Path: w.named}}, "", []string{w.named, w.ray, w.process}},
		{"the definition of the network", nil, task.NetworkDefinition, []string{w.process}}, // its command can read every directory anyway
		{"the input of the network", nil, task.NetworkInput, []string{w.ray, w.process}},    // the owner's definition names both
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := engine.StartRequest{Definition: w.definition()}
			if tc.origin != "" {
				r.Labels = task.WithLabel(nil, task.OriginLabel, tc.origin)
			}
			if err := w.freezer.Name("arn", tc.named); err != nil {
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
	if err := w.freezer.Name("arn", []snapshot.Source{{Path: "relative"}}); err == nil {
		t.Error("a relative path was accepted: it means another directory in another process")
	}
	r := engine.StartRequest{Definition: []byte(`{"StartAt":"P","States":{"P":{"Type":"Pass","End":true}}}`)}
	if err := w.freezer.Prepare(t.Context(), "arn", &r); err != nil || r.Labels != nil {
		t.Errorf("a definition without code has the labels %v, %v", r.Labels, err)
	}
}

// TestUsers lists the executions that use a package until clean has released their code; a start after that uses it again.
func TestUsers(t *testing.T) {
	w := newWorld(t)
	eng, err := engine.Open(t.Context(), engine.Config{
		Dir: "state", FS: vfs.NewMem(), Logger: slog.New(slog.DiscardHandler), Prepare: w.freezer.Prepare,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = eng.Close() }()
	w.freezer.Of(eng)
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
