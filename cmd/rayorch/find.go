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

// errStop ends a walk over pages early.
var errStop = errors.New("stop")

// recording calls do for every state machine whose executions can be listed, which is all but Express ones. One of those that
// is asked for by its name is an error.
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

// executions calls do for every execution of a machine, newest first.
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

// findExecution turns what a person types into an ARN: an ARN itself, PIPELINE/NAME, a name, a pipeline's name for its newest
// execution, a unique beginning of a name, or nothing at all for the newest execution.
func (s *session) findExecution(ctx context.Context, text string) (string, error) {
	if strings.HasPrefix(text, "arn:") {
		return text, nil
	}
	pipeline, name, found := strings.Cut(text, "/")
	if !found {
		pipeline, name = "", text
	}
	var all, newest []types.ExecutionListItem
	err := s.recording(ctx, pipeline, func(m types.StateMachineListItem) error {
		machine, arn := aws.ToString(m.Name), aws.ToString(m.StateMachineArn)
		if pipeline != "" && machine != pipeline {
			return nil
		}
		if machine == text {
			if err := s.matching(ctx, arn, "", &newest); err != nil {
				return err
			}
		}
		if pipeline == "" && isCleanup(machine) {
			return nil
		}
		return s.matching(ctx, arn, name, &all)
	})
	if err != nil {
		return "", err
	}
	return pick(all, newest, text)
}

// matching collects a machine's executions whose name starts with the text; of all names only the newest one.
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

// pick chooses among the executions whose names begin as was typed, and the newest one of a pipeline of that name.
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
		return "", fail(exitError, "start one by rayorch run", "there is no execution yet")
	case newest == nil:
		return "", fail(exitError, "rayorch list shows them", "there is no execution %q", text)
	case text == "":
		return aws.ToString(newest.ExecutionArn), nil
	case exact != nil:
		return aws.ToString(exact.ExecutionArn), nil
	case len(all) > 1:
		return "", fail(exitUsage, "give more of the name, or PIPELINE/NAME", "%d executions start with %q", len(all), text)
	}
	return aws.ToString(all[0].ExecutionArn), nil
}

func isCleanup(machine string) bool { return strings.HasSuffix(machine, stepfn.CleanupSuffix) }

// nameOf is the last part of an ARN: an execution's or a machine's name.
func nameOf(arn string) string { return stepfn.NameOf(arn) }
