package conformance_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/asl/check"
	"github.com/rayorch/rayorch/internal/asl/interp"
)

// publicVariable is the name of an environment variable: a directory with definitions from public repositories, and index.tsv, which
// has the columns file, repository, path and commit.
const publicVariable = "RAYORCH_PUBLIC_DEFINITIONS"

// definition is a published file.
type definition struct{ file, repository, path, commit string }

// TestPublicDefinitions validates and parses definitions that were written for Step Functions, and runs those that can be
// parsed. It prints what rayorch rejects; whether that is right is discussed in docs/conformance.md. The test fails on a
// panic, and on a definition that the validator accepts and the parser does not.
func TestPublicDefinitions(t *testing.T) {
	dir := os.Getenv(publicVariable)
	if dir == "" {
		t.Skip("SKIPPED: " + publicVariable + " is not set to a directory of public definitions")
	}
	all := publicIndex(t, dir)
	accepted := 0
	for _, d := range all {
		t.Run(d.file, func(t *testing.T) {
			text, err := definitionText(filepath.Join(dir, d.file))
			if err != nil {
				t.Fatal(err)
			}
			verdict, features := judge(t, text), strings.Join(publicFeatures(text), " ")
			count(&accepted, strings.HasPrefix(verdict, "ok"))
			fmt.Printf("%s\t%s\t%s\t%s\t%s\n", d.file, d.repository, d.path, features, verdict)
		})
	}
	fmt.Printf("public: %d of %d accepted\n", accepted, len(all))
}

func publicIndex(t *testing.T, dir string) (all []definition) {
	t.Helper()
	index, err := os.ReadFile(filepath.Join(dir, "index.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(index)); lines.Scan(); {
		f := strings.Split(lines.Text(), "\t")
		if len(f) != 4 {
			t.Fatalf("index.tsv: want four columns, got %q", lines.Text())
		}
		all = append(all, definition{f[0], f[1], f[2], f[3]})
	}
	return all
}

// judge returns what happens to a definition in rayorch.
func judge(t *testing.T, text []byte) string {
	result := check.Definition(string(text), false)
	m, err := asl.Parse(text)
	if refusal, bad := result.Refusal(); bad {
		return "rejected: " + strings.ReplaceAll(refusal, "\n", " ")
	}
	if err != nil {
		t.Errorf("valid, but cannot be parsed: %v", err)
		return "rejected: " + err.Error()
	}
	verdict := "ok"
	if check.Definition(string(text), true).OK() {
		verdict = "ok, EXPRESS too"
	}
	if !bytes.Contains(text, []byte(`"DISTRIBUTED"`)) { // the driver does not support ItemReader
		verdict += ", rejected by services: " + outcome(newRun(t, m).finish(publicParams()))
	}
	return verdict + ", echoed: " + outcome(newRun(t, m).echo(publicParams()))
}

// publicInput has the fields that the definitions use most, so that some executions continue after their first state.
const publicInput = `{"IsHelloWorldExample": "Yes", "type": "Private", "value": 22, "input": {"items": [1]}, "items": [1, 2],
	"numbers": [1, 2, 3], "Process1ToComplete": true, "foo": 1, "data": {"items": [1]}, "path": "here", "wait_time": 1,
	"array": [{"id": 1}], "objects": [{"bucket": "b", "key": "k"}],
	"detail": {"bucket": {"name": "b"}, "object": {"key": "k/l"}}, "id": "1", "field1": "x", "query": "q", "httpMethod": "GET", "tipo": "MNP", "action": "create"}`

var publicStart = time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)

func publicParams() interp.Params { return params([]byte(publicInput), publicStart) }

func newRun(t *testing.T, m *asl.Machine) *driver { return &driver{t: t, m: m, now: publicStart} }

func outcome(head interp.Head) string {
	return strings.TrimSpace(string(head.Status) + " " + head.Error)
}

// echoSteps bounds loops that wait for a response which an echo never gives.
const echoSteps = 300

