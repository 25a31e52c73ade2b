package interp

import (
	"fmt"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/asl/expr"
	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// A Parallel or an inline Map runs its lines in a group. The group's frame is a child of the line that executes the state, and the
// lines are children of the group. When a line succeeds, its frame keeps only the output (doneKind); when all have succeeded,
// groupEnded ends the state with the outputs, in order. When a line fails, lineFailed aborts the others and fails the state.
// dissolve removes all these frames when the state is left or retried; a failed state keeps them for a redrive.

// parallel starts a line for each branch. All branches share one input, because values are immutable.
func (r *Run) parallel(f *frame) *failure {
	in, fail := r.arguments(f)
	if fail != nil {
		return fail
	}
	if in.tooBig() {
		return dataLimit(f.state.Name)
	}
	group := r.begin(f, int64(len(f.state.Branches)), history.Event{Type: history.ParallelStateStarted})
	for i, b := range f.state.Branches {
		r.addLine(group, b, in, int64(i), group.startEvent)
	}
	group.started = group.length
	if group.length == 0 {
		r.groupEnded(group)
	}
	return nil
}

// begin creates the group of a state that runs lines.
func (r *Run) begin(f *frame, length int64, started history.Event) *frame {
	group := r.add(&frame{kind: groupKind, parent: f.id, length: length})
	group.startEvent = r.emit(f, started)
	group.last = group.startEvent
	f.phase, f.group = grouped, group.id
	r.touch(f)
	return group
}

// addLine adds a line to a group; previous is the previous event of the line's first event.
func (r *Run) addLine(group *frame, p *asl.Program, in *data, index, previous int64) {
	line := r.add(&frame{kind: lineKind, phase: ready, parent: group.id, program: p, state: p.StartAt, input: in, index: index,
		last: previous})
	group.lines = append(group.lines, line.id)
	group.running++
	r.enqueue(line)
}

// canStart reports whether the group has lines that have not started, and its concurrency limit allows one more.
func (g *frame) canStart() bool {
	return g.started < g.length && (g.limit == 0 || g.running < g.limit)
}

// startLine starts the next iteration of a Map. As in Step Functions, the event of an iteration follows the start of the Map
// while the concurrency limit is not yet reached; a later one follows the end of the iteration that made room for it.
func (r *Run) startLine(group *frame) {
	f := r.frames[group.parent]
	index := group.started
	in, fail := r.itemInput(f, group, index)
	if fail != nil {
		r.failState(f, fail)
		return
	}
	previous := group.startEvent
	if group.limit > 0 && index >= group.limit {
		previous = group.last
	}
	group.started++
	e := history.Event{Type: history.MapIterationStarted, Name: f.state.Name, Index: index, Previous: previous}
	r.addLine(group, f.state.Map.Processor, in, index, r.emitAfter(e))
}

// itemInput returns the input of an iteration: the item, or the result of ItemSelector.
func (r *Run) itemInput(f, group *frame, index int64) (*data, *failure) {
	item := r.item(group, index)
	v, _ := item.Get("Value")
	in := valueData(v)
	if selector := f.state.Map.ItemSelector; selector != nil {
		effective, fail := r.mapInput(f)
		if fail != nil {
			return nil, fail
		}
		scope := r.scope(f, effective.value(), onItem)
		scope.Random = r.random(f, onItem, uint64(index))
		scope.Context = func() any { return r.context(f, item) }
		v, err := selector.Eval(scope)
		if err != nil {
			return nil, r.evalFailure(f, err)
		}
		in = valueData(v)
	}
	if in.tooBig() {
		return nil, dataLimit(f.state.Name)
	}
	return in, nil
}

// mapInput returns the effective input of a Map.
func (r *Run) mapInput(f *frame) (*data, *failure) {
	if f.state.JSONata {
		return f.input, nil
	}
	return r.path(f, f.state.InputPath, f.input)
}

// mapState starts a Map. It evaluates everything that can fail before it emits MapStateStarted: on a failure, the Map has not
// started.
func (r *Run) mapState(f *frame) *failure {
	if f.state.Map.Processor.Distributed {
		return r.startMapRun(f)
	}
	in, fail := r.mapInput(f)
	if fail != nil {
		return fail
	}
	r.test.note(f, "afterInputPath", in)
	items, fail := r.items(f, in)
	if fail != nil {
		return fail
	}
	limit, fail := r.maxConcurrency(f, in)
	if fail != nil {
		return fail
	}
	if limit == 0 {
		limit = inlineConcurrency
	}
	r.beginMap(f, items, limit)
	return nil
}

// maxConcurrency evaluates MaxConcurrency; 0 if the field is missing.
func (r *Run) maxConcurrency(f *frame, in *data) (n int64, fail *failure) {
	if s := &f.state.Map.MaxConcurrency; s.Set() {
		if n, fail = r.integer(f, s, in, 0, stepfn.MaxSeconds); fail != nil {
			return 0, fail
		}
	}
	r.test.number("maxConcurrency", float64(n))
	return n, nil
}

// beginMap creates the group of an inline Map. The items have a frame of their own that is written once, because the frame of
// the group is written at every iteration.
func (r *Run) beginMap(f *frame, items *data, limit int64) {
	list, _ := items.value().([]any)
	group := r.begin(f, int64(len(list)), history.Event{Type: history.MapStateStarted, Length: int64(len(list))})
	group.limit = limit
	group.items = r.add(&frame{kind: itemsKind, parent: group.id, input: items}).id
	if len(list) == 0 {
		r.groupEnded(group)
		return
	}
	r.enqueue(group)
}

// inlineConcurrency is the number of iterations of an inline Map that run at once if MaxConcurrency is missing or 0.
const inlineConcurrency = 40

// items returns the items of a Map: an array or, for a distributed Map, also an object.
func (r *Run) items(f *frame, in *data) (*data, *failure) {
	m := f.state.Map
	switch {
	case m.ItemsExpr != nil:
		v, err := m.ItemsExpr.Eval(r.scope(f, in.value(), onInput), "Items")
		if err != nil {
			return nil, r.evalFailure(f, err)
		}
		if !iterable(m, v) {
			return nil, r.evalFailure(f, m.ItemsExpr.WrongType("Items", "array", v))
		}
		return valueData(v), nil
	case m.Items != nil:
		v, err := m.Items.Eval(r.scope(f, in.value(), onInput))
		if err != nil {
			return nil, r.evalFailure(f, err)
		}
		in = valueData(v)
	case !f.state.JSONata:
		effective := in
		var fail *failure
		if in, fail = r.path(f, m.ItemsPath, in); fail != nil {
			return nil, pathConflict(m.ItemsPath, effective, fail)
		}
	}
	if !iterable(m, in.value()) {
		return nil, r.notArray(f, in)
	}
	r.test.items(f, in)
	return in, nil
}

// pathConflict returns the failure of an ItemsPath that matches nothing. For a reference path, the message names the step
// that could not be applied; for any other path, the failure is other.
func pathConflict(p asl.PathField, in *data, other *failure) *failure {
	step := p.Path.FirstMissing(in.value())
	if step == "" {
		return other
	}
	return &failure{name: stepfn.StatesReferencePathConflict, cause: fmt.Sprintf("Unable to apply step %q to input %s", step, value.Text(in.value()))}
}

// iterable reports whether v can be the items of a Map: an array or, for a distributed Map, also an object.
func iterable(m *asl.MapFields, v any) bool {
	switch v.(type) {
	case []any:
		return true
	case *value.Object:
		return m.Processor.Distributed
	}
	return false
}

// notArray returns the failure of a Map whose items are not an array. With JSONata it comes with an EvaluationFailed without
// a location (recorded); with JSONPath the cause does not start with the state's name.
func (r *Run) notArray(f *frame, in *data) *failure {
	if f.state.JSONata {
		fail := runtimeFailure(f, "Map state input must be an array but was: %s", value.Text(in.value()))
		fail.name, fail.evaluation = stepfn.StatesQueryEvaluationError, true
		return fail
	}
	path := "$"
	if p := f.state.Map.ItemsPath.Path; p != nil {
		path = p.Text()
		if p.Source() == expr.FromContext {
			path = path[1:] // $$.x is shown as $.x (recorded)
		}
	}
	return &failure{name: stepfn.StatesRuntime, cause: `Reference path "` + path + `" must point to array.`}
}

// lineEnded updates the group of a line that succeeded. The line's frame keeps its output until the group ends.
func (r *Run) lineEnded(line *frame) {
	group := r.frames[line.parent]
	r.touch(group)
	group.last = line.last
	group.running--
	group.ended++
	line.kind, line.phase, line.state, line.vars = doneKind, 0, nil, nil
	group.keep(line.index, line.input)
	if group.items != 0 {
		id := r.iteration(history.MapIterationSucceeded, group, line, line.last)
		if group.ended == group.length {
			group.last = id
		}
	}
	if group.ended == group.length {
		r.groupEnded(group)
	} else if group.canStart() {
		r.enqueue(group)
	}
}

// keep stores the output of a line under its index.
func (g *frame) keep(index int64, out *data) {
	for int64(len(g.results)) <= index {
		g.results = append(g.results, nil)
	}
	g.results[index] = out
}

// groupEnded ends the state of a group whose lines have all succeeded.
func (r *Run) groupEnded(group *frame) {
	f := r.frames[group.parent]
	list := make([]any, len(group.results))
	for i, res := range group.results {
		if res != nil {
			list[i] = res.value()
		}
	}
	succeeded := history.ParallelStateSucceeded
	if group.items != 0 {
		succeeded = history.MapStateSucceeded
	}
	f.last = group.last
	id := r.emitAfter(history.Event{Type: succeeded, Previous: group.last})
	r.dissolve(f)
	if fail := r.endState(f, valueData(list)); fail != nil {
		f.last = id
		r.failState(f, fail)
	}
}

// lineFailed passes the failure of a line to the state around it, and aborts the other lines of the group. The events of all
// that is aborted follow the last event of the failed line. If the failed line was a Task that had been scheduled, it emits
// TaskStateAborted as well.
func (r *Run) lineFailed(line *frame, fail *failure, scheduled bool) {
	group := r.frames[line.parent]
	f := r.frames[group.parent]
	f.last = line.last
	if group.items != 0 {
		r.iteration(history.MapIterationFailed, group, line, line.last)
	}
	if scheduled && line.state.Type == asl.Task {
		r.emitAfter(history.Event{Type: history.TaskStateAborted, Previous: line.last})
	}
	r.abortLines(group, line, line.last)
	shown := *fail
	shown.evaluation = false // the line's own state has already emitted EvaluationFailed
	r.failState(f, &shown)
}

// iteration emits an event of a Map's iteration.
func (r *Run) iteration(t history.Type, group, line *frame, previous int64) int64 {
	name := r.frames[group.parent].state.Name
	return r.emitAfter(history.Event{Type: t, Name: name, Index: line.index, Previous: previous})
}

// abortLines aborts the running lines of a group, except the given one.
func (r *Run) abortLines(group, except *frame, previous int64) {
	for _, id := range group.lines {
		line := r.frames[id]
		if line == nil || line == except || line.kind != lineKind || line.phase == aborted || line.phase == failed {
			continue
		}
		r.abortLine(group, line, previous)
	}
}

// abortLine aborts a line and the lines of its own group. A line that has not entered its state emits no event of a state.
func (r *Run) abortLine(group, line *frame, previous int64) {
	if group.items != 0 {
		r.iteration(history.MapIterationAborted, group, line, previous)
	}
	if line.phase == grouped {
		r.abortLines(r.frames[line.group], nil, previous)
	}
	if t, ok := abortedEvents[line.state.Type]; ok && line.phase != ready {
		r.emitAfter(history.Event{Type: t, Previous: previous})
	}
	r.freeze(line)
}

// abortedEvents are the events of aborted states, by type; other types emit none.
var abortedEvents = map[string]history.Type{
	asl.Task: history.TaskStateAborted, asl.Wait: history.WaitStateAborted,
	asl.Parallel: history.ParallelStateAborted, asl.Map: history.MapStateAborted,
}

// groupFailed emits that a Parallel or Map failed, if it had started or if one of its expressions failed.
func (r *Run) groupFailed(f *frame, fail *failure) {
	t, isGroup := groupFailures[f.state.Type]
	if isGroup && (f.group != 0 || fail.evaluation) {
		r.emit(f, history.Event{Type: t})
	}
}

var groupFailures = map[string]history.Type{
	asl.Parallel: history.ParallelStateFailed, asl.Map: history.MapStateFailed,
}

// dissolve removes the group of a line, and stops everything that runs in it.
func (r *Run) dissolve(f *frame) {
	if f.group == 0 {
		return
	}
	group := r.frames[f.group]
	f.group = 0
	r.touch(f)
	for _, id := range group.lines {
		if line := r.frames[id]; line != nil {
			r.stopWork(line)
			r.dissolve(line)
			r.remove(line)
		}
	}
	if group.items != 0 {
		r.remove(r.frames[group.items])
	}
	r.remove(group)
}
