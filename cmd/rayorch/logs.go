package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/view/progress"
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
	c.Flags().StringVar(&q.Task, "task", "", "id of a task, instead of a step and an attempt: for logs of earlier releases that logs lists")
	return c
}

func (a *app) logs(ctx context.Context, text string, q engine.LogQuery) error {
	printed := int64(0)
	return a.look(ctx, func(s *session) error {
		arn, err := s.findExecution(ctx, text)
		if err != nil {
			return err
		}
		if err := s.client.KeepsLogs(ctx); err != nil {
			return err
		}
		return s.printLog(ctx, arn, q, &printed)
	})
}

// printLog prints a log from where an earlier owner's answer was cut off.
func (s *session) printLog(ctx context.Context, arn string, q engine.LogQuery, printed *int64) error {
	if s.owner != nil { // nobody runs the step, so that there is nothing to wait for, and others wait for the directory
		q.Follow = false
	}
	q, err := s.namedLog(ctx, arn, q)
	if err != nil || q.Task == "" { // the step has printed nothing
		return err
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

// namedLog turns a step's name, with [i] inside a for-each, into a query by the task; no name is the step that started last. Without a
// log, there is no task.
func (s *session) namedLog(ctx context.Context, arn string, q engine.LogQuery) (engine.LogQuery, error) {
	switch {
	case q.Task == "":
	case q.State != "" || q.Attempt != 0:
		return q, fail(exitUsage, "", "--task cannot be combined with --step or --attempt")
	default:
		return q, s.checkTask(ctx, arn, q.Task)
	}
	v := progress.New(nil)
	if err := s.catchUp(ctx, arn, v); err != nil {
		return q, err
	}
	st, attempt, err := namedAttempt(v, arn, q)
	if err != nil {
		return q, err
	}
	if attempt == st.Attempt {
		if err := s.sayPending(ctx, arn, v, st); err != nil {
			return q, err
		}
	}
	for {
		logs, err := s.logsOf(ctx, arn)
		if err != nil {
			return q, err
		}
		found := stepLogs(logs, st, attempt)
		if len(found) > 1 {
			return q, ambiguous(arn, st, attempt, found)
		}
		if len(found) == 1 {
			q.Task = found[0].Task
			return q, nil
		}
		if !q.Follow || st.Status.Ended() || st.Attempt > attempt {
			return q, nil
		}
		if err := errors.Join(pause(ctx, logPoll), s.catchUp(ctx, arn, v)); err != nil {
			return q, err
		}
	}
}

// logPoll is how often a log is looked for that does not exist yet.
const logPoll = 500 * time.Millisecond

// ambiguous lists logs of an earlier release, which do not show the iteration of a Map that they belong to.
func ambiguous(arn string, st *progress.Entry, attempt int, logs []engine.LogInfo) error {
	list := ""
	for _, l := range logs {
		list += fmt.Sprintf("\n  task %s, started %s, %d bytes", l.Task, l.Started.UTC().Format(eventTime), l.Size)
	}
	return fail(exitError, "to print one of them: rayorch logs "+arn+" --task TASK",
		"an earlier release kept %d logs of attempt %d of %s, without the iteration that each belongs to:%s", len(logs), attempt, st.State, list)
}

// namedAttempt is the step and the attempt that a query names.
func namedAttempt(v *progress.View, arn string, q engine.LogQuery) (st *progress.Entry, attempt int, err error) {
	st = stepNamed(v.Steps(), q.State)
	switch {
	case st == nil && q.State == "":
		return nil, 0, fail(exitError, "", "the execution %s has started no step", nameOf(arn))
	case st == nil:
		return nil, 0, fail(exitError, "rayorch describe shows its steps", "the execution %s has no step %q", nameOf(arn), q.State)
	case st.Status == progress.Skipped:
		return nil, 0, fail(exitError, "", "the step %s was skipped and has no log", st.Name)
	}
	attempt = q.Attempt
	if attempt < 0 || attempt > st.Attempt {
		return nil, 0, fail(exitError, "rayorch describe shows its steps", "the step %s has no attempt %d: it has had %d", st.Name, attempt, st.Attempt)
	}
	if attempt == 0 {
		attempt = st.Attempt
	}
	return st, attempt, nil
}

// stepNamed is the newest step of a name, or the newest of all.
func stepNamed(steps []*progress.Entry, name string) *progress.Entry {
	for _, st := range slices.Backward(steps) {
		if !st.IsWait() && (name == "" && st.Status != progress.Skipped || st.Name == name || st.State == name) {
			return st
		}
	}
	return nil
}

// checkTask returns an error if the execution has no log of a task.
func (s *session) checkTask(ctx context.Context, arn, task string) error {
	logs, err := s.logsOf(ctx, arn)
	if err == nil && !slices.ContainsFunc(logs, func(l engine.LogInfo) bool { return l.Task == task }) {
		err = fail(exitError, "", "the execution %s has no log of the task %s", nameOf(arn), task)
	}
	return err
}
