package main

import (
	"context"
	"time"

	"github.com/rayorch/rayorch/internal/view/progress"
	"github.com/rayorch/rayorch/internal/view/terminal"
)

// waiting lists the tasks of an execution whose work has not started yet.
func (s *session) waiting(ctx context.Context, arn string) ([]progress.Waiting, error) {
	all, err := s.client.Pending(ctx, arn)
	out := make([]progress.Waiting, 0, len(all))
	for _, p := range all {
		out = append(out, progress.Waiting{Event: p.Event, Since: p.Since, Reason: p.Reason})
	}
	return out, err
}

// showWaiting adds the waiting tasks to the view. It queries the server only if a step can be waiting.
func (s *session) showWaiting(ctx context.Context, arn string, v *progress.View) error {
	for _, st := range v.Steps() {
		if st.IsWait() || st.Status.Ended() || st.Status == progress.Retrying {
			continue
		}
		now, err := s.waiting(ctx, arn)
		if err == nil {
			v.ShowWaiting(now)
		}
		return err
	}
	return nil
}

// pendingSummary is for how long and why a step is pending. It is part of the JSON of run, resume and describe.
type pendingSummary struct {
	Seconds float64 `json:"seconds"`
	Reason  string  `json:"reason"`
}

func (p *pendingSummary) text() string {
	return "for " + terminal.Duration(time.Duration(p.Seconds*float64(time.Second))) + ": " + terminal.FirstLine(p.Reason)
}

// pendingOf returns why a step is pending, or nil if it is not pending or the reason is not known.
func pendingOf(st *progress.Entry, now time.Time) *pendingSummary {
	if st.Waiting == nil || st.Status != progress.Pending {
		return nil
	}
	return &pendingSummary{st.Waiting.Duration(now).Seconds(), st.Waiting.Reason}
}

// sayPending prints why a step is pending, and therefore has no output yet.
func (s *session) sayPending(ctx context.Context, arn string, v *progress.View, st *progress.Entry) error {
	err := s.showWaiting(ctx, arn, v)
	if p := pendingOf(st, time.Now()); p != nil {
		s.app.out.sayf("the step %s is pending %s", st.Name, p.text())
	}
	return err
}
