package console_test

import (
	"context"
	"encoding/json"
	"maps"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/progress"
	"github.com/rayorch/rayorch/internal/progress/progresstest"
	"github.com/rayorch/rayorch/internal/task"
)

// told is a step as both the page's fold and the terminal's tell of it.
type told struct {
	Name, Status, Error, Cause, Skip, Waits, Job string
	Attempt                                      int
	Ended, Tolerated                             bool
}

// history is a whole history as both folds show it.
type history struct {
	Steps    []told
	Warnings []string
}

// toldOf is the steps of a view as told.
func toldOf(view *progress.View) []told {
	var all []told
	for _, s := range view.Steps() {
		waits := ""
		if s.Status == progress.Pending && s.Waiting != nil {
			waits = s.Waiting.Reason
		}
		all = append(all, told{s.Name, string(s.Status), s.Error, s.Cause, s.SkipReason, waits, s.Job.SubmissionID, s.Attempt, !s.Ended.IsZero(), s.Tolerated})
	}
	return all
}

// historyOf is a view as a history.
func historyOf(view *progress.View) history {
	return history{toldOf(view), append([]string{}, view.Warnings...)}
}

// tell is the page's fold as told.
const tell = `({Warnings: [...fold.warnings], Steps: fold.steps.map((s) => ({Name: s.name, Status: s.status, Error: s.error, Cause: s.cause, Skip: s.skipReason ?? "",
	Waits: s.status === "pending" ? s.waits?.reason ?? "" : "", Job: s.job?.submission ?? "", Attempt: s.attempt, Ended: s.ended > 0, Tolerated: s.tolerated}))})`

// TestSameStory folds histories in the page and in internal/progress: steps, attempts and statuses are the same.
func TestSameStory(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	p := open(t, s.URL)
	p.to("#/executions")
	flaky := map[string]int{}
	s.on("flaky", func(_ context.Context, req *task.Request) task.Result {
		_ = req.Submitted([]byte(`{"SubmissionId":"job-` + req.State + `"}`))
		if s.mu.Lock(); flaky[req.Execution] < 2 {
			flaky[req.Execution]++
			s.mu.Unlock()
			return task.Fail("Flaky", "once more")
		}
		s.mu.Unlock()
		return task.Result{Output: []byte("1")}
	})
	s.on("broken", func(context.Context, *task.Request) task.Result { return task.Fail("Broken", "for good") })
	retry := object{"Retry": []any{object{"ErrorEquals": []any{"Flaky"}, "IntervalSeconds": 1, "BackoffRate": 1, "MaxAttempts": 1}}}
	caught := object{"Catch": []any{object{"ErrorEquals": []any{"States.ALL"}, "Next": "after"}}}
	// In a cluster a step is a Parallel of one branch, whose states' names end with its own.
	inCluster := object{"Type": "Parallel", "End": true, "Branches": []any{object{"StartAt": "Attempt step", "States": object{
		"Attempt step":       object{"Type": "Pass", "Next": "Submit step"},
		"Submit step":        work("Keep step", object{"Catch": []any{object{"ErrorEquals": []any{"States.ALL"}, "Next": "Wait to retry step"}}}),
		"Keep step":          object{"Type": "Pass", "Parameters": object{"Output": 1}, "End": true},
		"Wait to retry step": object{"Type": "Wait", "Seconds": 1, "Next": "Attempt step"},
	}}}}
	s.on("Submit step", func(_ context.Context, req *task.Request) task.Result {
		if s.mu.Lock(); flaky[req.Execution+req.State] < 1 {
			flaky[req.Execution+req.State]++
			s.mu.Unlock()
			return task.Fail("Busy", "later")
		}
		s.mu.Unlock()
		return task.Result{Output: []byte("1")}
	})
	s.on("x", func(context.Context, *task.Request) task.Result { return task.Result{Output: []byte(`[1,2]`)} })
	started := map[string]string{} // all at once: they spend their time waiting
	for name, definition := range map[string]string{
		"cluster": machine("step", object{"step": inCluster}),
		"plain":   machine("a", object{"a": work("wait"), "wait": object{"Type": "Wait", "Seconds": 1, "Next": "b"}, "b": work("")}),
		"retried": machine("flaky", object{"flaky": work("b", retry), "b": work("")}),
		"caught":  machine("broken", object{"broken": work("b", caught), "b": work(""), "after": work("")}),
		"failed":  machine("a", object{"a": work("broken"), "broken": work("")}),
		"mapped": machine("each", object{"each": object{"Type": "Map", "ItemsPath": "$.items", "End": true, "ItemProcessor": object{"StartAt": "x", "States": object{
			"x": work("y"), "y": object{"Type": "Map", "ItemsPath": "$$.Map.Item.Value", "ItemProcessor": object{"StartAt": "z", "States": object{"z": work("")}}, "End": true}}}}}),
	} {
		started[name] = s.start(s.machine(name, definition), "x", `{"items":[[1,2],[],[3]]}`)
	}
	for name, arn := range started {
		t.Run(name, func(t *testing.T) {
			x := s.ended(arn)
			s.compare(t, p, arn)
			if x.Status == "FAILED" {
				if _, err := s.sfn.RedriveExecution(t.Context(), &sfn.RedriveExecutionInput{ExecutionArn: aws.String(arn)}); err != nil {
					t.Fatal(err)
				}
				s.ended(arn)
				s.compare(t, p, arn)
			}
		})
	}
}

