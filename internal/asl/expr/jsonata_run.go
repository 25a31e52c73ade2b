package expr

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/metrics"
	"time"

	"github.com/recolabs/gnata"
)

// environment is what is used of the library's environment, whose type it does not export.
type environment interface {
	Bind(name string, v any)
	Lookup(name string) (any, bool)
	Context() context.Context
}

// root holds the library's functions and ours; it is read only after init. blank is an empty environment inside it:
// every evaluation takes a copy of blank for its variables.
var (
	root  = withFunctions(gnata.NewCustomEnv(nil))
	blank = childOf(root)
)

// childOf asks the library for an environment inside env: it makes one for every evaluation, and shows it to functions.
func childOf[E environment](env E) E {
	var child E
	seen := func(_ []any, _ any, inside E) (any, error) {
		child = inside
		return nil, nil
	}
	env.Bind("rayorchCapture", reflect.ValueOf(seen).Convert(kindOf(env, "map")).Interface())
	defer env.Bind("rayorchCapture", nil)
	probe, err := gnata.Compile("$rayorchCapture()")
	if err == nil {
		_, err = evalIn(probe, env)
	}
	if err != nil {
		panic(fmt.Sprintf("expr: the JSONata library shows no environment: %v", err))
	}
	return child
}

// evalIn calls the library with an environment whose type cannot be written down.
func evalIn(probe *gnata.Expression, env any) (any, error) {
	out := reflect.ValueOf(probe.EvalWithCustomFuncs).Call([]reflect.Value{
		reflect.ValueOf(context.Background()), reflect.Zero(reflect.TypeFor[any]()), reflect.ValueOf(env)})
	err, _ := out[1].Interface().(error)
	return out[0].Interface(), err
}

// kindOf is the type that the library gave a function of its own.
func kindOf(env environment, name string) reflect.Type {
	f, _ := env.Lookup(name)
	return reflect.TypeOf(f)
}

// run evaluates with the library. Nothing that an expression does may take the process down: panics become errors, and
// the evaluation's steps, time and memory are bounded.
func (j *JSONata) run(s *Scope) (out any, err error) {
	defer func() {
		if r := recover(); r != nil {
			out, err = nil, fmt.Errorf("the evaluation failed: %v", r)
		}
	}()
	env := blank.Clone()
	if w := j.scan.roots.names["states"]; w != nil {
		env.Bind("states", s.states(w))
	}
	for i := range j.scan.paths {
		p := &j.scan.paths[i]
		if v, ok, known := p.follow(s); ok {
			env.Bind(p.alias, s.given(p, v))
		} else if !known {
			f, _ := root.Lookup(p.variable)
			env.Bind(p.alias, f)
		}
	}
	for _, name := range j.scan.used {
		w := j.scan.roots.names[name]
		if v, ok := s.variable(name); ok && w != nil {
			env.Bind(name, w.toLibrary(v))
		}
	}
	return j.expr.EvalWithCustomFuncs(&evaluation{scope: s}, nil, env)
}

// given is the value of a path for the library; whole fields of $states are kept for the template's other expressions.
func (s *Scope) given(p *plainPath, v any) any {
	if p.variable == "states" && len(p.names) == 1 {
		return s.converted(p.names[0], v)
	}
	return toLibrary(v)
}

// states is $states with the fields that are wanted.
func (s *Scope) states(w *wants) orderedMap {
	m := newOrderedMap()
	for _, name := range statesFields {
		field := w.names[name]
		if field == nil && !w.all {
			continue
		}
		v, ok := statesField(s, name)
		switch {
		case !ok:
		case w.all || field.all:
			m.Set(name, s.converted(name, v))
		default:
			m.Set(name, field.toLibrary(v))
		}
	}
	return m
}

// Bounds on one evaluation, in the spirit of Step Functions' own: depth 100 (the library's), a few seconds, some MB.
const (
	maxSteps      = 20_000_000
	maxDuration   = 10 * time.Second
	maxGap        = time.Second // of a process that was stopped, or got no processor
	maxHeapGrowth = 128 << 20
	stepsPerLook  = 8 // a string can double twice between two looks
)

var (
	errSteps  = errors.New("Expression evaluation timeout: the expression takes too many steps")
	errTime   = errors.New("Expression evaluation timeout: the expression takes too long")
	errMemory = errors.New("Expression evaluation memory limit exceeded: Check for excessive memory usage")
)

// evaluation is the context of one evaluation. The library asks Err before every step, which is where bounds are kept.
// The clock serves only to stop what runs away; no result depends on it.
type evaluation struct {
	scope   *Scope
	steps   int
	looked  time.Time
	took    time.Duration
	heap    uint64
	stopped error
}

func (e *evaluation) Deadline() (time.Time, bool) { return time.Time{}, false }
func (e *evaluation) Done() <-chan struct{}       { return nil }
func (e *evaluation) Value(any) any               { return nil }

// Err says whether the evaluation must stop.
func (e *evaluation) Err() error {
	e.steps++
	if e.steps%stepsPerLook != 0 || e.stopped != nil {
		return e.stopped
	}
	if e.steps > maxSteps {
		e.stopped = errSteps
		return e.stopped
	}
	if e.steps > 4*stepsPerLook { // most expressions end before it is worth asking
		e.look(time.Now())
	}
	return e.stopped
}

// look asks the clock and the heap. The heap is the whole process's: others may let it grow meanwhile, which the bound
// leaves room for.
func (e *evaluation) look(now time.Time) {
	if e.looked.IsZero() {
		e.looked, e.heap = now, heapSize()
		return
	}
	gap := now.Sub(e.looked)
	if gap < time.Millisecond {
		return
	}
	e.looked = now
	e.took += min(gap, maxGap)
	switch {
	case e.took > maxDuration:
		e.stopped = errTime
	case heapSize() > e.heap+maxHeapGrowth:
		e.stopped = errMemory
	}
}

// heapSize is cheap: reading this metric stops nobody.
func heapSize() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
