package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/view/progress"
	"github.com/rayorch/rayorch/internal/view/terminal"
)

func historyCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "history [EXECUTION]",
		Short: "show the events of an execution",
		Long: "history shows the events of an execution (default: the newest one) as GetExecutionHistory returns them and, if rayorch " +
			"compiled the definition, the role of each state. Lines with - instead of an id are not part of the API's history: they show " +
			"the outcome of stopping a task's work, and the execution of the cleanup machine that an abort or a timeout started.",
		Example: "  rayorch history\n  rayorch history shakespeare/20260101-120000 --output json",
		Args:    atMostOneArg,
		RunE: func(c *cobra.Command, args []string) error {
			return a.history(c.Context(), first(args))
		},
	}
}

// history prints the events of an execution as they are read: a history can be large. If the owner exits, it continues with the next one.
func (a *app) history(ctx context.Context, text string) error {
	printed := historyPrinter{out: a.out}
	return a.readOnly(ctx, func(s *session) error {
		arn, err := s.findExecution(ctx, text)
		if err != nil {
			return err
		}
		if printed.report, err = s.cleanupReport(ctx, arn); err != nil {
			return err
		}
		if printed.states, err = s.states(ctx, arn); err != nil {
			return err
		}
		if err := s.events(ctx, arn, printed.event); err != nil {
			return err
		}
		if err := printed.rest(time.Now()); err != nil || a.out.json() {
			return err
		}
		resting, _, err := s.resting(ctx)
		if _, parked := resting.of(arn); parked != "" {
			a.out.say(parkedText(nameOf(arn), parked))
		}
		return err
	})
}

// historyPrinter prints the events of a history and the entries of the cleanup report in the order of their times.
type historyPrinter struct {
	out    *printer
	last   int64 // id of the last printed event: events that are read again, from the next owner, are not printed again
	done   int   // number of printed entries of the report
	report []engine.CleanupEntry
	states progress.States
}

// event prints an event, and before it the entries of the report that are older.
func (c *historyPrinter) event(e *types.HistoryEvent) error {
	if e.Id <= c.last {
		return nil
	}
	if err := c.rest(aws.ToTime(e.Timestamp)); err != nil {
		return err
	}
	c.last = e.Id
	return c.print(eventLine(e, c.states), eventJSON(e))
}

// rest prints the remaining entries of the report that are older than a time.
func (c *historyPrinter) rest(until time.Time) error {
	for ; c.done < len(c.report) && c.report[c.done].Time.Before(until); c.done++ {
		entry := &c.report[c.done]
		if err := c.print(cleanupLine(entry), cleanupJSON(entry)); err != nil {
			return err
		}
	}
	return nil
}

// print prints one line: text, or a JSON object.
func (c *historyPrinter) print(line string, object map[string]any) error {
	if c.out.json() {
		return json.NewEncoder(c.out.stdout).Encode(object) // one line for each event, unlike the JSON of other commands
	}
	c.out.printf("%s\n", line)
	return nil
}

// events calls do for each event of an execution, oldest first.
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

// eventJSON returns an event with its details object; the keys are those of the API. The SDK's type has a field for the details of each
// type of event, all but one of which are nil.
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

// lower turns a field name of the SDK, such as StateEnteredEventDetails, into the key of the API.
func lower(k string) string { return strings.ToLower(k[:1]) + k[1:] }

// lowerKeys returns the fields of a details object with the keys of the API. It drops details about truncation of data.
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

// eventLine returns an event as a line of text. When a state is entered, the line has the state's role if the definition declares it.
func eventLine(e *types.HistoryEvent, states progress.States) string {
	line := fmt.Sprintf("%5d  %s  %-24s", e.Id, aws.ToTime(e.Timestamp).UTC().Format(eventTime), e.Type)
	d, ok := detailsOf(e).(map[string]any)
	if !ok {
		return line
	}
	for _, k := range []string{"name", "resource", "index", "error", "cause", "input", "output", "parameters"} {
		if v, ok := d[k]; ok && v != "" {
			line += "  " + k + "=" + terminal.Cut(terminal.Clean(strings.ReplaceAll(fmt.Sprint(v), "\n", " ")), 160)
		}
		if e.StateEnteredEventDetails != nil && k == "name" && states[fmt.Sprint(d[k])].Role != "" {
			line += "  role=" + string(states[fmt.Sprint(d[k])].Role)
		}
	}
	return line
}

// detailsOf returns the details object of an event, or nil.
func detailsOf(e *types.HistoryEvent) any {
	for k, v := range eventJSON(e) {
		if strings.HasSuffix(k, "Details") {
			return v
		}
	}
	return nil
}