// compare folds one history by both.
func (s *site) compare(t *testing.T, p *page, arn string) {
	t.Helper()
	view := progress.New(nil)
	pages := sfn.NewGetExecutionHistoryPaginator(s.sfn, &sfn.GetExecutionHistoryInput{ExecutionArn: aws.String(arn)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i := range page.Events {
			view.Add(&page.Events[i])
		}
	}
	want := historyOf(view)
	got := eval[history](p, `(async () => {
		const [{Fold}, {call}] = await Promise.all([import("/console/fold.js"), import("/console/api.js")]);
		const fold = new Fold();
		for (let nextToken, more = true; more; more = Boolean(nextToken)) {
			const page = await call("GetExecutionHistory", {executionArn: `+js(arn)+`, nextToken});
			page.events.forEach((e) => fold.add(e));
			nextToken = page.nextToken;
		}
		return `+tell+`;
	})()`)
	if diff := cmp.Diff(want, got); diff != "" || len(want.Steps) == 0 {
		t.Errorf("the terminal's fold (-) and the page's (+):\n%s", diff)
	}
}

// TestSameStatuses folds the histories of compiled pipelines with both: failures, retries, skipped steps, aborts, redrives.
func TestSameStatuses(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	p := open(t, s.URL)
	p.to("#/executions")
	stories := maps.Clone(progresstest.Stories)
	for name, story := range progresstest.Stories {
		stories[name+", redriven"] = story.Redriven()
	}
	for name, story := range stories {
		for _, target := range progresstest.Targets {
			definition, parts := story.Play(t, target)
			view := progress.New(progress.ReadStates(definition))
			var want []history
			var events [][]json.RawMessage
			for _, part := range parts {
				raw := []json.RawMessage{}
				for i := range part {
					view.Add(&part[i].HistoryEvent)
					raw = append(raw, part[i].JSON)
				}
				want, events = append(want, historyOf(view)), append(events, raw)
			}
			got := eval[[]history](p, `(async () => {
				const {Fold} = await import("/console/fold.js"), fold = new Fold();
				return `+js(events)+`.map((part) => { part.forEach((e) => fold.add(e)); return `+tell+`; });
			})()`)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s in %s: the terminal's fold (-) and the page's (+):\n%s", name, target, diff)
			}
		}
	}
}
