package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/view/progress"
	"github.com/rayorch/rayorch/internal/view/terminal"
)

func describeCommand(a *app) *cobra.Command {
	codeDiff := false
	c := &cobra.Command{
		Use:   "describe [EXECUTION]",
		Short: "show an execution with its steps, input, output and error",
		Long: "describe shows an execution. The name of a pipeline selects its newest execution; the default is the newest execution of " +
			"all pipelines. --code-diff compares the code that the execution started with, which rayorch keeps, with the current " +
			"directories.",
		Example: "  rayorch describe\n  rayorch describe shakespeare\n  rayorch describe shakespeare/20260101-120000 --output json",
		Args:    atMostOneArg,
		RunE: func(c *cobra.Command, args []string) error {
			if codeDiff {
				return a.describeCodeDiff(c.Context(), first(args))
			}
			return a.describe(c.Context(), first(args))
		},
	}
	c.Flags().BoolVar(&codeDiff, "code-diff", false, "show the differences between the code that the execution started with and the current directories")
	return c
}

// describe prints the execution that text names: see findExecution.
func (a *app) describe(ctx context.Context, text string) error {
	var sum *summary
	err := a.readOnly(ctx, func(s *session) error {
		arn, err := s.findExecution(ctx, text)
		if err == nil {
			sum, err = s.summary(ctx, arn)
		}
		return err
	})
	if err != nil {
		return err
	}
	return a.out.result(sum, func() { printSummary(a.out, sum) })
}

// summary is an execution as run, resume and describe show it with --output json. docs/cli.md documents it.
type summary struct {
	ARN      string          `json:"arn"`
	Name     string          `json:"name"`
	Pipeline string          `json:"pipeline"`
	Status   string          `json:"status"`
	Driven   *bool           `json:"driven,omitempty"` // whether a process drives an open execution; nil if not known
	Parked   string          `json:"parked,omitempty"` // why the execution is parked
	Started  time.Time       `json:"started"`
	Stopped  *time.Time      `json:"stopped,omitempty"`
	Input    json.RawMessage `json:"input,omitempty"`
	runParams
	Output   json.RawMessage `json:"output,omitempty"`
	Error    string          `json:"error,omitempty"`
	Cause    string          `json:"cause,omitempty"`
	Code     []codeSummary   `json:"code,omitempty"`
	Steps    []stepSummary   `json:"steps"`
	Warnings []string        `json:"warnings,omitempty"`
}

// stepSummary is a step, or one iteration of it in a forEach. It is part of the JSON of run, resume and describe.
type stepSummary struct {
	Name         string          `json:"name"`
	Status       progress.Status `json:"status"`
	Tolerated    bool            `json:"tolerated,omitempty"`
	SkipReason   string          `json:"skipReason,omitempty"`
	Attempts     int             `json:"attempts"`
	Started      time.Time       `json:"started"`
	Stopped      *time.Time      `json:"stopped,omitempty"`
	Seconds      float64         `json:"seconds"`
	Pending      *pendingSummary `json:"pending,omitempty"`
	Output       json.RawMessage `json:"output,omitempty"`
	Error        string          `json:"error,omitempty"`
	Cause        string          `json:"cause,omitempty"`
	SubmissionID string          `json:"submissionId,omitempty"`
	Dashboard    string          `json:"dashboard,omitempty"`

	word string // the status as a terminal shows it
}

// summary collects an execution's summary from the API: the execution, the fold of its history, and what only rayorch's own paths return.
func (s *session) summary(ctx context.Context, arn string) (*summary, error) {
	x, err := s.sfn.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(arn)})
	if err != nil {
		return nil, apiError("describe the execution", err)
	}
	v := progress.New(nil)
	if err := errors.Join(s.catchUp(ctx, arn, v), s.showWaiting(ctx, arn, v)); err != nil {
		return nil, err
	}
	var driven *bool
	var parked string
	if x.Status == types.ExecutionStatusRunning {
		resting, known, err := s.resting(ctx)
		if err != nil {
			return nil, err
		}
		if known {
			driven, parked = resting.of(arn)
		}
	}
	code, err := s.code(ctx, arn)
	if err != nil {
		return nil, err
	}
	sum := &summary{
		Code: codeSummaries(code),
		ARN:  arn, Name: aws.ToString(x.Name), Pipeline: nameOf(aws.ToString(x.StateMachineArn)),
		Status: string(x.Status), Started: aws.ToTime(x.StartDate), Stopped: x.StopDate,
		Driven: driven, Parked: parked, runParams: runParamsOf(v.Start, raw(aws.ToString(x.Input))),
		Input: raw(aws.ToString(x.Input)), Output: raw(aws.ToString(x.Output)),
		Error: aws.ToString(x.Error), Cause: aws.ToString(x.Cause), Steps: stepSummaries(v, time.Now()), Warnings: v.Warnings,
	}
	if x.Status == types.ExecutionStatusTimedOut && sum.Cause == "" {
		sum.Cause = s.timedOutCause(ctx, x)
	}
	s.linkDashboards(ctx, sum, v) // takes at most dashboardWait
	return sum, nil
}

