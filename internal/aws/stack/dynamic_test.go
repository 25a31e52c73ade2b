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

// TestDynamicReferences verifies that {{resolve:...}} in a pipeline reaches Step Functions and EventBridge Scheduler
// unchanged: CloudFormation would replace it with a secret that the deploying user can read.
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
		t.Error("the template contains a dynamic reference")
	}
	made := resources(t, s)
	for _, id := range []string{"StateMachine", "CleanUpStateMachine"} {
		checkKey(t, id, expanded(t, made[id]), "Comment", long)
	}
	target, _ := made["Schedule"].Properties["Target"].(map[string]any)
	input, _ := target["Input"].(string)
	checkKey(t, "Schedule", input, "a", evil)
	checkKey(t, "Schedule", input, evil, value.Int(1))
}

// checkKey checks the value of a key in a JSON text, as the service that gets the text parses it.
func checkKey(t *testing.T, id, text, key string, want any) {
	t.Helper()
	o, err := value.ParseObject([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	if got, _ := o.Get(key); got != want {
		t.Errorf("%s: %q is %.100v", id, key, got)
	}
}

// TestDynamicReferencesElsewhere verifies that a dynamic reference outside JSON is rejected, with the name of the property.
func TestDynamicReferencesElsewhere(t *testing.T) {
	p := read(t, with(map[string]any{"alarm_email": "{{resolve:ssm:/x}}@example.com"}))
	_, err := stack.Build(stack.Input{Params: p, Names: stack.NewNames(seedfarmer, p.Machine), Pipeline: "x",
		Compiled: &compile.Result{Definition: []byte(small)}})
	want := `the template.Resources.FailureTopic.Properties.Subscription[0].Endpoint: "{{resolve:ssm:/x}}@example.com" is a dynamic reference`
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got error %v, want %s", err, want)
	}
	tags := source(with(map[string]any{"tags": map[string]any{"a": "{{resolve:ssm:/x}}"}}))
	if _, err := stack.Read(tags); err == nil || !strings.Contains(err.Error(), "{{resolve:ssm:/x}}") {
		t.Errorf("a tag with a dynamic reference: got error %v", err)
	}
}
