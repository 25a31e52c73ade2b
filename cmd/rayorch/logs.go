package main

import (
	"context"
	"errors"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/progress"
)

func (a *app) logsCommand() *cobra.Command {
	var q engine.LogQuery
	c := &cobra.Command{
		Use:   "logs [EXECUTION] --step STEP",
		Short: "print what a step's job printed",
		Long: "logs prints the log of a step's newest attempt, of the newest execution when none is named. Logs are kept in the\n" +
			"state directory, so they remain when Ray is gone. For a step that has printed nothing, it prints nothing.",
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

func (a *app) logs(ctx context.Context, text string, q engine.LogQuery) error {
	printed := int64(0)
	return a.look(ctx, func(s *session) error {
		arn, err := s.findExecution(ctx, text)
		if err != nil {
			return err
		}
		if err := s.client.KeepsLogs(); err != nil {
			return err
		}
		return s.printLog(ctx, arn, q, &printed)
	})
}

// printLog prints a log from where an earlier owner's answer was cut off.
func (s *session) printLog(ctx context.Context, arn string, q engine.LogQuery, printed *int64) error {
	q, err := s.namedLog(ctx, arn, q)
	if err != nil {
		return err
	}
	if s.owner != nil { // nobody runs the step, so that there is nothing to wait for, and others wait for the directory
		q.Follow = false
	}
	r, err := s.openLog(ctx, arn, q)
	if errors.Is(err, engine.ErrNoLog) {
		return nil // the step has printed nothing
	}
	if err != nil {
		return err
	}
	n := int64(0)
	if _, err = io.CopyN(io.Discard, r, *printed); err == nil {
		n, err = io.Copy(s.app.out, r)
	}
	*printed += n
	return errors.Join(err, r.Close())
}

// namedLog turns a step's name, with [i] inside a for-each, into a query; no name is the step that started last.
func (s *session) namedLog(ctx context.Context, arn string, q engine.LogQuery) (engine.LogQuery, error) {
	v := progress.New()
	if err := s.catchUp(ctx, arn, v); err != nil {
		return q, err
	}
	st := stepNamed(v.Steps, q.State)
	switch {
	case st == nil && q.State == "":
		return q, fail(exitError, "", "the execution %s has started no step", nameOf(arn))
	case st == nil:
		return q, fail(exitError, "rayorch describe shows its steps", "the execution %s has no step %q", nameOf(arn), q.State)
	case st.Status == progress.Skipped:
		return q, fail(exitError, "", "the step %s was skipped and has no log", st.Name)
	}
	attempt := q.Attempt
	if attempt < 0 || attempt > st.Attempt {
		return q, fail(exitError, "rayorch describe shows its steps", "the step %s has no attempt %d: it has had %d", st.Name, attempt, st.Attempt)
	}
	if attempt == 0 {
		attempt = st.Attempt
	}
	if attempt == st.Attempt {
		if err := s.sayPending(ctx, arn, v, st); err != nil {
			return q, err
		}
	}
	logs, err := s.logsOf(ctx, arn)
	if err != nil {
		return q, err
	}
	q.State = st.State
	if id, ok := stepLog(v.Steps, logs, st, attempt); ok {
		q.Task = id
	}
	return q, nil
}

// stepNamed is the newest step of a name, or the newest of all.
func stepNamed(steps []*progress.Step, name string) *progress.Step {
	for _, st := range slices.Backward(steps) {
		if !st.Wait && (name == "" && st.Status != progress.Skipped || st.Name == name || st.State == name) {
			return st
		}
	}
	return nil
}
