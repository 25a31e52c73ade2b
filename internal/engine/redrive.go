package engine

import (
	"errors"
	"time"

	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// A redrive reopens a closed run: it delivers interp.Redrive, which resumes the states that did not succeed, and appends to the same
// history. It does not change the definition, the input or the code of the execution. Children of a distributed Map are redriven by their
// map run (mapDriver.found).

// AWS remembers the client tokens of the last redriveTokens redrives, for redriveTokenTime.
const (
	redriveTokens    = 10
	redriveTokenTime = 15 * time.Minute
)

// Redrive restarts a closed execution from the states that did not succeed, and returns the time of the redrive. The error
// is a NotRedrivableError if the execution cannot be redriven.
func (e *Engine) Redrive(arn string) (time.Time, error) {
	return e.redrive(arn, "")
}

// RedriveOnce is Redrive, except that a client token of an earlier redrive returns its time and does nothing.
func (e *Engine) RedriveOnce(arn, clientToken string) (time.Time, error) {
	if at, err := e.redrivenBy(arn, clientToken); err != nil || !at.IsZero() {
		return at, err
	}
	at, err := e.redrive(arn, clientToken)
	var running *NotRedrivableError
	if errors.As(err, &running) { // the same request may have arrived twice concurrently
		if at, _ := e.redrivenBy(arn, clientToken); !at.IsZero() {
			return at, nil
		}
	}
	return at, err
}

// redrivenBy returns when the execution was redriven with a client token, zero if it was not. It finds the tokens in the history.
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

// redrive delivers the redrive, after checking under the lock of the run that it is allowed.
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
		e.resting.take(id) // it continues now, and a Resume must not start it a second time
		return nil
	}})
	if err != nil {
		return time.Time{}, err
	}
	x, err := e.describe(id)
	return x.Redriven, err
}

// The limits of redrives, as on AWS.
const (
	redriveDays   = 14                   // how long after its end an execution can be redriven
	lifeDays      = 365                  // the maximum duration of a Standard execution, including redrives
	redriveEvents = stepfn.MaxEvents - 1 // with so many events, the history has no space for a redrive
)

// redrivable returns the RedriveStatus of an execution and, if it cannot be redriven, the reason. The texts are AWS's.
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
