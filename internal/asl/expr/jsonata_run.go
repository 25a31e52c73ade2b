package expr

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/rayorch/rayorch/internal/asl/jsonata"
	"github.com/rayorch/rayorch/internal/value"
)

// Limits of one evaluation. Depth and memory are those of Step Functions. AWS does not document a limit of time.
const (
	maxDepth    = 100
	maxBytes    = 20 << 20
	maxChecks   = 10_000 // calls of stopwatch.check: about 40 million steps
	maxDuration = 10 * time.Second
	maxGap      = time.Second // the most that counts between two checks, because the process may have been suspended
)

var (
	errSteps = errors.New("Expression evaluation timeout: the expression takes too many steps")
	errTime  = errors.New("Expression evaluation timeout: the expression takes too long")
)

// stopwatch aborts an expression that takes too long. check is called every few thousand steps, so that most expressions
// never call it. The clock cannot change a result.
type stopwatch struct {
	checks int
	last   time.Time
	took   time.Duration
}

// check returns an error once the evaluation has exceeded its limit of steps or of time.
func (w *stopwatch) check() error {
	now := time.Now()
	if w.checks++; w.checks > 1 {
		w.took += min(now.Sub(w.last), maxGap)
	}
	w.last = now
	switch {
	case w.checks > maxChecks:
		return errSteps
	case w.took > maxDuration:
		return errTime
	}
	return nil
}

// run evaluates the expression. defined is false if the result is undefined.
func (j *JSONata) run(s *Scope) (v any, defined bool, err error) {
	var watch stopwatch
	var states *value.Object
	env := &jsonata.Env{
		Vars: func(name string) (any, bool) {
			if name != "states" {
				return s.variable(name)
			}
			if states == nil {
				states = s.states(j.states)
			}
			return states, true
		},
		Functions: ownFunctions, Data: s, Now: s.Now,
		Float64: func() float64 { return rand.New(s.random()).Float64() }, //nolint:gosec // not a secret
	}
	return j.expr.Eval(jsonata.Undefined, env, jsonata.Limits{Bytes: maxBytes, Depth: maxDepth, Check: watch.check})
}

// states returns $states with the given fields. The name "" stands for all fields.
func (s *Scope) states(names []string) *value.Object {
	wanted := func(name string) bool {
		for _, n := range names {
			if n == "" || n == name {
				return true
			}
		}
		return false
	}
	o := value.NewObject(4)
	if wanted("input") {
		o.Set("input", s.Input)
	}
	if wanted("context") {
		if v, ok := s.context(); ok {
			o.Set("context", v)
		}
	}
	if s.HasResult && wanted("result") {
		o.Set("result", s.Result)
	}
	if s.HasErrorOutput && wanted("errorOutput") {
		o.Set("errorOutput", s.ErrorOutput)
	}
	return o
}
