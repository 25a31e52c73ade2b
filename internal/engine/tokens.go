package engine

import (
	"errors"

	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// TaskSuccess ends the task of a token with success. output is JSON.
func (e *Engine) TaskSuccess(token string, output []byte) error {
	return e.byToken(token, func(task string) interp.Fact {
		return interp.TaskEnded{Task: task, Output: output}
	})
}

// TaskFailure ends the task of a token with an error.
func (e *Engine) TaskFailure(token, name, cause string) error {
	return e.byToken(token, func(task string) interp.Fact {
		if name == "" { // AWS accepts a failure without an error; here, an empty error would be a success
			name = stepfn.StatesTaskFailed
		}
		return interp.TaskEnded{Task: task, Error: name, Cause: cause}
	})
}

// TaskHeartbeat records a heartbeat for the task of a token.
func (e *Engine) TaskHeartbeat(token string) error {
	return e.byToken(token, func(task string) interp.Fact { return interp.TaskHeartbeat{Task: task} })
}

// byToken applies a fact to the task of a token. The error is ErrInvalidToken if the token is malformed, ErrTaskDoesNotExist if its
// execution was deleted, and ErrTaskTimedOut if the task has ended.
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
		p.effect = effectTask + task
	}
	return e.deliverChecked(id, p)
}

// tooLate returns ErrTaskTimedOut, or a LateActivityError if the token belongs to an activity worker.
func tooLate(token string) error {
	if activity := interp.TokenActivity(token); activity != "" {
		return &LateActivityError{activity}
	}
	return ErrTaskTimedOut
}
