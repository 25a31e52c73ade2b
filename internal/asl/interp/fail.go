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

// failure is why a state fails.
type failure struct {
	name, cause string
	location    string // of a JSONata expression
	evaluation  bool   // EvaluationFailed is shown
	entered     bool   // it follows the state's entry, though nothing else does
	heartbeat   bool   // a timeout that States.HeartbeatTimeout names too
}

// clip cuts a text to at most n bytes, not within a character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// failOn is the Fail state. Its failure is the line's: a Fail state has neither Retry nor Catch.
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

// failState decides what becomes of a state that failed: it is tried again, caught, or fails its line.
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
		f.last = before // the catcher's own failure follows what the state's first one followed
		r.evaluationFailed(f, second)
		r.groupFailed(f, second)
		fail = second
	}
	scheduled := f.phase == working
	f.phase, f.fail, f.task = failed, fail, nil
	r.touch(f)
	if f.id == rootFrame || runtime { // a runtime error ends the execution from wherever it happens
		r.closeAfter(stepfn.Failed, fail, f.last)
		return
	}
	r.lineFailed(f, fail, scheduled)
}

// evaluationFailed shows a failed expression. Where nothing followed the state's entry, the event follows what came before
// the entry, as Step Functions numbers it.
func (r *Run) evaluationFailed(f *frame, fail *failure) {
	if !fail.evaluation {
		return
	}
	e := history.Event{Type: history.EvaluationFailed, Error: fail.name, Cause: fail.cause, Location: fail.location,
		State: f.state.Name, Previous: f.last}
	if f.last == f.entered && !fail.entered && fail.name != stepfn.StatesDataLimitExceeded { // recorded both ways
		e.Previous = f.before
	}
	f.last = r.emitAfter(e)
}

// retry finds the retrier that takes the error, and lets the state wait for its next attempt.
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

// backoff is the retrier's interval after n attempts of its own, in seconds, before jitter.
func backoff(t *asl.Retrier, n int) float64 {
	s := t.IntervalSeconds * math.Pow(t.BackoffRate, float64(n))
	if t.MaxDelaySeconds > 0 {
		s = min(s, t.MaxDelaySeconds)
	}
	return min(s, stepfn.MaxSeconds)
}

// delay is how long the retrier waits after n attempts of its own.
func (r *Run) delay(f *frame, t *asl.Retrier, n int) time.Duration {
	s := backoff(t, n)
	if t.FullJitter {
		s *= rand.New(r.random(f, onRetry, 0)).Float64() //nolint:gosec // jitter, from the seed of the run
	}
	return seconds(s).Truncate(time.Millisecond)
}

// matches says that ErrorEquals names the error. States.ALL stands for all errors but States.Runtime; that it stands for
// a task's States.DataLimitExceeded was recorded, though the documentation excludes it. States.TaskFailed stands for all
// but timeouts (States Language, "Errors"). The documented name of a ReferencePathConflict names it as well, for
// definitions that were written by the documentation. Ray.SubmitFailed, an error of our own tasks, includes
// Ray.RuntimeEnvFailed, which was part of it when older definitions were written.
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

// catch finds the catcher that takes the error, and leaves the state by it. It returns the failure that stays: nil, the
// state's own, or the catcher's when its own expressions fail.
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

// caught evaluates what a catcher hands on. Nothing is changed yet: when it fails, the state fails by that instead.
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
