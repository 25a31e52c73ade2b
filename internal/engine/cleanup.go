package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/value"
)

// An execution that was aborted or timed out enters no further state, so another state machine, the cleanup machine, must stop the work
// that it left. On AWS, EventBridge starts the cleanup machine; here, the engine starts it with the same event as input.

// wantsCleanup reports whether the cleanup machine of a closed run must be started.
func (e *Engine) wantsCleanup(r *run) bool {
	s := r.state.Head().Status
	return r.mem == nil && r.meta.Cleanup != "" && (s == stepfn.Aborted || s == stepfn.TimedOut)
}

// startCleanup starts the cleanup machine of a run in the background. It retries while the disk is full.
func (e *Engine) startCleanup(id store.ID) {
	e.background(func(ctx context.Context) {
		for {
			arn, err := e.cleanup(ctx, id)
			if err == nil {
				e.cleanupStarted(id, arn)
				return
			}
			e.logger.Error("could not start the cleanup machine", "run", uint64(id), "problem", err)
			if !errors.Is(err, store.ErrFull) {
				return // the effect stays in the outbox: the next engine tries again
			}
			select {
			case <-time.After(10 * time.Second):
			case <-ctx.Done():
				return
			}
		}
	})
}

// cleanup starts the cleanup machine and returns the ARN of its execution.
func (e *Engine) cleanup(ctx context.Context, id store.ID) (string, error) {
	x, err := e.describe(id)
	if err != nil {
		return "", err
	}
	if e.lookup == nil {
		return "", &UnknownMachineError{x.Cleanup}
	}
	r, err := e.lookup.Resolve(x.Cleanup)
	if err != nil {
		return "", err
	}
	r.Name = cleanupName(x.ARN, x.RedriveCount)
	r.Labels = task.InheritOrigin(r.Labels, x.Labels)
	r.Input = value.Bytes(e.statusEvent(&x))
	b := e.newRunOf(r.withDefaults())
	b.by = id
	_, err = e.start(ctx, b)
	var exists *AlreadyExistsError
	if errors.As(err, &exists) {
		err = nil
	}
	return b.arn, err
}

// statusEvent returns the event that EventBridge sends when an execution ends: "Step Functions Execution Status Change".
func (e *Engine) statusEvent(x *Execution) *value.Object {
	sum := sha256.Sum256([]byte(x.ARN + string(x.Status)))
	detail := value.Obj(
		"executionArn", x.ARN, "stateMachineArn", x.MachineARN, "name", x.Name, "status", string(x.Status),
		"startDate", value.Int(x.Started.UnixMilli()), "stopDate", value.Int(x.Stopped.UnixMilli()),
		"input", string(x.Input), "inputDetails", value.Obj("included", true),
		"output", nil, "outputDetails", nil,
		"error", orNull(x.Error), "cause", orNull(x.Cause),
		"stateMachineVersionArn", orNull(x.VersionARN), "stateMachineAliasArn", orNull(x.AliasARN),
		"redriveCount", value.Int(int64(x.RedriveCount)),
	)
	return value.Obj(
		"version", "0", "id", hashUUID(sum),
		"detail-type", "Step Functions Execution Status Change", "source", "aws.states",
		"account", e.c.Account, "time", x.Stopped.UTC().Format(time.RFC3339), "region", e.c.Region,
		"resources", []any{x.ARN}, "detail", detail,
	)
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
