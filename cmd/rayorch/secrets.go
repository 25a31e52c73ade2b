package main

import (
	"context"
	"os"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// envValues returns the values of environment variables of this process. Missing and empty ones are an error.
func envValues(variables []string) (map[string]string, error) {
	values := map[string]string{}
	var missing []string
	for _, name := range variables {
		if value := os.Getenv(name); value != "" {
			values[name] = value
		} else {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return nil, fail(exitError, "set in the environment of this command: "+strings.Join(missing, ", "),
			"missing secrets: environment variables that are not set: %s", strings.Join(missing, ", "))
	}
	return values, nil
}

// supplySecrets sends the owner the secrets that it lacks for open runs, from the environment of this process. A new owner has none: they
// are kept in memory only.
func (s *session) supplySecrets(ctx context.Context, arns ...string) error {
	for _, arn := range arns {
		names, err := s.client.MissingSecrets(ctx, arn)
		if err != nil {
			return err
		}
		values, err := envValues(names)
		if err != nil {
			return err
		}
		if err := s.client.SendSecrets(ctx, arn, values); err != nil {
			return err
		}
	}
	return nil
}

// executionARN returns the ARN that an execution of a state machine, or of a version, will have.
func executionARN(machine, name string) string {
	return stepfn.ExecutionOf(machine, name)
}

// secretValues returns the values of the secrets that steps use, by environment variable. For a target in a cluster it returns none: its
// secrets are in the cluster.
func (s *source) secretValues() (map[string]string, error) {
	name, err := s.targetName()
	if err != nil {
		return nil, err
	}
	if t, ok := s.pipeline.Targets.Get(name); ok && t.Kind != kindLocal {
		return nil, nil
	}
	users := pipeline.SecretUsers(s.pipeline.Steps)
	var variables []string
	for _, e := range s.pipeline.Secrets.Entries {
		if len(users[e.Key]) > 0 && e.Value.Env != "" {
			variables = append(variables, e.Value.Env)
		}
	}
	return envValues(variables)
}
