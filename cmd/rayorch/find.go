package main

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/rayorch/rayorch/internal/stepfn"
)

// errStop ends an iteration over pages early.
var errStop = errors.New("stop")

// recording calls do for each state machine whose executions can be listed: all except Express state machines. If asked is the name of an
// Express state machine, that is an error.
func (s *session) recording(ctx context.Context, asked string, do func(types.StateMachineListItem) error) error {
	return s.client.Machines(ctx, func(m types.StateMachineListItem) error {
		switch {
		case m.Type != types.StateMachineTypeExpress:
			return do(m)
		case aws.ToString(m.Name) == asked:
			return fail(exitError, "", "%s is an Express state machine: its executions are not recorded", asked)
		}
		return nil
	})
}

// executions calls do for each execution of a state machine, newest first, until do returns an error.
func (s *session) executions(ctx context.Context, machine string, status types.ExecutionStatus,
	do func(types.ExecutionListItem) error,
) error {
	pages := sfn.NewListExecutionsPaginator(s.sfn, &sfn.ListExecutionsInput{
		StateMachineArn: aws.String(machine), StatusFilter: status,
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return apiError("list executions", err)
		}
		for _, x := range page.Executions {
			if err := do(x); err != nil {
				return err
			}
		}
	}
	return nil
}

// findExecution returns the ARN of the execution that a user names: by its ARN, PIPELINE/NAME, a name, the name of a pipeline for its
// newest execution, or a unique prefix of a name. "" is the newest execution of all.
func (s *session) findExecution(ctx context.Context, text string) (string, error) {
	if strings.HasPrefix(text, "arn:") {
		return text, nil
	}
	pipeline, name, found := strings.Cut(text, "/") // "PIPELINE/" is the newest execution of a pipeline
	if !found {
		pipeline, name = "", text
	}
	var all, newest []types.ExecutionListItem
	err := s.recording(ctx, pipeline, func(m types.StateMachineListItem) error {
		machine, arn := aws.ToString(m.Name), aws.ToString(m.StateMachineArn)
		if pipeline != "" && machine != pipeline {
			return nil
		}
		if machine == text { // the text may be the name of a pipeline: its newest execution
			if err := s.matching(ctx, arn, "", &newest); err != nil {
				return err
			}
		}
		if pipeline == "" && isCleanup(machine) { // executions of cleanup machines must be named with their machine
			return nil
		}
		return s.matching(ctx, arn, name, &all)
	})
	if err != nil {
		return "", err
	}
	return pick(all, newest, text)
}

// matching appends the executions of a state machine whose names start with name; if name is empty, only the newest one.
func (s *session) matching(ctx context.Context, machine, name string, into *[]types.ExecutionListItem) error {
	err := s.executions(ctx, machine, "", func(x types.ExecutionListItem) error {
		if !strings.HasPrefix(aws.ToString(x.Name), name) {
			return nil
		}
		*into = append(*into, x)
		if name == "" || aws.ToString(x.Name) == name {
			return errStop
		}
		return nil
	})
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

// pick chooses from the executions whose names have the prefix, and the newest execution of a pipeline with that name. An execution whose
// whole name matches takes precedence.
func pick(all, ofPipeline []types.ExecutionListItem, text string) (string, error) {
	var exact, newest *types.ExecutionListItem
	for i := range all {
		x := &all[i]
		if newest == nil || x.StartDate.After(*newest.StartDate) {
			newest = x
		}
		if aws.ToString(x.Name) == text[strings.Index(text, "/")+1:] {
			exact = x
		}
	}
	switch {
	case exact == nil && len(ofPipeline) > 0:
		return aws.ToString(ofPipeline[0].ExecutionArn), nil
	case newest == nil && text == "":
		return "", fail(exitError, "start one with rayorch run", "no executions found")
	case newest == nil:
		return "", fail(exitError, "to list executions: rayorch list", "execution %q not found", text)
	case text == "":
		return aws.ToString(newest.ExecutionArn), nil
	case exact != nil:
		return aws.ToString(exact.ExecutionArn), nil
	case len(all) > 1:
		return "", fail(exitUsage, "use a longer prefix, or PIPELINE/NAME", "%d executions start with %q", len(all), text)
	}
	return aws.ToString(all[0].ExecutionArn), nil
}

// isCleanup reports whether a state machine is the cleanup machine of another one.
func isCleanup(machine string) bool { return strings.HasSuffix(machine, stepfn.CleanupSuffix) }

// nameOf returns the last part of an ARN: the name of an execution or of a state machine.
func nameOf(arn string) string { return stepfn.NameOf(arn) }