// raw returns text as JSON, or nil if it is not valid JSON.
func raw(text string) json.RawMessage {
	if !json.Valid([]byte(text)) {
		return nil
	}
	return json.RawMessage(text)
}

// stepSummaries returns the steps in the order in which they started. The duration of an open step ends now.
func stepSummaries(v *progress.View, now time.Time) []stepSummary {
	out := make([]stepSummary, 0, len(v.Steps()))
	for _, st := range v.Steps() {
		sum := stepSummary{
			Name: st.Name, Status: st.Status, Attempts: st.Attempt, Started: st.Entered,
			Seconds: st.Duration(now).Seconds(), Output: raw(st.Output), Error: st.Error, Cause: st.Cause, Pending: pendingOf(st, now),
			SubmissionID: st.Job.SubmissionID, Tolerated: st.Tolerated, SkipReason: st.SkipReason,
			word: st.Word(),
		}
		if !st.Ended.IsZero() {
			sum.Stopped = &st.Ended
		}
		out = append(out, sum)
	}
	return out
}

// printSummary prints what describe shows of an execution.
func printSummary(p *printer, s *summary) {
	p.printf("%s/%s  %s\n", s.Pipeline, s.Name, shownStatus(s.Status, s.Driven, s.Parked))
	switch {
	case s.Parked != "":
		p.printf("%s\n", parkedText(s.Name, s.Parked))
	case interrupted(s.Driven):
		p.printf("no process drives this run; resume it with: rayorch resume %s\n", s.Name)
	}
	p.printf("started %s", s.Started.Local().Format(time.DateTime))
	if s.Stopped != nil {
		p.printf(", took %s", terminal.Duration(s.Stopped.Sub(s.Started)))
	}
	p.printf("\ninput   %s\n", s.Input)
	s.printParams(p)
	for _, c := range s.Code {
		p.printf("code    %s\n", terminal.Clean(c.text()))
	}
	p.printf("\n")
	printEnding(p, s)
}

// printEnding prints the table of the steps, warnings, and the error or the output.
func printEnding(p *printer, s *summary) {
	rows := make([][]string, 0, len(s.Steps))
	for _, st := range s.Steps {
		rows = append(rows, []string{
			st.Name, st.word, terminal.Duration(time.Duration(st.Seconds * float64(time.Second))),
			fmt.Sprint(st.Attempts), orDash(st.Dashboard), terminal.Cut(orDash(outcome(st)), 100),
		})
	}
	p.table([]string{"STEP", "STATUS", "TOOK", "ATTEMPTS", "DASHBOARD", "OUTPUT"}, rows)
	for _, w := range s.Warnings {
		p.printf("\nwarning  %s\n", terminal.Clean(w))
	}
	switch {
	case s.Error != "":
		p.printf("\nerror   %s\n%s\n", s.Error, indent(s.Cause))
	case s.Cause != "": // of an abort or a timeout
		p.printf("\ncause   %s\n", strings.TrimSpace(indent(s.Cause)))
	}
	if len(s.Output) > 0 {
		p.printf("\noutput\n%s\n", indent(pretty(s.Output)))
	}
}

// outcome is what the table shows of a step in one line: why it is pending, was skipped or failed, or its output.
func outcome(st stepSummary) string {
	switch {
	case st.Pending != nil:
		return st.Pending.text()
	case st.SkipReason != "":
		return terminal.FirstLine(st.SkipReason)
	}
	if st.Error != "" {
		return st.Error + ": " + terminal.FirstLine(st.Cause)
	}
	return terminal.Clean(string(st.Output))
}

// orDash returns - for an empty cell of a table.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
