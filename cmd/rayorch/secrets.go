package main

import (
	"context"
	"os"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// environment is the values of variables here. A missing one is an error before anything starts with it.
func environment(variables []string) (map[string]string, error) {
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
		return nil, fail(exitError, "set "+strings.Join(missing, " and ")+" in the environment of this command",
			"missing secrets: environment variables that are not set: %s", strings.Join(missing, ", "))
	}
	return values, nil
}

// supply hands the secrets of open runs over again, from this environment: a new owner does not have them.
func (s *session) supply(ctx context.Context, arns ...string) error {
	for _, arn := range arns {
		names, err := s.client.WantedSecrets(ctx, arn)
		if err != nil {
			return err
		}
		values, err := environment(names)
		if err != nil {
			return err
		}
		if err := s.client.GiveSecrets(ctx, arn, values); err != nil {
			return err
		}
	}
	return nil
}

// executionARN is what StartExecution will call the execution of a machine, or of a version of it.
func executionARN(machine, name string) string {
	return stepfn.ExecutionOf(machine, name)
}

// secretValues are the values of the secrets that the steps use here, from this environment. Targets in a cluster have theirs
// there.
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
	return environment(variables)
}
