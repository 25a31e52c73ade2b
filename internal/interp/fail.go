package interp

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/history"
	"github.com/rayorch/rayorch/internal/value"
)

// failure is why a state fails.
type failure struct {
	name, cause string
	location    string // of a JSONata expression
	evaluation  bool   // EvaluationFailed is shown
}

// The longest error and cause that Step Functions keeps.
const (
	maxError = 256
	maxCause = 32768
)

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

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
	fail.name, fail.cause = clip(fail.name, maxError), clip(fail.cause, maxCause)
	if fail.evaluation {
		r.evaluationFailed(f, fail)
	}
	if r.retry(f, fail) {
		return
	}
	r.groupFailed(f, fail)
	if r.catch(f, fail) {
		return
	}
	f.phase, f.fail, f.task = failed, fail, nil
	r.touch(f)
	if f.id == rootFrame {
		r.close(Failed, fail)
		return
	}
	r.lineFailed(f, fail)
}

// evaluationFailed shows a failed expression. Where nothing followed the state's entry, the event follows what came before
// the entry, as Step Functions numbers it.
func (r *Run) evaluationFailed(f *frame, fail *failure) {
	e := history.Event{Type: history.EvaluationFailed, Error: fail.name, Cause: fail.cause, Location: fail.location,
		State: f.state.Name, Previous: f.last}
	if f.last == f.entered {
		e.Previous = f.before
	}
	f.last = r.emitAfter(e)
}

// retry finds the retrier that takes the error, and lets the state wait for its next attempt.
func (r *Run) retry(f *frame, fail *failure) bool {
	for i := range f.state.Retry {
		t := &f.state.Retry[i]
		if !matches(t.ErrorEquals, fail.name) {
			continue
		}
		if f.retries == nil {
			f.retries = make([]int, len(f.state.Retry))
		}
		if f.retries[i] >= t.MaxAttempts {
			return false
		}
		delay := r.delay(f, t, f.retries[i])
		f.retries[i]++
		f.retried++
		r.dissolve(f)
		f.phase, f.task = retrying, nil
		r.touch(f)
		r.setTimer(f, r.now.Add(delay))
		return true
	}
	return false
}

// delay is how long the retrier waits after n attempts of its own.
func (r *Run) delay(f *frame, t *asl.Retrier, n int) time.Duration {
	s := t.IntervalSeconds * math.Pow(t.BackoffRate, float64(n))
	if t.MaxDelaySeconds > 0 {
		s = min(s, t.MaxDelaySeconds)
	}
	s = min(s, maxSeconds)
	if t.FullJitter {
		source := &lazySource{seed: r.params.Seed, stream: uint64(f.id)<<32 ^ uint64(f.entries)<<4 ^ onCatch}
		s *= rand.New(source).Float64()
	}
	return seconds(s).Truncate(time.Millisecond)
}

// matches says that ErrorEquals names the error. States.ALL stands for all but two errors, States.TaskFailed for all but
// timeouts (States Language, "Errors"); a heartbeat's timeout is a timeout.
func matches(equals []string, name string) bool {
	if slices.Contains(equals, name) {
		return true
	}
	if name == "States.Runtime" || name == "States.DataLimitExceeded" {
		return false
	}
	timeout := name == "States.Timeout" || name == "States.HeartbeatTimeout"
	for _, e := range equals {
		if e == "States.ALL" || e == "States.TaskFailed" && !timeout || e == "States.Timeout" && timeout {
			return true
		}
	}
	return false
}

// catch finds the catcher that takes the error, and leaves the state by it.
func (r *Run) catch(f *frame, fail *failure) bool {
	for i := range f.state.Catch {
		c := &f.state.Catch[i]
		if !matches(c.ErrorEquals, fail.name) {
			continue
		}
		out, assigned, second := r.caught(f, c, fail)
		if second != nil {
			*fail = *second
			return false
		}
		r.dissolve(f)
		r.leave(f, out, assigned, c.Next)
		return true
	}
	return false
}

func (r *Run) caught(f *frame, c *asl.Catcher, fail *failure) (*data, *value.Object, *failure) {
	info := valueData(object("Error", fail.name, "Cause", fail.cause))
	var out *data
	var second *failure
	if f.state.JSONata {
		out, second = r.jsonataOutput(f, c.Output, nil, info)
	} else {
		out, second = r.put(f, c.ResultPath, info)
	}
	if second != nil {
		return nil, nil, second
	}
	if out.tooBig() {
		return nil, nil, dataLimit(f)
	}
	assigned, second := r.assign(f, c.Assign, nil, info)
	return out, assigned, second
}
