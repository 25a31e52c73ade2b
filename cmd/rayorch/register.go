package main

import (
	"context"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/spf13/cobra"
)

func registerCommand(a *app) *cobra.Command {
	var o sourceOptions
	var ray rayOptions
	var alias string
	c := &cobra.Command{
		Use:   "register [PIPELINE]",
		Short: "register a pipeline as a state machine that can be started by name",
		Long: "register compiles a pipeline, creates or updates the state machine with its name, and publishes a version. With --alias, it " +
			"points an alias at that version. It does not start an execution: use rayorch start, boto3 or the AWS CLI.",
		Example: "  rayorch register examples/shakespeare --alias prod\n  rayorch start shakespeare --param steps=100",
		Args:    atMostOneArg,
		RunE: func(c *cobra.Command, args []string) error {
			o.path = first(args)
			return a.registerPipeline(c.Context(), o, ray, alias)
		},
	}
	o.flags(c)
	ray.flags(c)
	c.Flags().StringVar(&alias, "alias", "", "name of an alias to point at the new version")
	return c
}

// registered is the JSON that register prints.
type registered struct {
	Machine string `json:"stateMachineArn"`
	Version string `json:"stateMachineVersionArn"`
	Alias   string `json:"stateMachineAliasArn,omitempty"`
}

// registerPipeline registers a compiled pipeline and points an alias, if any, at the new version.
func (a *app) registerPipeline(ctx context.Context, o sourceOptions, ray rayOptions, alias string) error {
	src, err := a.load(o)
	if err != nil {
		return err
	}
	return a.with(ctx, ownerOptions{}, func(s *session) (err error) {
		// The definition outlives this command: compile --ray-address into it.
		out, err := src.compile(s.stateDir(), ray.address)
		if err != nil {
			return err
		}
		if err := a.placeFiles(ctx, src, out, a.out.sayf); err != nil {
			return err
		}
		var made registered
		err = s.over(ctx, func() error {
			version, err := s.register(ctx, src.pipeline.Name, src.pipeline.Description, out)
			made = registered{Machine: stepfn.Unqualified(version), Version: version}
			if err == nil && alias != "" {
				made.Alias, err = s.client.PointAlias(ctx, made.Machine, version, alias)
			}
			return err
		})
		if err != nil {
			return err
		}
		return a.out.result(made, func() {
			a.out.printf("registered %s\nto start it: rayorch start %s\n", made.Version, src.pipeline.Name)
		})
	})
}
