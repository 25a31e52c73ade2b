package interp

import (
	"math"
	"time"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// wait executes a Wait. If its time has already passed, the line leaves the state immediately, as in Step Functions.
func (r *Run) wait(f *frame) *failure {
	in, fail := r.path(f, f.state.InputPath, f.input)
	if fail != nil {
		return fail
	}
	until, fail := r.waitEnd(f, in)
	if fail != nil {
		return fail
	}
	if !r.waitDue(f, until).After(r.steady) {
		return r.endState(f, nil)
	}
	f.phase = waiting
	r.setTimer(f, until)
	return nil
}

// waitEnd returns the end of the Wait: for Seconds by the steady clock, counted from now, also if a redrive executes the
// state again; for Timestamp by the wall clock.
func (r *Run) waitEnd(f *frame, in *data) (time.Time, *failure) {
	if f.state.Seconds.Set() {
		n, fail := r.waitSeconds(f, &f.state.Seconds, in)
		return r.steady.Add(seconds(float64(n))), fail
	}
	s := &f.state.Timestamp
	v, fail := r.scalar(f, s, in)
	if fail != nil {
		return time.Time{}, fail
	}
	text, isText := v.(string)
	t, ok := ParseTimestamp(text)
	switch {
	case !ok || !isText:
		return time.Time{}, r.badTimestamp(f, s, v)
	case t.Sub(r.wall()) > maxWait:
		return time.Time{}, runtimeFailure(f, "Wait state delay is too long.")
	}
	return t, nil
}

// maxWait is how far in the future a Timestamp may be: Step Functions accepted 24855 days and rejected 24856 (recorded).
const maxWait = math.MaxInt32 * time.Second

// waitDue converts the end of a Wait to the steady clock.
func (r *Run) waitDue(f *frame, until time.Time) time.Time {
	if f.state.Timestamp.Set() {
		return until.Add(-r.ahead)
	}
	return until
}

// waitSeconds evaluates Seconds. The messages for values from a path are recorded.
func (r *Run) waitSeconds(f *frame, s *asl.Scalar, in *data) (int64, *failure) {
	if s.Query == nil {
		return r.integer(f, s, in, 0, stepfn.MaxSeconds)
	}
	v, fail := r.scalar(f, s, in)
	if fail != nil {
		return 0, fail
	}
	switch n, isInteger := toInteger(v, true); {
	case !isInteger:
		return 0, runtimeFailure(f, "The SecondsPath parameter cannot be parsed as a long value: %s == %s", fieldText(s), plain(v))
	case n < 0:
		return 0, runtimeFailure(f, "The SecondsPath parameter references a negative value: %s == %s", fieldText(s), plain(v))
	case n > stepfn.MaxSeconds:
		return 0, runtimeFailure(f, "Wait state delay is too long.")
	default:
		return n, nil
	}
}

// badTimestamp returns the failure of an invalid Timestamp, in the recorded wordings.
func (r *Run) badTimestamp(f *frame, s *asl.Scalar, v any) *failure {
	if s.Expr != nil {
		if _, isText := v.(string); !isText {
			return r.evalFailure(f, s.Expr.WrongType(s.Field, "string", v))
		}
		fail := runtimeFailure(f, "The %s field cannot be parsed as an ISO-8601 extended offset date-time format string: %s",
			s.Field, plain(v))
		fail.name, fail.evaluation, fail.entered, fail.location = stepfn.StatesQueryEvaluationError, true, true, s.Field
		return fail
	}
	return runtimeFailure(f, "The %s parameter does not reference a valid ISO-8601 extended offset date-time format "+
		"string: %s == %s", s.Field, fieldText(s), plain(v))
}
