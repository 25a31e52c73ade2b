package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/aws/deploy"
	"github.com/rayorch/rayorch/internal/backend/kube"
)

func diffCommand(a *app) *cobra.Command {
	var o awsOptions
	c := &cobra.Command{
		Use:   "diff [PIPELINE]",
		Short: "show what deploy would change on AWS and in the cluster",
		Long: "diff shows the changes of a CloudFormation change set, which it deletes again, and of a server-side dry run in the cluster. " +
			"It changes nothing. The exit code is 0 whether or not there are changes.",
		Example: "  rayorch diff examples/shakespeare --params-file params.yaml",
		Args:    atMostOneArg,
		RunE: func(c *cobra.Command, args []string) error {
			o.path = first(args)
			return a.diff(c.Context(), o)
		},
	}
	o.flags(c)
	return c
}

// diff prints what deploy would change. It uploads a large template, because CloudFormation needs it for the change set.
func (a *app) diff(ctx context.Context, o awsOptions) error {
	d, plan, params, _, err := a.plan(ctx, o)
	if err != nil {
		return err
	}
	if plan.URL, err = a.uploadTemplate(ctx, plan.Stack, params); err != nil {
		return err
	}
	changes, differences, err := d.Differences(ctx, plan)
	if err != nil {
		return err
	}
	return printDifferences(a.out, plan.Stack.Name, changes, differences)
}

// printDifferences prints the changes of the stack, and the objects that would change with their diffs.
func printDifferences(p *printer, name string, changes []deploy.Change, differences []kube.Difference) error {
	return p.result(map[string]any{"stack": name, "changes": changes, "objects": differences}, func() {
		for _, c := range changes {
			p.printf("%s\n", c)
		}
		n := len(changes)
		for _, d := range differences {
			if d.Action != kube.Unchanged {
				n++
				p.printf("%s: %s\n%s", kube.Title(d.Object), d.Action, d.Text)
			}
		}
		if n == 0 {
			p.printf("stack %s and its objects are up to date\n", name)
		}
	})
}
