package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/rayorch/rayorch/internal/api/client"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// register creates or updates the state machine of a pipeline, and its cleanup machine, and returns the ARN of the version to start.
func (s *session) register(ctx context.Context, name, description string, out *compile.Result) (string, error) {
	m := client.Machine{Name: name, Definition: string(out.Definition), Description: description}
	if len(out.Cleanup) > 0 {
		arn, err := s.client.Register(ctx, client.Machine{Name: name + stepfn.CleanupSuffix, Definition: string(out.Cleanup)})
		if err != nil {
			return "", s.explained(ctx, err)
		}
		m.Tags = []types.Tag{{Key: aws.String(stepfn.CleanupTag), Value: aws.String(stepfn.Unqualified(arn))}}
	}
	version, err := s.client.Register(ctx, m)
	return version, s.explained(ctx, err)
}

// explained adds a hint to the error if the server rejects a definition because it is another release of rayorch.
func (s *session) explained(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if hint := s.client.OtherRelease(ctx, version, err.Error()); hint != "" {
		return fail(exitError, hint, "%w", err)
	}
	return err
}
