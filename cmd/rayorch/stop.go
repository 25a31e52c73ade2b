package main

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/view/terminal"
)

func stopCommand(a *app) *cobra.Command {
	var cause string
	c := &cobra.Command{
		Use:   "stop [EXECUTION]",
		Short: "stop an execution and its jobs",
		Long: "stop aborts an execution (default: the newest one), stops its jobs and waits until they have ended. If no process drives the " +
			"execution, stop does not resume it: no further step starts. An execution that has ended keeps its status.",
		Example: "  rayorch stop shakespeare/20260101-120000",
		Args:    atMostOneArg,
		RunE: func(c *cobra.Command, args []string) error {
			return a.stop(c.Context(), first(args), cmp.Or(cause, "stopped with rayorch stop by "+invoker()))
		},
	}
	c.Flags().StringVar(&cause, "cause", "", "cause to record in the history (default: stopped with rayorch stop by USER on HOST)")
	return c
}

// first returns the first argument, or "".
func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// stop stops an execution, waits until its jobs have ended, and prints the outcome for each of them.
func (a *app) stop(ctx context.Context, text, cause string) error {
	return a.with(ctx, ownerOptions{Run: true}, func(s *session) (err error) {
		var arn string
		var before *sfn.DescribeExecutionOutput // as it was before the first request to stop it
		var x *sfn.StopExecutionOutput
		err = s.over(ctx, func() (err error) {
			if arn, err = s.findExecution(ctx, text); err != nil {
				return err
			}
			if before == nil {
				if before, err = s.sfn.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(arn)}); err != nil {
					return apiError("describe the execution", err)
				}
			}
			x, err = s.stopNow(ctx, arn, cause)
			return err
		})
		if err != nil {
			return err
		}
		left, err := s.settle(ctx, arn)
		if err != nil {
			return err
		}
		var done []engine.CleanupEntry
		err = s.over(ctx, func() (err error) {
			done, err = s.cleanupReport(ctx, arn)
			return err
		})
		if err != nil {
			return err
		}
		done = slices.DeleteFunc(done, func(d engine.CleanupEntry) bool { return d.Type != engine.TaskStopped })
		return a.out.result(stopJSON(arn, aws.ToTime(x.StopDate), left, done), func() {
			if before.StopDate != nil {
				a.out.printf("%s had already ended: %s\n", nameOf(arn), before.Status)
			} else {
				a.out.printf("%s was stopped\n", nameOf(arn))
			}
			for _, d := range done {
				a.out.printf("  %s: %s\n", d.State, terminal.Clean(d.Outcome))
			}
		})
	})
}

// stopJSON returns the JSON of stop.
func stopJSON(arn string, when time.Time, left int, done []engine.CleanupEntry) map[string]any {
	tasks := []map[string]any{}
	for i := range done {
		_, details := cleanupDetails(&done[i])
		tasks = append(tasks, details)
	}
	return map[string]any{"arn": arn, "stopped": when.UTC().Format(time.RFC3339Nano), "left": left, "tasks": tasks}
}

// stopNow stops an execution without waiting for its jobs.
func (s *session) stopNow(ctx context.Context, arn, cause string) (*sfn.StopExecutionOutput, error) {
	x, err := s.sfn.StopExecution(ctx, &sfn.StopExecutionInput{ExecutionArn: aws.String(arn), Cause: aws.String(cause)})
	if err != nil {
		return nil, apiError("stop the execution", err)
	}
	return x, nil
}
