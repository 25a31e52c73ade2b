package compile_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/value"
)

var update = flag.Bool("update", false, "write the golden files")

// files returns the pipelines that the project ships, by name.
func files(t *testing.T) map[string][]byte {
	t.Helper()
	out := map[string][]byte{"init": pipeline.Init("demo")["pipeline.yaml"]}
	paths, err := filepath.Glob("../../../examples/*/pipeline.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(paths, "../testdata/full.yaml") {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(filepath.Dir(path))
		if name == "testdata" {
			name = "full"
		}
		out[name] = data
	}
	return out
}

func compiled(t *testing.T, data []byte) *compile.Result {
	t.Helper()
	p, err := pipeline.Decode("pipeline.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	r, err := compile.Compile(p, compile.Options{BaseDir: "/base", StorageDir: "/storage"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestStorageIsExcluded checks that the storage directory is excluded from the packages of the directories that contain it.
func TestStorageIsExcluded(t *testing.T) {
	p, err := pipeline.Decode("pipeline.yaml", []byte(`version: 1
name: p
steps:
  - {name: a, job: {shell: "true"}}
  - {name: b, ray: {entrypoint: "true", workingDir: ., runtimeEnv: {excludes: ["*.bin"]}}}
  - {name: c, ray: {entrypoint: "true", workingDir: src}}
  - {name: d, job: {shell: "true", inPlace: true}}
`))
	if err != nil {
		t.Fatal(err)
	}
	type arguments struct {
		Dir        string
		Snapshot   *struct{ Excludes []string }
		RuntimeEnv struct {
			Excludes []string `json:"excludes"`
		}
	}
	for storage, want := range map[string]string{
		"/base/out [1]": `a [/out\ \[1\]/]|b [*.bin /out\ \[1\]/]|c []|d in place`,
		"/elsewhere":    `a []|b [*.bin]|c []|d in place`,
		"/base":         `a []|b [*.bin]|c []|d in place`,
	} {
		r, err := compile.Compile(p, compile.Options{BaseDir: "/base", StorageDir: storage})
		if err != nil {
			t.Fatal(err)
		}
		var def struct {
			States map[string]struct{ Arguments arguments }
		}
		if err := json.Unmarshal(r.Definition, &def); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, name := range []string{"a", "b", "c", "d"} {
			switch a := def.States[name].Arguments; {
			case a.Snapshot != nil:
				got = append(got, fmt.Sprint(name, " ", a.Snapshot.Excludes))
			case a.Dir != "":
				got = append(got, name+" in place")
			default:
				got = append(got, fmt.Sprint(name, " ", a.RuntimeEnv.Excludes))
			}
		}
		if text := strings.Join(got, "|"); text != want {
			t.Errorf("%s: got %s, want %s", storage, text, want)
		}
	}
}

func TestGolden(t *testing.T) {
	all := files(t)
	for _, name := range []string{"init", "full"} {
		r := compiled(t, all[name])
		golden(t, filepath.Join("testdata", name+".json"), r.Definition)
		golden(t, filepath.Join("testdata", name+".cleanup.json"), r.Cleanup)
		if again := compiled(t, all[name]); !bytes.Equal(again.Definition, r.Definition) {
			t.Errorf("%s: two compilations differ", name)
		}
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (update it with go test -update):\n%s", path, diff)
	}
}

// tool returns the path of a third-party validator, from an environment variable or PATH. It skips the test if there is none.
func tool(t *testing.T, variable, name string) string {
	t.Helper()
	if path := os.Getenv(variable); path != "" {
		return path
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("SKIPPED: %s is not on PATH, and %s is not set", name, variable)
	}
	return path
}

// TestThirdPartyValidators checks the compiled pipelines with third-party validators, as Step Functions would check them. Each tool is
// started only once, because the start takes seconds.
func TestThirdPartyValidators(t *testing.T) {
	definitions := map[string][]byte{}
	for name, data := range files(t) {
		r := compiled(t, data)
		definitions[name], definitions[name+"cleanup"] = r.Definition, r.Cleanup
	}
	for name, r := range clusterResults(t) {
		definitions[name], definitions[name+"cleanup"] = r.Definition, r.Cleanup
	}
	if testing.Short() {
		t.Skip("SKIPPED: the validators take seconds")
	}
	dir := t.TempDir()
	t.Run("cfn-lint", func(t *testing.T) {
		lint := tool(t, "RAYORCH_CFN_LINT", "cfn-lint")
		path := filepath.Join(dir, "template")
		write(t, path, template(t, definitions))
		validate(t, lint, path)
	})
	t.Run("asl-validator", func(t *testing.T) {
		command := []string{tool(t, "RAYORCH_ASL_VALIDATOR", "asl-validator")}
		for name, d := range definitions {
			path := filepath.Join(dir, name+".json")
			write(t, path, d)
			command = append(command, "--json-path", path)
		}
		validate(t, command...)
	})
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func validate(t *testing.T, command ...string) {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "AWS_DEFAULT_REGION=us-east-1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// template returns a CloudFormation template with the definitions.
func template(t *testing.T, definitions map[string][]byte) []byte {
	t.Helper()
	machines := &value.Object{}
	for name, definition := range definitions {
		d, err := value.ParseObject(definition)
		if err != nil {
			t.Fatal(err)
		}
		machines.Set(strings.ReplaceAll(name, "-", ""), value.Obj("Type", "AWS::StepFunctions::StateMachine",
			"Properties", value.Obj("RoleArn", "arn:aws:iam::123456789012:role/r", "Definition", d)))
	}
	return value.Bytes(value.Obj("AWSTemplateFormatVersion", "2010-09-09", "Resources", machines))
}

func TestTargets(t *testing.T) {
	text := head + `
targets:
	there: {kind: kubernetes}
	here: {kind: local, storage: ./out, ray: {address: "http://ray:8265"}}
steps: [{name: a, ray: {entrypoint: echo, workingDir: work}}, {name: b, job: {command: ["true"], image: x}}]
`
	p := decode(t, text)
	r, err := compile.Compile(p, compile.Options{BaseDir: "/base"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Target != "here" || r.Kind != "local" || r.Storage != "/base/out" {
		t.Errorf("the default target is %s of kind %s with storage %s", r.Target, r.Kind, r.Storage)
	}
	for _, want := range []string{`"Address": "http://ray:8265"`, `"WorkingDir": "/base/work"`, `'/base/out/p/'`} {
		if !strings.Contains(string(r.Definition), want) {
			t.Errorf("the definition does not contain %s", want)
		}
	}
	if want := []string{"step b runs as a process on this machine, ignoring image"}; !cmp.Equal(r.Notes, want) {
		t.Errorf("the notes are %q, want %q", r.Notes, want)
	}
	want := `unknown target "hre"; expected one of there, here`
	if _, err := compile.Compile(p, compile.Options{Target: "hre"}); err == nil || err.Error() != want {
		t.Errorf("the error is %v", err)
	}
}

func TestSecretsAreReferences(t *testing.T) {
	text := head + `
secrets: {TOKEN: SOURCE}
steps: [{name: a, ray: {entrypoint: echo, secrets: [TOKEN]}}]
`
	r := build(t, strings.Replace(text, "SOURCE", "{env: HOST_TOKEN}", 1), compile.Options{})
	if !strings.Contains(string(r.Definition), `"SecretEnv": {
          "TOKEN": {
            "Env": "HOST_TOKEN"
          }
        }`) {
		t.Errorf("the definition does not have the reference:\n%s", r.Definition)
	}
	p := decode(t, strings.Replace(text, "SOURCE", "{kubernetesSecret: {name: s, key: k}}", 1))
	var problems pipeline.Problems
	_, err := compile.Compile(p, compile.Options{})
	if !errors.As(err, &problems) || err.Error() != "pipeline.yaml:4:11: secrets.TOKEN: must have env, because a step uses it in a target of kind local" {
		t.Errorf("the error is %v", err)
	}
}

// TestHostEnvironment checks which secrets and variables of this machine each step gets, and which secrets its log must not show.
func TestHostEnvironment(t *testing.T) {
	r := build(t, head+`
secrets: {A: {env: HOST_A}, B: {env: HOST_B}, C: {kubernetesSecret: {name: s, key: k}}}
targets: {here: {kind: local, inheritEnv: [AWS_*]}}
steps:
  - {name: ray, ray: {entrypoint: echo, secrets: [A]}}
  - {name: job, job: {shell: echo}}
`, compile.Options{})
	var m struct {
		States map[string]struct {
			Arguments struct {
				SecretEnv, Redact, InheritEnv any
			}
		}
	}
	if err := json.Unmarshal(r.Definition, &m); err != nil {
		t.Fatal(err)
	}
	a, b := map[string]any{"Env": "HOST_A"}, map[string]any{"Env": "HOST_B"}
	ray, job := m.States["ray"].Arguments, m.States["job"].Arguments
	want := []any{map[string]any{"A": a}, []any{b}, []any{"AWS_*"}, nil, []any{a, b}, []any{"AWS_*"}}
	if diff := cmp.Diff(want, []any{ray.SecretEnv, ray.Redact, ray.InheritEnv, job.SecretEnv, job.Redact, job.InheritEnv}); diff != "" {
		t.Error(diff)
	}
}

func TestLevelsAreNoted(t *testing.T) {
	r := build(t, head+`
steps:
- {name: a, job: {command: [x]}}
- {name: b, job: {command: [x]}, after: []}
- {name: c, job: {command: [x]}, after: [a]}
- {name: d, job: {command: [x]}, after: [a, b]}
`, compile.Options{})
	want := []string{"steps a, b, c, d: sequences and parallels cannot express their order, so they run level by level: (a, b), then (c, d)"}
	if diff := cmp.Diff(want, r.Notes); diff != "" {
		t.Error(diff)
	}
}
