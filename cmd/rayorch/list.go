package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/view/terminal"
)

func listCommand(a *app) *cobra.Command {
	var status string
	var limit int
	var all bool
	c := &cobra.Command{
		Use:   "list [PIPELINE]",
		Short: "list executions, newest first",
		Long: "list lists executions with their status, start time and duration. An open execution that no process drives is shown as " +
			"interrupted, or as parked if its process died twice during the same step.",
		Example: "  rayorch list\n  rayorch list shakespeare --status FAILED",
		Args:    atMostOneArg,
		RunE: func(c *cobra.Command, args []string) error {
			want, err := statusFlag(c, status)
			if err != nil {
				return err
			}
			if limit < 0 {
				return usage(c, fmt.Errorf("--limit must be at least 0, got %d", limit))
			}
			return a.list(c.Context(), strings.Join(args, ""), want, limit, all)
		},
	}
	c.Flags().StringVar(&status, "status", "", "list only executions with this status: RUNNING, SUCCEEDED, FAILED, TIMED_OUT or ABORTED")
	c.Flags().IntVarP(&limit, "limit", "n", 20, "maximum number of executions to list; 0 lists all")
	c.Flags().BoolVarP(&all, "all", "a", false, "include the executions of cleanup machines")
	return c
}

// statusFlag returns the status that --status names, in any case; "" for all.
func statusFlag(c *cobra.Command, text string) (types.ExecutionStatus, error) {
	want := types.ExecutionStatus(strings.ToUpper(text))
	if want == "" {
		return want, nil
	}
	for _, s := range want.Values() {
		if s == want {
			return want, nil
		}
	}
	return "", usage(c, fmt.Errorf("--status must be RUNNING, SUCCEEDED, FAILED, TIMED_OUT or ABORTED, got %q", text))
}

// listed is an execution in the JSON of list.
type listed struct {
	ARN      string     `json:"arn"`
	Name     string     `json:"name"`
	Pipeline string     `json:"pipeline"`
	Status   string     `json:"status"`
	Started  time.Time  `json:"started"`
	Stopped  *time.Time `json:"stopped,omitempty"`
	Driven   *bool      `json:"driven,omitempty"` // whether a process drives an open execution; nil if not known
	Parked   string     `json:"parked,omitempty"` // why the execution is parked
}

// interrupted reports whether an execution is open and no process drives it.
func interrupted(driven *bool) bool { return driven != nil && !*driven }

// shownStatus returns the status as a terminal shows it. An open execution that no process drives is interrupted or parked; its status in
// the API is RUNNING.
func shownStatus(status string, driven *bool, parked string) string {
	if parked != "" {
		return "parked"
	}
	if interrupted(driven) {
		return "interrupted"
	}
	return status
}

// parkedText returns why an execution is parked, and what to do.
func parkedText(name, reason string) string {
	return fmt.Sprintf("parked: %s; to stop it: rayorch stop %s; to retry the step: rayorch resume %s", reason, name, name)
}

func isOpen(status string) bool { return status == string(types.ExecutionStatusRunning) }

// list prints executions: see listed.
func (a *app) list(ctx context.Context, pipeline string, status types.ExecutionStatus, limit int, all bool) error {
	var rows []listed
	err := a.readOnly(ctx, func(s *session) (err error) {
		rows, err = s.listed(ctx, pipeline, status, limit, all)
		return err
	})
	if err != nil {
		return err
	}
	return a.out.result(rows, func() { printExecutions(a.out, rows) })
}

// listed lists executions, newest first: at most limit (0 for all) of a pipeline, or of all pipelines if it is "". Executions of cleanup
// machines are listed only with all, or by the name of the machine. The rows of open executions report whether a process drives them.
func (s *session) listed(ctx context.Context, pipeline string, status types.ExecutionStatus, limit int, all bool) ([]listed, error) {
	rows := []listed{}
	err := s.recording(ctx, pipeline, func(m types.StateMachineListItem) error {
		name := aws.ToString(m.Name)
		if pipeline != "" && name != pipeline || pipeline == "" && !all && isCleanup(name) {
			return nil
		}
		n := 0
		err := s.executions(ctx, aws.ToString(m.StateMachineArn), status, func(x types.ExecutionListItem) error {
			if n++; limit > 0 && n > limit {
				return errStop
			}
			rows = append(rows, listed{
				ARN: aws.ToString(x.ExecutionArn), Name: aws.ToString(x.Name), Pipeline: name,
				Status: string(x.Status), Started: aws.ToTime(x.StartDate), Stopped: x.StopDate,
			})
			return nil
		})
		if errors.Is(err, errStop) {
			return nil
		}
		return err
	})
	// Each state machine has been limited by itself: merge them, and apply the limit again.
	slices.SortStableFunc(rows, func(a, b listed) int { return b.Started.Compare(a.Started) })
	if limit > 0 && len(rows) > limit {
		rows = rows[:limit]
	}
	if err != nil {
		return rows, err
	}
	if !slices.ContainsFunc(rows, func(r listed) bool { return isOpen(r.Status) }) { // no need to query the server
		return rows, nil
	}
	resting, known, err := s.resting(ctx)
	for i := range rows {
		if known && isOpen(rows[i].Status) {
			rows[i].Driven, rows[i].Parked = resting.of(rows[i].ARN)
		}
	}
	return rows, err
}

// printExecutions prints a table of executions, and on stderr what to do about those that no process drives.
func printExecutions(p *printer, rows []listed) {
	cells := make([][]string, 0, len(rows))
	for _, r := range rows {
		took := "-"
		if r.Stopped != nil {
			took = terminal.Duration(r.Stopped.Sub(r.Started))
		}
		cells = append(cells, []string{r.Pipeline, r.Name, shownStatus(r.Status, r.Driven, r.Parked), r.Started.Local().Format(time.DateTime), took})
	}
	p.table([]string{"PIPELINE", "NAME", "STATUS", "STARTED", "TOOK"}, cells)
	for _, r := range rows {
		switch {
		case r.Parked != "":
			p.say(parkedText(r.Name, r.Parked))
		case interrupted(r.Driven):
			p.say("interrupted: no process drives the run; resume it with: rayorch resume " + r.Name)
		}
	}
}