// echo runs an execution with services that respond with their input. It does not run distributed Maps.
func (d *driver) echo(p interp.Params) interp.Head {
	d.run, d.stored = interp.New(p, d.m), map[interp.FrameID][]byte{}
	facts := []interp.Fact{interp.Start{}}
	for step := 0; len(facts) > 0 && step < echoSteps; step++ {
		dec, err := d.run.Apply(facts[0], d.now)
		if err != nil {
			d.t.Fatal(err)
		}
		d.keep(dec)
		facts = facts[1:]
		for i := range dec.Tasks {
			facts = append(facts, interp.TaskEnded{Task: dec.Tasks[i].ID, Output: dec.Tasks[i].Input})
		}
		if dec.More {
			facts = append(facts, interp.Continue{})
		}
		if len(facts) == 0 && !dec.Closed {
			facts = d.wait(dec)
		}
	}
	return d.run.Head()
}

var (
	bare        = regexp.MustCompile(`"\s*:\s*\$\{[^}"]*\}`) // instead of a number or an object, without quotes
	inTheARN    = regexp.MustCompile(`arn:\$\{[^}]*\}:`)
	wholeTask   = regexp.MustCompile(`("?Resource"?:\s*["']?)\$\{[^}]*\}`)
	placeholder = regexp.MustCompile(`\$\{[^}]*\}`)
)

// definitionText returns a definition as JSON, with placeholders replaced, as a deployment tool does.
func definitionText(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	text = wholeTask.ReplaceAll(text, []byte("${1}arn:aws:lambda:us-east-1:123456789012:function:placeholder"))
	text = inTheARN.ReplaceAll(text, []byte("arn:aws:"))
	if filepath.Ext(path) == ".yaml" {
		text = placeholder.ReplaceAll(text, []byte("placeholder"))
		var v any
		if err := yaml.Unmarshal(text, &v); err != nil {
			return nil, err
		}
		return json.Marshal(v)
	}
	text = bare.ReplaceAll(text, []byte(`": 60`))
	return placeholder.ReplaceAll(text, []byte("placeholder")), nil
}

// features are parts of the language, with patterns that find them in a definition.
var features = []struct{ name, pattern string }{
	{"JSONata", `"QueryLanguage"\s*:\s*"JSONata"`}, {"Assign", `"Assign"`}, {"distributed", `"DISTRIBUTED"`},
	{"Map", `"Type"\s*:\s*"Map"`}, {"Iterator", `"Iterator"`}, {"reader", `"ItemReader"`}, {"writer", `"ResultWriter"`},
	{"batcher", `"ItemBatcher"`}, {"tolerated", `"ToleratedFailure`}, {"EXPRESS", `"EXPRESS"`},
	{"Parallel", `"Type"\s*:\s*"Parallel"`}, {"Choice", `"Type"\s*:\s*"Choice"`}, {"Wait", `"Type"\s*:\s*"Wait"`},
	{"Fail", `"Type"\s*:\s*"Fail"`}, {"Retry", `"Retry"`}, {"Catch", `"Catch"`}, {"callback", `waitForTaskToken`},
	{"nested", `states:startExecution`}, {"sync", `\.sync`}, {"sdk", `:aws-sdk:`}, {"activity", `:activity:`},
	{"intrinsics", `States\.[A-Z]\w+\(`}, {"context", `"\$\$`}, {"heartbeat", `"HeartbeatSeconds`},
	{"String", `"String(Equals|Less|Greater|Matches)`}, {"Numeric", `"Numeric(Equals|Less|Greater)`},
	{"Boolean", `"BooleanEquals`}, {"Timestamp", `"Timestamp(Equals|Less|Greater)`},
	{"Is", `"Is(Present|Null|String|Numeric|Boolean|Timestamp)"`}, {"And/Or/Not", `"(And|Or|Not)"\s*:`},
}

func publicFeatures(text []byte) (found []string) {
	for _, f := range features {
		if regexp.MustCompile(f.pattern).Match(text) {
			found = append(found, f.name)
		}
	}
	return found
}
