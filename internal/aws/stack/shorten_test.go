package stack_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/aws/stack"
	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// expanded returns a definition as CloudFormation passes it to Step Functions.
func expanded(t *testing.T, r resource) string {
	t.Helper()
	held, _ := r.Properties["DefinitionString"].(map[string]any)
	switch v := held["Fn::Sub"].(type) {
	case string:
		return substitute(v, "aws")
	case []any:
		text, _ := v[0].(string)
		variables, _ := v[1].(map[string]any)
		for name, with := range variables {
			if !strings.Contains(text, "${"+name+"}") {
				t.Errorf("variable %s is not used", name)
			}
			text = strings.ReplaceAll(text, "${"+name+"}", strings.ReplaceAll(with.(string), "${", "?"))
		}
		return substitute(text, "aws")
	}
	t.Fatalf("no definition in %v", r.Properties)
	return ""
}

// realCA returns a certificate authority that is as long as that of a real cluster.
func realCA() string {
	return base64.StdEncoding.EncodeToString([]byte("-----BEGIN CERTIFICATE-----\n" + strings.Repeat("QUJD", 260)))
}

// packed packs a directory as the command does.
func packed(dir string, excludes []string) ([]byte, error) {
	p, err := ray.Pack(context.Background(), dir, excludes)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return p.Bytes()
}

// TestExamplesFit verifies that the templates of all examples, with each submission mode, fit into a request, so that no
// bucket is needed, and that Step Functions gets the compiled definition even if the template was shortened.
func TestExamplesFit(t *testing.T) {
	for _, file := range []string{"shakespeare/pipeline.yaml", "gptj/pipeline.yaml", "gptj/published.yaml", "gptj/published-ray.yaml"} {
		for _, mode := range []string{"job", "proxy", "rayjob"} {
			t.Run(file+" "+mode, func(t *testing.T) {
				r, s := example(t, file, mode)
				if len(s.Template) > stepfn.MaxInlineTemplate {
					t.Errorf("the template has %d bytes", len(s.Template))
				}
				if problems := stack.Check(r); len(problems) > 0 {
					t.Error(problems)
				}
				made := resources(t, s)
				for id, want := range map[string][]byte{"StateMachine": r.Definition, "CleanUpStateMachine": r.Cleanup} {
					o, err := value.ParseObject(want)
					if err != nil {
						t.Fatal(err)
					}
					if got := strings.ReplaceAll(expanded(t, made[id]), certificate, realCA()); got != value.Text(o) {
						t.Errorf("%s:\n%s\nwant\n%s", id, got, value.Text(o))
					}
				}
			})
		}
	}
}

// example builds the stack of an example.
func example(t *testing.T, file, mode string) (*compile.Result, *stack.Stack) {
	t.Helper()
	path := filepath.Join("..", "..", "..", "examples", file)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := pipeline.Decode(path, data)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]any{"submit": mode, "eks_cert_auth_data": realCA(), "pvc_name": "claim",
		"eks_cluster_endpoint": "https://0123456789ABCDEF0123456789ABCDEF.gr7.eu-central-1.eks.amazonaws.com"}
	if file != "gptj/published.yaml" && file != "gptj/published-ray.yaml" {
		values["pipeline"] = path
	} else if file == "gptj/published-ray.yaml" {
		delete(values, "pvc_name")
	}
	params := read(t, with(values))
	names := stack.NewNames(stack.Identity{Pipeline: p.Name}, params.Machine)
	made, o := stack.Prepare(p, "aws", params, names)
	o.BaseDir, o.Pack = filepath.Dir(path), packed
	r, err := compile.Compile(made, o)
	if err != nil {
		t.Fatal(err)
	}
	s, err := stack.Build(stack.Input{Params: params, Names: names, Pipeline: p.Name, Compiled: r})
	if err != nil {
		t.Fatal(err)
	}
	return r, s
}

// TestShortened verifies that random large definitions, with everything that is special in Fn::Sub, are the same after they
// were shortened and expanded.
func TestShortened(t *testing.T) {
	words := []string{"${HOME:-/}", "$", "$$", "{", "}", "${!x}", `"`, `\`, "train", "$states.input", " ", "ö", "arn:aws:", "${a"}
	first := rand.Uint64() // each run uses new seeds
	for seed := first; seed < first+5; seed++ {
		random := rand.New(rand.NewPCG(seed, 1))
		var text strings.Builder
		for text.Len() < 70_000 {
			n := random.IntN(40)
			part := ""
			for range n {
				part += words[random.IntN(len(words))]
			}
			text.WriteString(strings.Repeat(part+fmt.Sprint(seed-first), 1+random.IntN(3)))
		}
		definition, err := json.Marshal(map[string]string{"Comment": text.String()})
		if err != nil {
			t.Fatal(err)
		}
		p := read(t, required())
		s, err := stack.Build(stack.Input{Params: p, Names: stack.NewNames(seedfarmer, p.Machine), Pipeline: "x",
			Compiled: &compile.Result{Definition: definition}})
		if err != nil {
			t.Fatal(err)
		}
		o, err := value.ParseObject(definition)
		if err != nil {
			t.Fatal(err)
		}
		if got := expanded(t, resources(t, s)["StateMachine"]); got != value.Text(o) {
			t.Errorf("seed %d: the definition changed", seed)
		}
	}
}

// TestShortenIsBounded verifies that very repetitive text does not take minutes.
func TestShortenIsBounded(t *testing.T) {
	comment := strings.Repeat("loads the data of one month, trains a model on it, and keeps it if it is better. ", 600)
	for name, text := range map[string]string{
		"a comment of 50 kB": comment, "one character": strings.Repeat(".", 60_000), "words": strings.Repeat("a ", 30_000),
		"a comment of 50 kB, three times": strings.Repeat(comment+`"`, 3),
	} {
		for _, want := range []int{10_000, 1 << 30} {
			short, variables, steps := stack.Shorten(text, want)
			if most := 30_000_000 + 500*len(text); steps > most {
				t.Errorf("%s: %d steps, want at most %d", name, steps, most)
			}
			for i := len(variables); i > 0; i-- {
				key := fmt.Sprintf("S%d", i)
				short = strings.ReplaceAll(short, "${"+key+"}", variables[key])
			}
			if short != text {
				t.Errorf("%s: the text changed", name)
			}
		}
	}
}
