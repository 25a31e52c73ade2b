package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/task/snapshot"
)

func redriveCommand(a *app) *cobra.Command {
	var o runOptions
	c := &cobra.Command{
		Use:   "redrive [EXECUTION]",
		Short: "restart an execution from its failed steps",
		Long: "redrive restarts a failed, timed out or stopped execution (default: the newest one) from the steps that did not succeed. Steps that succeeded do not " +
			"run again. The execution keeps the definition and the code that it started with: to use a changed pipeline file or changed " +
			"code, start a new run. Like run, redrive watches the execution until it ends.",
		Example: "  rayorch redrive",
		Args:    atMostOneArg,
		RunE: func(c *cobra.Command, args []string) error {
			if err := atLeastZero(c, "wait", o.wait); err != nil {
				return err
			}
			return a.redrive(c.Context(), first(args), o)
		},
	}
	o.ray.flags(c)
	o.watchFlags(c)
	return c
}

// redrive redrives an execution and watches it. It supplies the secrets before, so that a missing one is an error before anything starts.
func (a *app) redrive(ctx context.Context, text string, o runOptions) error {
	w := newWatcher(a.out, o.follow)
	defer w.screen.Close()
	return a.with(ctx, ownerOptions{Run: true, Ray: o.ray}, func(s *session) (err error) {
		arn, token := "", runName(time.Now()) // with the same token, repeated requests redrive the execution once
		err = s.over(ctx, func() (err error) {
			if arn, err = s.findExecution(ctx, text); err == nil {
				err = s.supplySecrets(ctx, arn)
			}
			if err == nil {
				err = s.redriveOnce(ctx, arn, token)
			}
			if err == nil { // again: the owner drops the secrets of an execution that has ended
				err = s.supplySecrets(ctx, arn)
			}
			return err
		})
		if err != nil {
			return err
		}
		w.screen.Printf("redriving %s", nameOf(arn))
		for _, changed := range s.changedSince(ctx, arn) {
			w.screen.Printf("%s has changed since the run started: redrive uses the old version; to use the change, start a new run: rayorch run", changed)
		}
		err = w.watchToEnd(ctx, s, arn, o.wait)
		return errors.Join(err, s.releaseOwnRay())
	})
}

// redriveOnce redrives an execution and makes the owner drive it. It can be repeated with the same token.
func (s *session) redriveOnce(ctx context.Context, arn, token string) error {
	_, err := s.sfn.RedriveExecution(ctx, &sfn.RedriveExecutionInput{ExecutionArn: aws.String(arn), ClientToken: aws.String(token)})
	if err != nil {
		return apiError("redrive the execution", err)
	}
	return s.resume(ctx, arn)
}

// changedSince returns what has changed since the run started: the pipeline file, and directories with code. What cannot be compared is
// ignored, so that the run can be redriven anyway.
func (s *session) changedSince(ctx context.Context, arn string) []string {
	code, err := s.code(ctx, arn)
	if err != nil {
		return nil
	}
	changed := s.changedCode(ctx, code)
	if kept := slices.ContainsFunc(code, func(c snapshot.Snapshot) bool { return c.File }); (s.dir == "" || !kept) && s.changedDefinition(ctx, arn) {
		changed = append(changed, "the definition that the pipeline file compiles to")
	}
	return changed
}

// changedDefinition reports whether the pipeline file in this directory has the name of the run's pipeline and compiles to another
// definition than the run's. There can be other reasons than a change: flags of the run, or another release of rayorch.
func (s *session) changedDefinition(ctx context.Context, arn string) bool {
	src, err := s.app.load(sourceOptions{})
	if err != nil || src.pipeline.Name != pipelineOf(arn) || len(src.pipeline.Targets.Entries) > 1 { // the target of the run is not known
		return false
	}
	now, err := src.compile(s.stateDir(), "")
	if err != nil {
		return false // redrive does not need the file
	}
	then, err := s.client.Definition(ctx, arn)
	return err == nil && then != string(now.Definition)
}

// pipelineOf returns the name of the state machine in an execution's ARN.
func pipelineOf(arn string) string {
	parts := strings.Split(arn, ":")
	return parts[max(0, len(parts)-2)]
}
