package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/rayorch/rayorch/internal/client"
	"github.com/rayorch/rayorch/internal/compile"
)

// cleanupTag names a machine's clean-up machine: the engine starts it when an execution is aborted or times out.
const cleanupTag = "rayorch:cleanup"

// register makes or updates the state machines of a pipeline and returns the ARN of the version to start.
func (s *session) register(ctx context.Context, name, description string, out *compile.Result) (string, error) {
	m := client.Machine{Name: name, Definition: string(out.Definition), Description: description}
	if len(out.Cleanup) > 0 {
		arn, err := s.client.Register(ctx, client.Machine{Name: name + cleanupSuffix, Definition: string(out.Cleanup)})
		if err != nil {
			return "", s.explained(ctx, err)
		}
		m.Tags = []types.Tag{{Key: aws.String(cleanupTag), Value: aws.String(unversioned(arn))}}
	}
	version, err := s.client.Register(ctx, m)
	return version, s.explained(ctx, err)
}

// explained adds what to do if a server of another release does not understand a definition.
func (s *session) explained(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if hint := s.client.OtherRelease(ctx, version, err.Error()); hint != "" {
		return fail(exitError, hint, "%w", err)
	}
	return err
}

// unversioned cuts the version off a state machine version's ARN, which has one part more than the machine's.
func unversioned(arn string) string {
	parts := 0
	for i, c := range arn {
		if c == ':' {
			if parts++; parts == 7 {
				return arn[:i]
			}
		}
	}
	return arn
}
