package pipeline_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/pipeline"
)

var update = flag.Bool("update", false, "write the golden files")

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestDecodeFullExample(t *testing.T) {
	p, err := pipeline.Decode("full.yaml", read(t, "testdata/full.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Steps) != 6 || p.Steps[1].Ray.Memory.Bytes != 1<<30 || p.Steps[2].PendingTimeout != 900 ||
		p.Steps[1].Retry.MaxInterval != 300 || p.Targets.Entries[1].Value.Ray.Port != 8265 {
		t.Errorf("full.yaml is decoded to %+v", p)
	}
	if _, err := pipeline.Decode("init", pipeline.Init("demo")["pipeline.yaml"]); err != nil {
		t.Errorf("the pipeline of Init: %v", err)
	}
}

func TestDecodeReportsAllErrors(t *testing.T) {
	_, err := pipeline.Decode("bad.yaml", read(t, "testdata/bad.yaml"))
	var problems pipeline.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("the error is %v", err)
	}
	path := "testdata/bad.txt"
	if *update {
		if err := os.WriteFile(path, []byte(err.Error()+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(read(t, path)), err.Error()+"\n"); diff != "" {
		t.Errorf("%s differs (update it with go test -update):\n%s", path, diff)
	}
}

const start = "version: 1\nname: p\n"

// one decodes a file and returns its errors, or "" if it has none.
func one(t *testing.T, text string) string {
	t.Helper()
	_, err := pipeline.Decode("f", []byte(text))
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestDecodeInvalidFiles(t *testing.T) {
	deep := strings.Repeat("[", 100) + strings.Repeat("]", 100)
	bomb := "x: &a [1,1,1,1,1,1,1,1,1,1]\n"
	for i, prev := 0, "a"; i < 8; i++ {
		next := string(rune('b' + i))
		bomb += fmt.Sprintf("x%d: &%s [%s]\n", i, next, strings.TrimSuffix(strings.Repeat("*"+prev+",", 10), ","))
		prev = next
	}
	for name, c := range map[string]struct{ text, want string }{
		"empty":         {"", "the file is empty"},
		"only comment":  {"# hello\n", "the file is empty"},
		"not YAML":      {"a: [", "f:1:1: not valid YAML"},
		"two documents": {start + "---\na: 1\n", "a file contains one pipeline"},
		"list":          {"- a\n", "expected a map (name: value), got a list"},
		"not UTF-8":     {"name: \xff\n", "must be encoded in UTF-8"},
		"too large":     {strings.Repeat("#", pipeline.MaxFileSize+1), "must have at most 1048576 bytes, got 1048577"},
		"too deep":      {start + "params: {a: {default: " + deep + "}}\n", "at most 60 levels of nesting"},
		"alias bomb":    {bomb + start + "params: {a: {default: *i}}\nsteps: []", "at most 100000 values, aliases included"},
		"in no Secret":  {start + "secrets: {S: {env: A, inRayPods: true}}\nsteps: []", "f:3:23: secrets.S.inRayPods: requires kubernetesSecret"},
		"not a source":  {start + "secrets: {S: {secretsManager: arn}}\nsteps: []", "f:3:15: secrets.S.secretsManager: rayorch does not read AWS Secrets Manager"},
		"duplicate key": {start + "name: q\nsteps: []", "f:3:1: name: duplicate key"},
		"self alias":    {start + "params: &a {x: *a}\nsteps: []", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := one(t, c.text); got == "" || !strings.Contains(got, c.want) {
				t.Errorf("the error is %q, want one with %q", got, c.want)
			}
		})
	}
}

func TestAnchorsAndMerges(t *testing.T) {
	p, err := pipeline.Decode("f", []byte(start+`
steps:
- name: a
  ray: &job {entrypoint: echo a, cpus: 2, env: &env {A: "1"}}
- name: b
  ray: {<<: *job, entrypoint: echo b}
- name: c
  job: {command: [x], env: *env}
`))
	if err != nil {
		t.Fatal(err)
	}
	b := p.Steps[1].Ray
	text, _ := b.Entrypoint.Plain()
	if text != "echo b" || b.CPUs.Value != 2 || p.Steps[2].Job.Env.Len() != 1 {
		t.Errorf("step b is decoded to %+v", b)
	}
}

func TestReferencesInShellCommands(t *testing.T) {
	for text, want := range map[string]string{
		`echo ${{ params.a }}`:                           "",
		`echo x${{ params.a }}y "q" 'q' ${{ params.a }}`: "",
		`echo $(cat ${{ params.a }}) && b`:               "",
		"# it's a comment\necho ${{ params.a }}":         "",
		`echo a\ ${{ params.a }}`:                        "",
		`echo a#b ${{ params.a }}`:                       "",
		`echo ${x} $((1+1)) ${{ params.a }}`:             "",
		`echo $${{ params.a }}`:                          "", // escaped: not a reference
		`echo "${{ params.a }}"`:                         "inside quotes",
		`echo '${{ params.a }}'`:                         "inside quotes",
		`echo "$(cat ${{ params.a }})"`:                  "inside quotes",
		"echo `cat ${{ params.a }}`":                     "inside backquotes",
		`echo # ${{ params.a }}`:                         "in a comment",
		`echo \${{ params.a }}`:                          "after a backslash",
		`echo ${x:-${{ params.a }}}`:                     "inside ${",
		`echo $((1 + ${{ params.a }}))`:                  "inside ${",
		"cat <<END\n${{ params.a }}\nEND":                "here-document",
		"cat <<${{ params.a }}":                          "here-document",
		"cat <${{ params.a }}":                           "",
		"cat <<END\n'\nEND\necho ${{ params.a }}":        "here-document",
		`echo $'a' ${{ params.a }}`:                      "$'...'",
	} {
		t.Run(text, func(t *testing.T) {
			quoted := fmt.Sprintf("%q", text)
			got := one(t, start+"params: {a: {default: x}}\nsteps: [{name: s, job: {shell: "+quoted+"}}]\n")
			if want == "" && got != "" || !strings.Contains(got, want) {
				t.Errorf("the error is %q, want one with %q", got, want)
			}
		})
	}
}

func TestInvalidConditions(t *testing.T) {
	for cond, want := range map[string]string{
		"params.a >":              `at the end: expected a reference`,
		"params.a = 1":            `at "= 1": expected and, or`,
		"(params.a":               "expected )",
		"params.a == [1, x]":      "expected a number",
		"":                        "expected a reference",
		"params.b":                `unknown parameter "b"`,
		strings.Repeat("!", 3000): "at most 2000 characters",
	} {
		got := one(t, start+"params: {a: {default: x}}\nsteps: [{name: s, when: "+fmt.Sprintf("%q", cond)+", job: {shell: x}}]\n")
		if !strings.Contains(got, want) {
			t.Errorf("%s: the error is %q, want one with %q", cond, got, want)
		}
	}
}

func TestOrder(t *testing.T) {
	after := func(names ...string) *[]string { return &names }
	steps := []pipeline.Step{{Name: "a"}, {Name: "b"}, {Name: "c", After: after("a")}, {Name: "d", After: after("b", "c")}}
	o, problems := pipeline.NewOrder(steps, true)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, o.Before("d")); diff != "" {
		t.Error(diff)
	}
	if o.Precedes("b", "c") || !o.Precedes("a", "b") {
		t.Error("want a before b and c, and no order between b and c")
	}
}

func FuzzDecode(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		f.Add(read(f, path))
	}
	f.Add([]byte("a: &a [*a]\n<<: [{b: 1}]\n? {c: 1}\n: d"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := pipeline.Decode("fuzz", data)
		var problems pipeline.Problems
		if (p == nil) == (err == nil) || err != nil && !errors.As(err, &problems) {
			t.Fatalf("Decode returns %v and %v", p, err)
		}
		for _, one := range problems {
			if one.Line < 1 || one.Col < 1 || one.Message == "" {
				t.Errorf("a problem without a position or a message: %+v", one)
			}
		}
	})
}

func FuzzCondition(f *testing.F) {
	f.Add("not (params.a in [1, 'x'] or steps.b.output[0]['k'] >= -1.5e3) && !true")
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := pipeline.ParseCondition(text); (c == nil) == (err == nil) {
			t.Fatalf("ParseCondition returns %v and %v", c, err)
		}
	})
}

func TestRetried(t *testing.T) {
	for _, c := range []struct{ listed, want []string }{
		{nil, pipeline.DefaultRetry("ray")},
		{[]string{"States.ALL"}, []string{"States.ALL"}},
		{[]string{"Ray.SubmitFailed", "Ray.HeadLost"}, []string{"Ray.SubmitFailed", "Ray.RuntimeEnvFailed", "Ray.HeadLost"}},
		{[]string{"Ray.RuntimeEnvFailed", "Ray.SubmitFailed"}, []string{"Ray.RuntimeEnvFailed", "Ray.SubmitFailed"}},
	} {
		if diff := cmp.Diff(c.want, (&pipeline.Retry{Errors: c.listed}).Retried("ray")); diff != "" {
			t.Errorf("%q: %s", c.listed, diff)
		}
	}
	if !slices.Contains(pipeline.DefaultRetry("ray"), "Ray.RuntimeEnvFailed") {
		t.Error("Ray.RuntimeEnvFailed is not retried by default")
	}
}
