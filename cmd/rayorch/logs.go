package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/api/client"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/view/progress"
)

func logsCommand(a *app) *cobra.Command {
	var q engine.LogQuery
	c := &cobra.Command{
		Use:   "logs [EXECUTION]",
		Short: "print the output of a step's job",
		Long: "logs prints the log of a step's newest attempt (default: the step that started last, of the newest execution). Logs are kept " +
			"in the state directory, so they outlive Ray. If the step has printed nothing, logs prints nothing.",
		Example: "  rayorch logs --step train --follow",
		Args:    atMostOneArg,
		RunE: func(c *cobra.Command, args []string) error {
			return a.logs(c.Context(), first(args), q)
		},
	}
	c.Flags().StringVarP(&q.State, "step", "s", "", "name of the step (default: the step that started last)")
	c.Flags().IntVar(&q.Attempt, "attempt", 0, "number of the attempt, starting at 1 (default: the newest)")
	c.Flags().BoolVarP(&q.Follow, "follow", "f", false, "wait for new output until the step ends")
	c.Flags().StringVar(&q.Task, "task", "", "task whose log to print, instead of --step: for logs of earlier releases, which logs lists with their tasks")
	return c
}

// logs prints the log of a step's attempt. With q.Follow, it prints new output until the step ends.
func (a *app) logs(ctx context.Context, text string, q engine.LogQuery) error {
	printed := int64(0)
	return a.readOnly(ctx, func(s *session) error {
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

// printLog prints a log. printed is the number of bytes that have been printed already: if the owner exits while it sends the log, the
// next owner sends it again from the start.
func (s *session) printLog(ctx context.Context, arn string, q engine.LogQuery, printed *int64) error {
	if s.owner != nil { // no process drives the step: there is nothing to wait for, and other commands wait for the directory
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
		n, err = io.Copy(s.app.out.stdout, r)
	}
	*printed += n
	return errors.Join(err, r.Close())
}

// namedLog turns a query with the name of a step, "" for the step that started last, into a query with a task. In a forEach, the name ends
// with the index, [i]. If the step has no log, the task is empty; with Follow, namedLog waits for a log until the step ends.
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
		if err := errors.Join(client.Sleep(ctx, logPoll), s.catchUp(ctx, arn, v)); err != nil {
			return q, err
		}
	}
}

// logPoll is the interval at which namedLog looks for a log that does not exist yet.
const logPoll = 500 * time.Millisecond

// ambiguous is the error for logs of an earlier release, which did not record to which iteration of a Map a log belongs.
func ambiguous(arn string, st *progress.Entry, attempt int, logs []engine.LogInfo) error {
	list := ""
	for _, l := range logs {
		list += fmt.Sprintf("\n  task %s, started %s, %d bytes", l.Task, l.Started.UTC().Format(eventTime), l.Size)
	}
	return fail(exitError, "to print one of them: rayorch logs "+arn+" --task TASK",
		"an earlier release kept %d logs of attempt %d of %s, without the iteration that each belongs to:%s", len(logs), attempt, st.State, list)
}

// namedAttempt returns the step and the attempt that a query names.
func namedAttempt(v *progress.View, arn string, q engine.LogQuery) (st *progress.Entry, attempt int, err error) {
	st = stepNamed(v.Steps(), q.State)
	switch {
	case st == nil && q.State == "":
		return nil, 0, fail(exitError, "", "no step of the execution %s has started", nameOf(arn))
	case st == nil:
		return nil, 0, fail(exitError, "to list the steps: rayorch describe "+nameOf(arn),
			"the execution %s has no step %q", nameOf(arn), q.State)
	case st.Status == progress.Skipped:
		return nil, 0, fail(exitError, "", "the step %s was skipped and has no log", st.Name)
	}
	attempt = q.Attempt
	if attempt < 0 || attempt > st.Attempt {
		return nil, 0, fail(exitError, "to list the steps: rayorch describe "+nameOf(arn),
			"the step %s has no attempt %d; number of attempts: %d", st.Name, attempt, st.Attempt)
	}
	if attempt == 0 {
		attempt = st.Attempt
	}
	return st, attempt, nil
}

// stepNamed returns the newest step with a name, which may also be the name of its state; for "", the newest step that was not skipped.
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
