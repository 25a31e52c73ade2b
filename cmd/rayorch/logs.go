package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/engine"
)

func (a *app) logsCommand() *cobra.Command {
	var q engine.LogQuery
	c := &cobra.Command{
		Use:   "logs [EXECUTION] --step STEP",
		Short: "print what a step's job printed",
		Long: "logs prints the log of a step's newest attempt, of the newest execution when none is named. Logs are kept in the\n" +
			"state directory, so that they stay when Ray is gone.",
		Example: "  rayorch logs --step train --follow",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.logs(c.Context(), first(args), q)
		},
	}
	c.Flags().StringVarP(&q.State, "step", "s", "", "the step (default: the one that started last)")
	c.Flags().IntVar(&q.Attempt, "attempt", 0, "the attempt, from 1 (default: the newest)")
	c.Flags().BoolVarP(&q.Follow, "follow", "f", false, "wait for more until the step has ended")
	return c
}

func (a *app) logs(ctx context.Context, text string, q engine.LogQuery) (err error) {
	s, err := a.attach(ctx, ownerOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	arn, err := s.findExecution(ctx, text)
	if err != nil {
		return err
	}
	if s.owner == nil && s.http == nil {
		return fail(exitError, "the jobs' logs are where the target sends them", "step functions on aws keeps no logs of jobs")
	}
	if q.State == "" {
		if q.State, err = s.lastStep(ctx, arn); err != nil {
			return err
		}
	}
	r, err := s.openLog(ctx, arn, q)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	_, err = io.Copy(a.out, r)
	return err
}

func (s *session) lastStep(ctx context.Context, arn string) (string, error) {
	sum, err := s.summary(ctx, arn)
	if err != nil {
		return "", err
	}
	if len(sum.Steps) == 0 {
		return "", fail(exitError, "", "the execution %s has started no step", nameOf(arn))
	}
	return sum.Steps[len(sum.Steps)-1].Name, nil
}
