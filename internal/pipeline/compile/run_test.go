package compile_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/asl/check"
	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// ran is the result of a run of a definition.
type ran struct {
	interp.Head
	calls  []*value.Object // the tasks' inputs, in order, with State and Resource
	logs   string
	events []history.Event
}

// decode decodes a pipeline, in which lines may be indented with tabs.
func decode(t *testing.T, text string) *pipeline.Pipeline {
	t.Helper()
	p, err := pipeline.Decode("pipeline.yaml", []byte(strings.ReplaceAll(text, "\t", "  ")))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func build(t *testing.T, text string, o compile.Options) *compile.Result {
	t.Helper()
	if o.BaseDir == "" {
		o.BaseDir = t.TempDir()
	}
	if o.StorageDir == "" {
		o.StorageDir = t.TempDir()
	}
	r, err := compile.Compile(decode(t, text), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, definition := range [][]byte{r.Definition, r.Cleanup} {
		for _, d := range check.Definition(string(definition), false).Problems {
			t.Errorf("the definition is not valid: %+v", d)
		}
	}
	return r
}

// run runs a pipeline's definition with the interpreter. A real sh on this machine runs its tasks.
func run(t *testing.T, text, input string) ran {
	t.Helper()
	return execute(t, build(t, text, compile.Options{}).Definition, input)
}

func execute(t *testing.T, definition []byte, input string) ran {
	t.Helper()
	m, err := asl.Parse(definition)
	if err != nil {
		t.Fatalf("%v\n%s", err, definition)
	}
	now := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	r := interp.New(interp.Params{ExecutionARN: "arn:aws:states:us-east-1:123456789012:execution:p:" + t.Name(),
		Name: "run1", MachineARN: "arn:aws:states:us-east-1:123456789012:stateMachine:p", MachineName: "p",
		Input: []byte(input), StartTime: now, Seed: 1}, m)
	out := ran{}
	facts := []interp.Fact{interp.Start{}}
	for range 10_000 {
		var f interp.Fact = interp.Wake{}
		if len(facts) > 0 {
			f, facts = facts[0], facts[1:]
		}
		d, err := r.Apply(f, now)
		if err != nil {
			t.Fatal(err)
		}
		out.events = append(out.events, d.Events...)
		for _, task := range d.Tasks {
			facts = append(facts, out.act(t, task))
		}
		if d.More {
			facts = append([]interp.Fact{interp.Continue{}}, facts...)
		}
		if d.Closed {
			out.Head = r.Head()
			return out
		}
		if len(facts) == 0 && d.Wake.After(now) {
			now = d.Wake
		}
	}
	t.Fatalf("the run does not end: %+v", r.Head())
	return out
}

// act runs a task with sh, as the task runners do, and returns its result.
func (r *ran) act(t *testing.T, task interp.Task) interp.Fact {
	t.Helper()
	in, err := value.ParseObject(task.Input)
	if err != nil {
		t.Fatal(err)
	}
	r.calls = append(r.calls, in.With("State", task.State).With("Resource", task.Resource))
	shell, env, failure := get(in, "Shell"), get(in, "Environment"), "Job.Failed"
	if strings.Contains(task.Resource, "ray:") {
		shell, env, failure = get(in, "Entrypoint"), get(in, "RuntimeEnv", "env_vars"), "Ray.JobFailed"
	}
	cmd := exec.Command("sh", "-c", shell.(string))
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), environ(t, env)...)
	log, err := cmd.CombinedOutput()
	r.logs += string(log)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return interp.TaskEnded{Task: task.ID, Error: failure, Cause: fmt.Sprintf("exit %d: %s", exit.ExitCode(), log)}
	case err != nil:
		t.Fatal(err)
	}
	return interp.TaskEnded{Task: task.ID, Output: value.Bytes(value.Obj("Status", "SUCCEEDED", "Output", marked(t, log)))}
}

// marked returns the JSON value on the last marked line, or null.
func marked(t *testing.T, log []byte) any {
	t.Helper()
	lines := bytes.Split(bytes.TrimSpace(log), []byte("\n"))
	text, ok := bytes.CutPrefix(lines[len(lines)-1], []byte(compile.OutputMark))
	if !ok {
		return nil
	}
	v, err := value.Parse(text)
	if err != nil {
		t.Fatalf("the marked line is not valid JSON: %v: %s", err, text)
	}
	return v
}

func environ(t *testing.T, env any) []string {
	t.Helper()
	o, ok := env.(*value.Object)
	if !ok {
		t.Fatalf("the environment is %v", env)
	}
	var out []string
	for i := range o.Len() {
		k, v := o.At(i)
		text, ok := v.(string)
		if !ok {
			t.Fatalf("the environment variable %s is %v, want a string", k, v)
		}
		out = append(out, k+"="+text)
	}
	return out
}

// get returns the value at a path of objects, or nil.
func get(v any, path ...string) any {
	for _, k := range path {
		o, _ := v.(*value.Object)
		v, _ = o.Get(k)
	}
	return v
}

// output returns the last output of a state, or nil.
func (r *ran) output(t *testing.T, state string) any {
	t.Helper()
	var out any
	for _, e := range r.events {
		if strings.HasSuffix(string(e.Type), "StateExited") && e.Name == state {
			v, err := value.Parse(e.Output)
			if err != nil {
				t.Fatal(err)
			}
			out = v
		}
	}
	return out
}

// wantOutput fails the test unless the run succeeded with this JSON.
func (r *ran) wantOutput(t *testing.T, want string) {
	t.Helper()
	w, err := value.Parse([]byte(want))
	if err != nil {
		t.Fatal(err)
	}
	got, err := value.Parse(r.Output)
	if r.Status != stepfn.Succeeded || err != nil || !value.Equal(got, w) {
		t.Fatalf("status %s, error %s: %s\noutput %s\nwant   %s\nlogs %s", r.Status, r.Error, r.Cause, r.Output, want, r.logs)
	}
}

// wantFailure fails the test unless the run failed with this error and a cause that contains the text.
func (r *ran) wantFailure(t *testing.T, name, cause string) {
	t.Helper()
	if r.Status != stepfn.Failed || r.Error != name || !strings.Contains(r.Cause, cause) {
		t.Fatalf("status %s, error %s: %s\noutput %s\nwant %s: %s", r.Status, r.Error, r.Cause, r.Output, name, cause)
	}
}
