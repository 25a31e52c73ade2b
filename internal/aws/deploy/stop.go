package deploy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/rayorch/rayorch/internal/stepfn"
)

// stopRuns stops the running executions, or returns an error if the Removal does not allow that. It also waits until their jobs
// are stopped, because the cleanup state machine is deleted with the stack.
func (d *Deployer) stopRuns(ctx context.Context, r Removal, arns map[string]string) error {
	running, err := d.running(ctx, arns["StateMachineArn"])
	if err != nil || len(running) == 0 {
		return err
	}
	if !r.StopRuns {
		return fmt.Errorf("%d executions are running, the newest is %s: stop them first, or use destroy --stop", len(running), aws.ToString(running[0].Name))
	}
	var clean []string
	for _, e := range running {
		if _, err := d.sfn.StopExecution(ctx, &sfn.StopExecutionInput{ExecutionArn: e.ExecutionArn, Cause: aws.String("rayorch destroy")}); err != nil {
			return fmt.Errorf("stop the execution %s: %w", aws.ToString(e.Name), short(err))
		}
		d.printf("stopped execution %s", aws.ToString(e.Name))
		if machine := arns["CleanUpStateMachineArn"]; machine != "" {
			arn, err := d.startCleanUp(ctx, machine, e)
			if err != nil {
				return err
			}
			clean = append(clean, arn)
		}
	}
	until := d.now().Add(d.grace)
	for _, arn := range clean {
		if err := d.awaitCleanUp(ctx, arn, until); err != nil {
			return err
		}
	}
	return nil
}

// running returns the running executions of a state machine, none if it does not exist.
func (d *Deployer) running(ctx context.Context, machine string) ([]types.ExecutionListItem, error) {
	var out []types.ExecutionListItem
	pages := sfn.NewListExecutionsPaginator(d.sfn, &sfn.ListExecutionsInput{StateMachineArn: &machine, StatusFilter: types.ExecutionStatusRunning})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if code := apiCode(err); code == "StateMachineDoesNotExist" || code == "StateMachineDeleting" {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list the running executions of %s: %w", machine, short(err))
		}
		out = append(out, page.Executions...)
	}
	return out, nil
}

// startCleanUp starts the cleanup state machine for a stopped execution and returns the ARN of the started execution. The
// EventBridge rule starts one, too, but Remove could not wait for that one. A second cleanup does no harm. The name is
// derived from the execution, so that a repeated Remove finds the cleanup that it started before.
func (d *Deployer) startCleanUp(ctx context.Context, machine string, e types.ExecutionListItem) (string, error) {
	sum := sha256.Sum256([]byte(aws.ToString(e.ExecutionArn)))
	input, err := json.Marshal(map[string]any{"detail": map[string]any{
		"executionArn": aws.ToString(e.ExecutionArn), "stateMachineArn": aws.ToString(e.StateMachineArn), "status": stepfn.Aborted,
	}})
	if err != nil {
		return "", err
	}
	name := "destroy-" + hex.EncodeToString(sum[:16])
	started, err := d.sfn.StartExecution(ctx, &sfn.StartExecutionInput{
		StateMachineArn: &machine, Name: &name, Input: aws.String(string(input))})
	if apiCode(err) == "ExecutionAlreadyExists" { // it has ended: for a running one with the same input, StartExecution succeeds
		started, err = &sfn.StartExecutionOutput{ExecutionArn: aws.String(stepfn.ExecutionOf(machine, name))}, nil
	}
	if err != nil {
		return "", fmt.Errorf("clean up after the execution %s: %w", aws.ToString(e.Name), short(err))
	}
	return aws.ToString(started.ExecutionArn), nil
}

// awaitCleanUp waits until a cleanup ends or the given time is reached. It prints a message if the cleanup did not succeed by
// then, which is not an error.
func (d *Deployer) awaitCleanUp(ctx context.Context, arn string, until time.Time) error {
	for {
		got, err := d.sfn.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &arn})
		switch {
		case err != nil:
			return fmt.Errorf("describe the cleanup %s: %w", arn, short(err))
		case got.Status == types.ExecutionStatusSucceeded:
			return nil
		case got.Status != types.ExecutionStatusRunning:
			d.printf("the cleanup %s ended with status %s: %s", arn, got.Status, aws.ToString(got.Cause))
			return nil
		case d.now().After(until):
			d.printf("the cleanup %s is still running: check whether jobs of the stopped executions are still running", arn)
			return nil
		}
		if err := d.wait(ctx); err != nil {
			return err
		}
	}
}
