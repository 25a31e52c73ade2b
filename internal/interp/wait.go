package interp

import (
	"time"

	"github.com/rayorch/rayorch/internal/asl"
)

// wait leaves at once when its time is past: Step Functions shows no waiting then.
func (r *Run) wait(f *frame) *failure {
	in, fail := r.path(f, f.state.InputPath, f.input)
	if fail != nil {
		return fail
	}
	until, fail := r.waitEnd(f, in)
	if fail != nil {
		return fail
	}
	if !until.After(r.now) {
		return r.endState(f, nil)
	}
	f.phase = waiting
	r.setTimer(f, until)
	return nil
}

// waitEnd counts Seconds from now, the entry: a retry or redrive counts anew.
func (r *Run) waitEnd(f *frame, in *data) (time.Time, *failure) {
	if f.state.Seconds.Set() {
		n, fail := r.integer(f, &f.state.Seconds, in, 0, maxSeconds)
		return r.now.Add(seconds(float64(n))), fail
	}
	s := &f.state.Timestamp
	v, fail := r.scalar(f, s, in)
	if fail != nil {
		return time.Time{}, fail
	}
	text, isText := v.(string)
	if t, ok := ParseTimestamp(text); ok && isText {
		return t, nil
	}
	return time.Time{}, r.badTimestamp(f, s, v)
}

// badTimestamp has the recorded words for JSONPath. No source shows those for JSONata.
func (r *Run) badTimestamp(f *frame, s *asl.Scalar, v any) *failure {
	if s.Expr != nil {
		if _, isText := v.(string); !isText {
			return r.evalFailure(f, s.Expr.WrongType(s.Field, "string", v))
		}
		fail := runtimeFailure(f, "The JSONata expression '%s' specified for the field '%s' returned a value that is not a "+
			"valid ISO-8601 extended offset date-time format string: %s", s.Expr.Text(), s.Field, plain(v))
		fail.name, fail.evaluation, fail.location = "States.QueryEvaluationError", true, s.Field
		return fail
	}
	return runtimeFailure(f, "The %s parameter does not reference a valid ISO-8601 extended offset date-time format "+
		"string: %s == %s", s.Field, fieldText(s), plain(v))
}
