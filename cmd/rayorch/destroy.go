package main

import (
	"cmp"
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/aws/deploy"
	"github.com/rayorch/rayorch/internal/aws/stack"
)

func destroyCommand(a *app) *cobra.Command {
	var o awsOptions
	var r deploy.Removal
	c := &cobra.Command{
		Use:   "destroy [PIPELINE]",
		Short: "remove the resources that deploy created on AWS and in the cluster",
		Long: "destroy removes what the record in the stack lists, and nothing else. It needs only the stack's name: --stack-name, else " +
			"as Seed-Farmer names it, else rayorch-PIPELINE. You can interrupt it and run it again. If executions are running, destroy " +
			"fails, unless --stop stops them and waits for their cleanup.",
		Example: "  rayorch destroy examples/shakespeare --keep-logs",
		Args:    atMostOneArg,
		RunE: func(c *cobra.Command, args []string) error {
			o.path = first(args)
			return a.destroy(c.Context(), o, r)
		},
	}
	c.Flags().StringVar(&o.stackName, "stack-name", "", deployedStack)
	c.Flags().BoolVar(&r.KeepLogs, "keep-logs", false, "keep the log group, and the KMS key if the stack created it")
	c.Flags().BoolVar(&r.StopRuns, "stop", false, "stop running executions first")
	return c
}

// destroy removes a stack and its objects. It does not need the pipeline file if the name of the stack is known: see stackName.
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
		return fail(exitInterrupted, "to continue, run the same command again", "interrupted")
	}
	if err != nil {
		return err
	}
	return a.out.result(map[string]any{"stack": r.Stack, "destroyed": true}, func() { a.out.printf("stack %s was removed\n", r.Stack) })
}

// stackName returns the name of the stack that deploy creates. If the name does not depend on the pipeline, the pipeline file need not
// exist anymore.
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

// deployedStack is the usage of --stack-name in commands for a deployment.
const deployedStack = "name of the deployed stack (default: as Seed-Farmer names it, else rayorch-PIPELINE)"

// publishedName is the name of the workload that is embedded in rayorch.
const publishedName = "gptj-published"
