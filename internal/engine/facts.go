package engine

import (
	"context"
	"errors"
	"time"

	"github.com/rayorch/rayorch/internal/history"
	"github.com/rayorch/rayorch/internal/interp"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/store"
)

// Stop aborts an execution with an error and a cause, both may be empty; of a closed one it returns when it ended.
func (e *Engine) Stop(_ context.Context, arn, name, cause string) (time.Time, error) {
	if err := e.enter(); err != nil {
		return time.Time{}, err
	}
	defer e.leave()
	id, err := e.find(arn)
	if err != nil {
		return time.Time{}, err
	}
	if err := e.abort(id, interp.Abort{Error: name, Cause: cause}); err != nil {
		return time.Time{}, err
	}
	if err := e.resumeCleanup(arn); err != nil {
		return time.Time{}, err
	}
	x, err := e.describe(id)
	return x.Stopped, err
}

// AWS remembers so many client tokens of redrives, for so long.
const (
	redriveTokens    = 10
	redriveTokenTime = 15 * time.Minute
)

// Redrive takes a closed execution up again from the states that did not succeed, and returns when that was. The error
// is a NotRedrivableError where it cannot be.
func (e *Engine) Redrive(ctx context.Context, arn string) (time.Time, error) {
	return e.redrive(ctx, arn, "")
}

// RedriveOnce is Redrive, but that a client token of an earlier redrive gives that one's time and does nothing.
func (e *Engine) RedriveOnce(ctx context.Context, arn, clientToken string) (time.Time, error) {
	if at, err := e.redrivenBy(arn, clientToken); err != nil || !at.IsZero() {
		return at, err
	}
	at, err := e.redrive(ctx, arn, clientToken)
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

func (e *Engine) redrive(_ context.Context, arn, clientToken string) (time.Time, error) {
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

// TaskSuccess ends the task of a token well; output is one JSON text.
func (e *Engine) TaskSuccess(_ context.Context, token string, output []byte) error {
	return e.byToken(token, func(task string) interp.Fact {
		return interp.TaskEnded{Task: task, Output: output}
	})
}

// TaskFailure ends the task of a token with an error.
func (e *Engine) TaskFailure(_ context.Context, token, name, cause string) error {
	return e.byToken(token, func(task string) interp.Fact {
		if name == "" { // AWS takes a failure without an error; here an empty error is a success
			name = stepfn.StatesTaskFailed
		}
		return interp.TaskEnded{Task: task, Error: name, Cause: cause}
	})
}

// TaskHeartbeat says that the work for a token is alive.
func (e *Engine) TaskHeartbeat(_ context.Context, token string) error {
	return e.byToken(token, func(task string) interp.Fact { return interp.TaskHeartbeat{Task: task} })
}

// byToken applies a fact to the task of a token: ErrInvalidToken for one that was never ours, ErrTaskDoesNotExist when
// its execution is gone, ErrTaskTimedOut when nobody waits for the task any more.
func (e *Engine) byToken(token string, fact func(task string) interp.Fact) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	arn, task, ok := interp.ParseToken(token)
	if !ok {
		return ErrInvalidToken
	}
	id, err := e.findAny(arn)
	if errors.Is(err, ErrExecutionDoesNotExist) {
		return ErrTaskDoesNotExist
	}
	if err != nil {
		return err
	}
	p := &pending{fact: fact(task), check: func(s *interp.Run) error {
		if t, ok := s.TaskOf(token); !ok || t.ID != task {
			return tooLate(token)
		}
		return nil
	}}
	if _, ended := p.fact.(interp.TaskEnded); ended {
		p.pay = debtTask + task
	}
	return e.deliverChecked(id, p)
}

// tooLate is ErrTaskTimedOut, with the activity where the token is a worker's.
func tooLate(token string) error {
	if activity := interp.TokenActivity(token); activity != "" {
		return &LateActivityError{activity}
	}
	return ErrTaskTimedOut
}

// findAny is find, for Express runs in memory as well.
func (e *Engine) findAny(arn string) (store.ID, error) {
	if !express(arn) {
		return e.find(arn)
	}
	if id, ok := e.express.Load(arn); ok {
		return id.(store.ID), nil
	}
	return 0, ErrExecutionDoesNotExist
}
