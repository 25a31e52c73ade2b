package interp

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// failure is the error of a state.
type failure struct {
	name, cause string
	location    string // the field that contains the failed JSONata expression
	evaluation  bool   // emits EvaluationFailed
	entered     bool   // EvaluationFailed follows the state's entry even if no other event does
	heartbeat   bool   // a timeout that matches States.HeartbeatTimeout as well
}

// clip truncates a string to at most n bytes without splitting a character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// failOn executes a Fail state.
func (r *Run) failOn(f *frame) *failure {
	name, fail := r.str(f, &f.state.Error, f.input)
	if fail != nil {
		return fail
	}
	cause, fail := r.str(f, &f.state.Cause, f.input)
	if fail != nil {
		return fail
	}
	return &failure{name: name, cause: cause}
}

// failState handles the failure of a state: a retrier can execute it again, or a catcher can move the line to another state.
// Otherwise the line fails, and with it the state around the line, up to the execution. A States.Runtime that is neither
// retried nor caught by the state itself ends the execution directly.
func (r *Run) failState(f *frame, fail *failure) {
	fail.name, fail.cause = clip(fail.name, stepfn.MaxError), clip(fail.cause, stepfn.MaxCause)
	r.evaluationFailed(f, fail)
	if r.retry(f, fail) {
		return
	}
	runtime := fail.name == stepfn.StatesRuntime
	before := f.last
	if !runtime {
		r.groupFailed(f, fail)
	}
	if second := r.catch(f, fail); second == nil {
		return
	} else if second != fail {
		f.last = before // the failure of the catcher has the same previous event as the first one
		r.evaluationFailed(f, second)
		r.groupFailed(f, second)
		fail = second
	}
	scheduled := f.phase == working
	f.phase, f.fail, f.task = failed, fail, nil
	r.touch(f)
	if f.id == rootFrame || runtime {
		r.closeAfter(stepfn.Failed, fail, f.last)
		return
	}
	r.lineFailed(f, fail, scheduled)
}

// evaluationFailed emits EvaluationFailed. If it would directly follow the state's entry, its previous event is the one
// before the entry, as in Step Functions.
func (r *Run) evaluationFailed(f *frame, fail *failure) {
	if !fail.evaluation {
		return
	}
	e := history.Event{Type: history.EvaluationFailed, Error: fail.name, Cause: fail.cause, Location: fail.location,
		State: f.state.Name, Previous: f.last}
	if f.last == f.entered && !fail.entered && fail.name != stepfn.StatesDataLimitExceeded { // the exceptions are recorded
		e.Previous = f.before
	}
	f.last = r.emitAfter(e)
}

// retry finds the first retrier that matches the error, and starts its interval. It reports false if there is none, or if it
// has no attempts left.
func (r *Run) retry(f *frame, fail *failure) bool {
	for i := range f.state.Retry {
		t := &f.state.Retry[i]
		if !fail.matches(t.ErrorEquals) {
			continue
		}
		if f.retries == nil {
			f.retries = make([]int, len(f.state.Retry))
		}
		r.test.retry(i, t, f.retries[i])
		if f.retries[i] >= t.MaxAttempts {
			return false
		}
		delay := r.delay(f, t, f.retries[i])
		f.retries[i]++
		f.retried++
		r.dissolve(f)
		f.phase, f.fail, f.task = retrying, fail, nil
		r.touch(f)
		r.setTimer(f, r.steady.Add(delay))
		return true
	}
	return false
}

// backoff returns the retrier's interval in seconds after n of its retries, before jitter.
func backoff(t *asl.Retrier, n int) float64 {
	s := t.IntervalSeconds * math.Pow(t.BackoffRate, float64(n))
	if t.MaxDelaySeconds > 0 {
		s = min(s, t.MaxDelaySeconds)
	}
	return min(s, stepfn.MaxSeconds)
}

// delay returns the retrier's interval after n of its retries, with jitter.
func (r *Run) delay(f *frame, t *asl.Retrier, n int) time.Duration {
	s := backoff(t, n)
	if t.FullJitter {
		s *= rand.New(r.random(f, onRetry, 0)).Float64() //nolint:gosec // jitter, from the seed of the run
	}
	return seconds(s).Truncate(time.Millisecond)
}

// matches reports whether ErrorEquals contains the error or a wildcard for it:
//
//   - States.ALL matches all errors except States.Runtime. It also matches States.DataLimitExceeded of a task (recorded), although
//     the documentation excludes it.
//   - States.TaskFailed matches all errors except timeouts (States Language, "Errors").
//   - States.ResultPathMatchFailure, the documented name, matches States.ReferencePathConflict, the actual one.
//   - Ray.SubmitFailed, an error of our own tasks, matches Ray.RuntimeEnvFailed, which earlier releases did not distinguish from it.
func (fail *failure) matches(equals []string) bool {
	if slices.Contains(equals, fail.name) {
		return true
	}
	if fail.name == stepfn.StatesRuntime {
		return false
	}
	timeout := fail.name == stepfn.StatesTimeout
	for _, e := range equals {
		switch {
		case e == stepfn.StatesALL, e == stepfn.StatesTaskFailed && !timeout, e == stepfn.StatesHeartbeatTimeout && fail.heartbeat,
			e == stepfn.StatesResultPathMatchFailure && fail.name == stepfn.StatesReferencePathConflict,
			e == stepfn.RaySubmitFailed && fail.name == stepfn.RayRuntimeEnvFailed:
			return true
		}
	}
	return false
}

// catch finds the first catcher that matches the error, and leaves the state through it. It returns nil if the error was
// caught, fail if no catcher matches, or a new failure if an expression of the catcher fails.
func (r *Run) catch(f *frame, fail *failure) *failure {
	for i := range f.state.Catch {
		c := &f.state.Catch[i]
		if !fail.matches(c.ErrorEquals) {
			continue
		}
		r.test.catch(i, fail)
		out, assigned, second := r.caught(f, c, fail)
		if second != nil {
			return second
		}
		r.dissolve(f)
		r.leave(f, out, assigned, c.Next)
		return nil
	}
	return fail
}

// caught evaluates the output and the variables of a catcher. It changes nothing, so that the state can still fail.
func (r *Run) caught(f *frame, c *asl.Catcher, fail *failure) (*data, *value.Object, *failure) {
	info := valueData(object("Error", fail.name, "Cause", fail.cause))
	var out *data
	var second *failure
	if f.state.JSONata {
		out, second = r.jsonataOutput(f, c.Output, nil, info)
	} else {
		if out, second = r.put(f, c.ResultPath, info); second == nil {
			r.test.note(f, "afterResultPath", out)
		}
	}
	if second != nil {
		return nil, nil, second
	}
	if out.tooBig() {
		return nil, nil, dataLimit(f.state.Name)
	}
	assigned, second := r.assign(f, c.Assign, nil, info)
	return out, assigned, second
}
