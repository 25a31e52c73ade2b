package main

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/spf13/cobra"
)

func (a *app) redriveCommand() *cobra.Command {
	var o runOptions
	c := &cobra.Command{
		Use:   "redrive [EXECUTION]",
		Short: "take a failed, timed out or stopped execution up again from where it failed",
		Long: "redrive goes on with an execution from the steps that did not succeed; what succeeded is not run again. It\n" +
			"watches the execution as run does.",
		Example: "  rayorch redrive",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.redrive(c.Context(), first(args), o)
		},
	}
	o.ray.flags(c)
	c.Flags().BoolVarP(&o.follow, "follow", "f", false, "print every line that the jobs print, with the step before it")
	c.Flags().DurationVar(&o.wait, "wait", 0, "watch at most this long, then exit with 4; the run goes on without a terminal (default: to its end)")
	return c
}

func (a *app) redrive(ctx context.Context, text string, o runOptions) error {
	w := a.newWatcher(o.follow)
	defer w.screen.Close()
	return a.with(ctx, ownerOptions{Run: true, Ray: o.ray}, func(s *session) (err error) {
		arn, token := "", runName(time.Now()) // of one command comes one redrive, however often it asks
		err = s.over(ctx, func() (err error) {
			if arn, err = s.findExecution(ctx, text); err == nil {
				err = s.supply(ctx, arn)
			}
			if err == nil {
				err = s.redriveOnce(ctx, arn, token)
			}
			return err
		})
		if err != nil {
			return err
		}
		w.screen.Say("going on with %s", nameOf(arn))
		err = a.watchToEnd(ctx, s, arn, w, o.wait)
		if s.owner != nil {
			err = errors.Join(err, s.releaseRay(s.owner.runners.find))
		}
		return err
	})
}

func (s *session) redriveOnce(ctx context.Context, arn, token string) error {
	_, err := s.sfn.RedriveExecution(ctx, &sfn.RedriveExecutionInput{ExecutionArn: aws.String(arn), ClientToken: aws.String(token)})
	if err != nil {
		return apiError("redrive the execution", err)
	}
	return s.resume(ctx, arn)
}
