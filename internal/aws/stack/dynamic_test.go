package stack_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/aws/stack"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// TestDynamicReferences wants a pipeline's {{resolve:...}} to reach Step Functions and the scheduler as it is: CloudFormation would
// replace it, with a secret that the one who deploys may read.
func TestDynamicReferences(t *testing.T) {
	const evil = `{{resolve:secretsmanager:prod/db:SecretString:password}}`
	long := evil
	for i := 0; len(long) < stepfn.MaxInlineTemplate; i++ { // long enough to be shortened
		long += fmt.Sprint(" ", i)
	}
	long += evil
	definition := strings.Replace(small, `"Comment":"small"`, `"Comment":"`+long+`"`, 1)
	p := read(t, with(map[string]any{"schedule": "rate(1 day)", "schedule_input": map[string]any{"a": evil, evil: 1}}))
	s, err := stack.Build(stack.Input{Params: p, Names: stack.NewNames(seedfarmer, p.Machine), Pipeline: "x",
		Compiled: &compile.Result{Definition: []byte(definition), Cleanup: []byte(definition)}})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(s.Template), "{{resolve:") {
		t.Error("the template has a dynamic reference")
	}
	made := resources(t, s)
	for _, id := range []string{"StateMachine", "CleanUpStateMachine"} {
		sees(t, id, expanded(t, made[id]), "Comment", long)
	}
	target, _ := made["Schedule"].Properties["Target"].(map[string]any)
	input, _ := target["Input"].(string)
	sees(t, "Schedule", input, "a", evil)
	sees(t, "Schedule", input, evil, value.Int(1))
}

// sees checks what a service reads in a JSON text under a key.
func sees(t *testing.T, id, text, key string, want any) {
	t.Helper()
	o, err := value.ParseObject([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	if got, _ := o.Get(key); got != want {
		t.Errorf("%s gets %.100v", id, got)
	}
}

// TestDynamicReferencesElsewhere rejects one where the text is no JSON, and names the property.
func TestDynamicReferencesElsewhere(t *testing.T) {
	p := read(t, with(map[string]any{"alarm_email": "{{resolve:ssm:/x}}@example.com"}))
	_, err := stack.Build(stack.Input{Params: p, Names: stack.NewNames(seedfarmer, p.Machine), Pipeline: "x",
		Compiled: &compile.Result{Definition: []byte(small)}})
	want := `the template.Resources.FailureTopic.Properties.Subscription[0].Endpoint: "{{resolve:ssm:/x}}@example.com" is a dynamic reference`
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("the error is %v, want %s", err, want)
	}
	tags := source(with(map[string]any{"tags": map[string]any{"a": "{{resolve:ssm:/x}}"}}))
	if _, err := stack.Read(tags); err == nil || !strings.Contains(err.Error(), "{{resolve:ssm:/x}}") {
		t.Errorf("a tag with a dynamic reference: the error is %v", err)
	}
}
