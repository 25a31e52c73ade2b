package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/aws/deploy"
	"github.com/rayorch/rayorch/internal/aws/stack"
)

func (a *app) destroyCommand() *cobra.Command {
	var o awsOptions
	var r deploy.Removal
	c := &cobra.Command{
		Use:   "destroy [PIPELINE]",
		Short: "take away from AWS and the cluster what deploy brought there, and nothing else",
		Long: "destroy goes by the record that deploy left in the stack, so it needs no parameters but which stack: --stack-name,\n" +
			"else Seed-Farmer's names, else the pipeline's. It can be interrupted and run again. Running executions refuse it,\n" +
			"unless --stop stops them and cleans up after them.",
		Example: "  rayorch destroy examples/shakespeare --keep-logs",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.path = first(args)
			return a.destroy(c.Context(), o, r)
		},
	}
	c.Flags().StringVar(&o.stackName, "stack-name", "", "the stack's name (default Seed-Farmer's names, else rayorch- and the pipeline's)")
	c.Flags().BoolVar(&r.KeepLogs, "keep-logs", false, "leave the log group, and the stack's own key")
	c.Flags().BoolVar(&r.StopRuns, "stop", false, "stop running executions first")
	return c
}

func (a *app) destroy(ctx context.Context, o awsOptions, r deploy.Removal) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if r.Stack, err = a.stackName(o); err != nil {
		return err
	}
	d, _, err := a.deployer(ctx)
	if err != nil {
		return err
	}
	err = d.Remove(ctx, r)
	if ctx.Err() != nil {
		return fail(exitInterrupted, "run the same command again: it goes on where this one stopped", "interrupted")
	}
	if err != nil {
		return err
	}
	if a.json() {
		return a.print(map[string]any{"stack": r.Stack, "destroyed": true})
	}
	_, err = fmt.Fprintf(a.out, "stack %s is gone\n", r.Stack)
	return err
}

// stackName is the stack that deploy would have made. Where a name is given, the pipeline need not be there any more.
func (a *app) stackName(o awsOptions) (string, error) {
	name := publishedName
	path := cmp.Or(o.path, os.Getenv(stack.EnvPrefix+"PIPELINE"))
	if path != "" && o.stackName == "" && os.Getenv("SEEDFARMER_MODULE_NAME") == "" {
		src, err := a.load(sourceOptions{path: path})
		if err != nil {
			return "", err
		}
		name = src.pipeline.Name
	}
	return stack.NewNames(identity(o, name), "").Stack, nil
}

// publishedName is the name of the workload that rayorch carries in itself.
const publishedName = "gptj-published"
