package aws_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/rayorch/rayorch/e2e/awstest"
	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/internal/aws/deploy"
)

// TestCleanUpIsStarted stops an execution on LocalStack, whose Step Functions sends an event to its EventBridge. The rule of the stack must
// start the cleanup machine with the event as input. TestShakespeare tests what the machine then does, in a real cluster.
func TestCleanUpIsStarted(t *testing.T) {
	p := newFixture(t, awstest.LocalStack(t))
	plan := p.plan(t, clustertest.Name("clean"), 3600, nil)
	made := p.deploy(t, plan)
	machine, cleanup := made.Outputs["StateMachineArn"], made.Outputs["CleanUpStateMachineArn"]
	p.matches(t, cleanup, p.event(t, strings.Replace(machine, ":stateMachine:", ":execution:", 1)+":x", machine, "ABORTED"))
	started, err := p.sfn.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: &machine, Input: aws.String("{}")})
	if err != nil {
		t.Fatal(err)
	}
	clustertest.Until(clustertest.Context(t), t, "the first state of the execution", func() error { // LocalStack ignores an earlier stop
		h, err := p.sfn.GetExecutionHistory(t.Context(), &sfn.GetExecutionHistoryInput{ExecutionArn: started.ExecutionArn})
		if err == nil && len(h.Events) < 2 {
			err = fmt.Errorf("the history has %d events", len(h.Events))
		}
		return err
	})
	if _, err := p.sfn.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: started.ExecutionArn}); err != nil {
		t.Fatal(err)
	}
	var event struct {
		Detail struct{ ExecutionArn, Status string }
	}
	clustertest.Until(clustertest.Context(t), t, "the cleanup", func() error {
		runs, err := p.sfn.ListExecutions(t.Context(), &sfn.ListExecutionsInput{StateMachineArn: &cleanup})
		if err != nil {
			return err
		}
		if len(runs.Executions) == 0 {
			return fmt.Errorf("%s has no executions", cleanup)
		}
		x, err := p.sfn.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: runs.Executions[0].ExecutionArn})
		if err != nil {
			return err
		}
		return json.Unmarshal([]byte(aws.ToString(x.Input)), &event)
	})
	if event.Detail.ExecutionArn != aws.ToString(started.ExecutionArn) || event.Detail.Status != "ABORTED" {
		t.Errorf("the input of the cleanup is %+v, want the ABORTED execution %s", event.Detail, aws.ToString(started.ExecutionArn))
	}
	p.destroy(t, deploy.Removal{Stack: plan.Stack.Name, StopRuns: true})
}

// matches checks, with the emulator's TestEventPattern, that the rule that starts the cleanup matches ABORTED and TIMED_OUT, and no other
// status.
func (p *fixture) matches(t *testing.T, cleanup, event string) {
	t.Helper()
	var rules struct{ RuleNames []string }
	if err := json.Unmarshal([]byte(p.awsCLI(t, "events", "list-rule-names-by-target", "--target-arn", cleanup)), &rules); err != nil || len(rules.RuleNames) != 1 {
		t.Fatalf("got the rules %v for the target %s, want one: %v", rules, cleanup, err)
	}
	var rule struct{ EventPattern string }
	if err := json.Unmarshal([]byte(p.awsCLI(t, "events", "describe-rule", "--name", rules.RuleNames[0])), &rule); err != nil {
		t.Fatal(err)
	}
	for status, want := range map[string]string{"ABORTED": "true", "TIMED_OUT": "true", "SUCCEEDED": "false", "FAILED": "false"} {
		got := p.awsCLI(t, "events", "test-event-pattern", "--event-pattern", rule.EventPattern, "--event", strings.Replace(event, `"ABORTED"`, `"`+status+`"`, 1))
		if !strings.Contains(got, `"Result": `+want) {
			t.Errorf("%s: got %s, want %s", status, got, want)
		}
	}
}
