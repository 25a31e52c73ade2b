package main

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/view/progress"
)

func resumeCommand(a *app) *cobra.Command {
	var o runOptions
	c := &cobra.Command{
		Use:   "resume [EXECUTION]",
		Short: "resume runs whose process was killed",
		Long: "resume resumes an interrupted run: it finds the jobs that are still running, follows them, and continues the run. Without " +
			"EXECUTION, it resumes all open runs and watches the newest one first. A parked run, whose process died twice during the same " +
			"step, is resumed only if it is named.",
		Example: "  rayorch resume",
		Args:    atMostOneArg,
		RunE: func(c *cobra.Command, args []string) error {
			if err := atLeastZero(c, "wait", o.wait); err != nil {
				return err
			}
			return a.resume(c.Context(), first(args), o)
		},
	}
	o.ray.flags(c)
	o.watchFlags(c)
	return c
}

// resume resumes one run or all open runs, and watches them until they end: the newest one with its result, then the others.
func (a *app) resume(ctx context.Context, text string, o runOptions) error {
	w := newWatcher(a.out, o.follow)
	defer w.screen.Close()
	return a.with(ctx, ownerOptions{Run: true, Ray: o.ray}, func(s *session) (err error) {
		var arns []string
		err = s.over(ctx, func() (err error) {
			arns, err = s.toResume(ctx, text)
			return err
		})
		if err != nil {
			return err
		}
		if len(arns) == 0 {
			a.out.say("nothing to resume: no run is open")
			return nil
		}
		err = s.over(ctx, func() error {
			if err := s.supplySecrets(ctx, arns...); err != nil {
				return err
			}
			return s.resume(ctx, arns...)
		})
		if err != nil {
			return err
		}
		w.screen.Printf("%s", s.resumed(ctx, arns[0]))
		s.arns = arns
		err = w.watchToEnd(ctx, s, arns[0], o.wait)
		for _, arn := range arns[1:] {
			if endedEarly(err) {
				return err
			}
			err = errors.Join(err, w.alsoToEnd(ctx, s, arn))
		}
		return errors.Join(err, s.releaseOwnRay())
	})
}

// resumed returns what resume does with a run: one that has ended is only shown.
func (s *session) resumed(ctx context.Context, arn string) string {
	x, err := s.sfn.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(arn)})
	if err == nil && x.StopDate != nil {
		return nameOf(arn) + " has already ended"
	}
	return "resuming " + nameOf(arn)
}

// endedEarly reports whether a watch ended before its run did. Then the command does not wait for the other runs that it resumed.
func endedEarly(err error) bool {
	var code silent
	return errors.As(err, &code) && code != exitFailed
}

// alsoToEnd waits for one of the other resumed runs, without printing its result.
func (w *watcher) alsoToEnd(ctx context.Context, s *session, arn string) error {
	w.view, w.logs = progress.New(nil), map[string]bool{}
	err := w.watch(ctx, s, arn, 0)
	var code silent
	if errors.As(err, &code) && code == exitHangUp {
		return errors.Join(s.handOver(ctx), code)
	}
	return err
}

// toResume returns the runs to resume, newest first: the named one, or all that are open and not parked.
func (s *session) toResume(ctx context.Context, text string) ([]string, error) {
	if text != "" {
		arn, err := s.findExecution(ctx, text)
		return []string{arn}, err
	}
	open, err := s.openExecutions(ctx)
	arns := make([]string, 0, len(open))
	for _, x := range open {
		if x.Parked != "" {
			s.app.out.say(parkedText(x.Name, x.Parked))
			continue
		}
		arns = append(arns, x.ARN)
	}
	return arns, err
}

// openExecutions returns all executions that have not ended, newest first, including those of cleanup machines.
func (s *session) openExecutions(ctx context.Context) ([]listed, error) {
	return s.listed(ctx, "", types.ExecutionStatusRunning, 0, true)
}
