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

	"github.com/rayorch/rayorch/internal/terminal"
)

func (a *app) historyCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "history [EXECUTION]",
		Short:   "show an execution's events",
		Long:    "history shows the events of an execution, the newest one when none is named, as GetExecutionHistory has them.",
		Example: "  rayorch history\n  rayorch history shakespeare/20260101-120000 --output json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.history(c.Context(), first(args))
		},
	}
}

func (a *app) history(ctx context.Context, text string) (err error) {
	s, err := a.attach(ctx, ownerOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	printed := int64(0)
	return s.over(ctx, ownerOptions{}, func() error {
		arn, err := s.findExecution(ctx, text)
		if err != nil {
			return err
		}
		return s.events(ctx, arn, func(e *types.HistoryEvent) error {
			if e.Id <= printed {
				return nil
			}
			printed = e.Id
			return a.printEvent(e)
		})
	})
}

func (a *app) printEvent(e *types.HistoryEvent) error {
	if a.json() {
		return json.NewEncoder(a.out).Encode(eventJSON(e))
	}
	_, err := fmt.Fprintln(a.out, eventLine(e))
	return err
}

// events calls do for every event of an execution, in order.
func (s *session) events(ctx context.Context, arn string, do func(*types.HistoryEvent) error) error {
	pages := sfn.NewGetExecutionHistoryPaginator(s.sfn, &sfn.GetExecutionHistoryInput{
		ExecutionArn: aws.String(arn), IncludeExecutionData: aws.Bool(true), MaxResults: 1000,
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return apiError("read the history", err)
		}
		for i := range page.Events {
			if err := do(&page.Events[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// eventJSON is an event with the one details object that it has, keys as in the API.
func eventJSON(e *types.HistoryEvent) map[string]any {
	out := map[string]any{
		"id": e.Id, "previousEventId": e.PreviousEventId, "type": e.Type,
		"timestamp": aws.ToTime(e.Timestamp).UTC().Format(time.RFC3339Nano),
	}
	all := map[string]json.RawMessage{}
	text, err := json.Marshal(e)
	if err != nil || json.Unmarshal(text, &all) != nil {
		return out
	}
	for k, v := range all {
		if strings.HasSuffix(k, "Details") && string(v) != "null" {
			out[lower(k)] = lowerKeys(v)
		}
	}
	return out
}

func lower(k string) string { return strings.ToLower(k[:1]) + k[1:] }

func lowerKeys(text json.RawMessage) any {
	fields := map[string]any{}
	if json.Unmarshal(text, &fields) != nil {
		return text
	}
	out := map[string]any{}
	for k, v := range fields {
		if v != nil && !strings.HasSuffix(k, "Details") {
			out[lower(k)] = v
		}
	}
	return out
}

func eventLine(e *types.HistoryEvent) string {
	line := fmt.Sprintf("%5d  %s  %-24s", e.Id, aws.ToTime(e.Timestamp).UTC().Format("2006-01-02T15:04:05.000Z"), e.Type)
	d, ok := detailsOf(e).(map[string]any)
	if !ok {
		return line
	}
	for _, k := range []string{"name", "resource", "index", "error", "cause", "input", "output", "parameters"} {
		if v, ok := d[k]; ok && v != "" {
			line += "  " + k + "=" + terminal.Cut(terminal.Clean(strings.ReplaceAll(fmt.Sprint(v), "\n", " ")), 160)
		}
	}
	return line
}

func detailsOf(e *types.HistoryEvent) any {
	for k, v := range eventJSON(e) {
		if strings.HasSuffix(k, "Details") {
			return v
		}
	}
	return nil
}
