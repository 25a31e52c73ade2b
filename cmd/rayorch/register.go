package main

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/rayorch/rayorch/internal/compile"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// localRole stands where the API wants a role: here nobody assumes it.
const localRole = "arn:aws:iam::123456789012:role/rayorch"

// register makes or updates the state machines of a pipeline and returns the ARN of the version to start.
func (s *session) register(ctx context.Context, name, description string, out *compile.Result) (string, error) {
	var tags []types.Tag
	if len(out.Cleanup) > 0 {
		arn, err := s.putMachine(ctx, name+stepfn.CleanupSuffix, string(out.Cleanup), "", nil)
		if err != nil {
			return "", err
		}
		tags = append(tags, types.Tag{Key: aws.String(stepfn.CleanupTag), Value: aws.String(unversioned(arn))})
	}
	return s.putMachine(ctx, name, string(out.Definition), description, tags)
}

// unversioned is the ARN of a state machine without its version.
func unversioned(arn string) string { return stepfn.Unqualified(arn) }

func (s *session) putMachine(ctx context.Context, name, definition, description string, tags []types.Tag) (string, error) {
	made, err := s.sfn.CreateStateMachine(ctx, &sfn.CreateStateMachineInput{
		Name: aws.String(name), Definition: aws.String(definition), RoleArn: aws.String(localRole), Publish: true, Tags: tags,
		VersionDescription: text(description),
	})
	if err == nil {
		return s.madeVersion(ctx, made, definition, description)
	}
	var exists *types.StateMachineAlreadyExists
	if !errors.As(err, &exists) {
		return "", apiError("register the pipeline", err)
	}
	arn, err := s.machineARN(ctx, name)
	if err != nil {
		return "", err
	}
	return s.updateMachine(ctx, arn, definition, description)
}

// madeVersion is the version of the definition. Of a machine that was there already CreateStateMachine gives the first version,
// whatever the current definition's is.
func (s *session) madeVersion(ctx context.Context, made *sfn.CreateStateMachineOutput, definition, description string) (string, error) {
	v, err := s.sfn.DescribeStateMachine(ctx, &sfn.DescribeStateMachineInput{StateMachineArn: made.StateMachineVersionArn})
	if err != nil {
		return "", apiError("register the pipeline", err)
	}
	if aws.ToString(v.Definition) == definition {
		return aws.ToString(made.StateMachineVersionArn), nil
	}
	return s.updateMachine(ctx, aws.ToString(made.StateMachineArn), definition, description)
}

func (s *session) updateMachine(ctx context.Context, arn, definition, description string) (string, error) {
	updated, err := s.sfn.UpdateStateMachine(ctx, &sfn.UpdateStateMachineInput{
		StateMachineArn: aws.String(arn), Definition: aws.String(definition), Publish: true, VersionDescription: text(description),
	})
	if err != nil {
		return "", apiError("register the pipeline", err)
	}
	return aws.ToString(updated.StateMachineVersionArn), nil
}

func (s *session) machineARN(ctx context.Context, name string) (string, error) {
	var arn string
	err := s.machines(ctx, func(m types.StateMachineListItem) error {
		if aws.ToString(m.Name) != name {
			return nil
		}
		arn = aws.ToString(m.StateMachineArn)
		return errStop
	})
	if err != nil && !errors.Is(err, errStop) {
		return "", err
	}
	if arn == "" {
		return "", fail(exitError, "", "the state machine %s is gone: somebody removed it just now", name)
	}
	return arn, nil
}

// text is nil for an empty string: the API wants no empty ones.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return aws.String(s[:min(len(s), 256)])
}
