package engine

import (
	"errors"
	"time"

	"github.com/rayorch/rayorch/internal/history"
	"github.com/rayorch/rayorch/internal/interp"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// AWS remembers so many client tokens of redrives, for so long.
const (
	redriveTokens    = 10
	redriveTokenTime = 15 * time.Minute
)

// Redrive takes a closed execution up again from the states that did not succeed, and returns when that was. The error
// is a NotRedrivableError where it cannot be.
func (e *Engine) Redrive(arn string) (time.Time, error) {
	return e.redrive(arn, "")
}

// RedriveOnce is Redrive, but that a client token of an earlier redrive gives that one's time and does nothing.
func (e *Engine) RedriveOnce(arn, clientToken string) (time.Time, error) {
	if at, err := e.redrivenBy(arn, clientToken); err != nil || !at.IsZero() {
		return at, err
	}
	at, err := e.redrive(arn, clientToken)
	var running *NotRedrivableError
	if errors.As(err, &running) { // the same request may have come twice at once
		if at, _ := e.redrivenBy(arn, clientToken); !at.IsZero() {
			return at, nil
		}
	}
	return at, err
}

// redrivenBy is when a client token redrove the execution, zero when it did not. The history keeps the tokens.
func (e *Engine) redrivenBy(arn, clientToken string) (time.Time, error) {
	if clientToken == "" {
		return time.Time{}, nil
	}
	if err := e.enter(); err != nil {
		return time.Time{}, err
	}
	defer e.leave()
	id, err := e.find(arn)
	if err != nil {
		return time.Time{}, err
	}
	seen := 0
	for q := (HistoryQuery{Reverse: true, Limit: stepfn.MaxPage}); ; {
		page, err := e.events(id, q)
		for i := range page {
			if page[i].Type != history.ExecutionRedriven {
				continue
			}
			if seen++; seen > redriveTokens || e.c.Now().Sub(page[i].Time) > redriveTokenTime {
				return time.Time{}, nil
			}
			if page[i].Name == clientToken {
				return page[i].Time, nil
			}
		}
		if err != nil || len(page) < stepfn.MaxPage {
			return time.Time{}, err
		}
		q.After = page[len(page)-1].ID
	}
}

func (e *Engine) redrive(arn, clientToken string) (time.Time, error) {
	if err := e.enter(); err != nil {
		return time.Time{}, err
	}
	defer e.leave()
	if err := e.st.Admit(); err != nil {
		return time.Time{}, err
	}
	id, err := e.find(arn)
	if err != nil {
		return time.Time{}, err
	}
	err = e.deliverChecked(id, &pending{fact: interp.Redrive{ClientToken: clientToken}, check: func(s *interp.Run) error {
		x := e.executionOf(s.Params(), s.Head(), &meta{})
		if x.RedriveStatus != "REDRIVABLE" {
			return &NotRedrivableError{arn, x.RedriveReason}
		}
		e.resting.take(id) // it goes on at once, and a Resume must not set it going a second time
		return nil
	}})
	if err != nil {
		return time.Time{}, err
	}
	x, err := e.describe(id)
	return x.Redriven, err
}

// AWS lets a closed execution be redriven for so many days, and while its history has room for what a redrive adds.
const (
	redriveDays   = 14
	lifeDays      = 365 // what a Standard execution may last, redrives included
	redriveEvents = stepfn.MaxEvents - 1
)

// redrivable says whether an execution may be redriven, in AWS's words.
func (e *Engine) redrivable(x *Execution) (status, reason string) {
	switch {
	case x.Type == stepfn.Express:
		return "", ""
	case x.Status == stepfn.Running:
		return "NOT_REDRIVABLE", "Execution is RUNNING and cannot be redriven"
	case x.Status == stepfn.Succeeded:
		return "NOT_REDRIVABLE", "Execution is SUCCEEDED and cannot be redriven"
	case x.LastEventID >= redriveEvents:
		return "NOT_REDRIVABLE", "Execution history event limit exceeded"
	case x.MapRunARN != "":
		return "REDRIVABLE_BY_MAP_RUN", ""
	case e.c.Now().Sub(x.Started) > lifeDays*24*time.Hour:
		return "NOT_REDRIVABLE", "Execution has exceeded the max execution time"
	case e.c.Now().Sub(x.Stopped) > redriveDays*24*time.Hour:
		return "NOT_REDRIVABLE", "Execution redrivable period exceeded"
	}
	return "REDRIVABLE", ""
}
