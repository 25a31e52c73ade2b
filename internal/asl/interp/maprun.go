package interp

import (
	"crypto/md5" //nolint:gosec // hashes names, not secrets
	"encoding/binary"
	"math"
	"math/rand/v2"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/asl/expr"
	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// MapRun is a distributed Map to run: the engine reads the items, starts a child execution for each item or batch, and
// applies MapRunEnded when all children have ended or too many failed. The fields are evaluated. The methods are safe for
// concurrent use.
type MapRun struct {
	ID    string // unique within the run and for this attempt
	ARN   string
	Frame FrameID
	State string
	// Program is the Params.Program of the children.
	Program                    int
	Label                      string
	Express                    bool
	MaxConcurrency             int64 // 0: no limit but the engine's
	ToleratedFailureCount      int64
	ToleratedFailurePercentage float64
	// Items is a JSON array or object. If the items are to be read, Reader is set instead: {"Resource", "Parameters",
	// "ReaderConfig"}, where MaxItems is evaluated.
	Items, Reader []byte
	// Batched means that a child gets a batch: at most BatchItems items and BatchBytes bytes of input (0: no limit).
	Batched                bool
	BatchItems, BatchBytes int64
	BatchInput             []byte
	Writer                 []byte // {"Resource", "Parameters", "WriterConfig"}; empty: the results are returned as an array
	// Redriven means that a map run with this ARN has run before: only children that did not succeed are to run again.
	Redriven bool

	selector *selector
}

// selector is the ItemSelector together with everything that it can read, copied when the map run started.
type selector struct {
	template asl.Template
	input    any
	context  *value.Object
	vars     map[string]any
	seed     uint64
	stream   uint64
	now      time.Time
}

// MapItem is an item as ItemSelector sees it in $$.Map.Item. Source is a URI or STATE_DATA, empty if unknown. Key is valid if
// Keyed, that is, if the items are the members of an object.
type MapItem struct {
	Keyed       bool
	Key, Source string
	Value       any
}

// input returns the input of a child without an ItemSelector: the value or, for a keyed item, the key and the value.
func (i *MapItem) input() any {
	if i.Keyed {
		return object("Key", i.Key, "Value", i.Value)
	}
	return i.Value
}

// shown returns the item as $$.Map.Item.
func (i *MapItem) shown(index int64) *value.Object {
	o := object("Index", value.Int(index), "Value", i.Value)
	if i.Keyed {
		o.Set("Key", i.Key)
	}
	if i.Source != "" {
		o.Set("Source", i.Source)
	}
	return o
}

// Child returns the input of the child execution of one item; for a batched map run, one element of the input that Batch
// builds. An error is an *expr.Error, whose name becomes the error of the map run.
func (m *MapRun) Child(index int64, item *MapItem) (input []byte, err error) {
	s := m.selector
	if s == nil || s.template == nil {
		return value.Bytes(item.input()), nil
	}
	v, err := s.template.Eval(&expr.Scope{
		Input:   s.input,
		Context: func() any { return s.context.With("Map", object("Item", item.shown(index))) },
		Vars:    func(name string) (any, bool) { v, ok := s.vars[name]; return v, ok },
		Random:  sourceOf(s.seed, s.stream, uint64(index)),
		Now:     s.now,
	})
	if err != nil {
		return nil, err
	}
	return value.Bytes(v), nil
}

// Batch returns the input of a child that processes several items; each of items is a result of Child.
func (m *MapRun) Batch(items [][]byte) []byte {
	var b []byte
	b = append(b, '{')
	if len(m.BatchInput) > 0 {
		b = append(append(append(b, `"BatchInput":`...), m.BatchInput...), ',')
	}
	b = append(b, `"Items":[`...)
	for i, item := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, item...)
	}
	return append(b, "]}"...)
}

// ExceedToleratedFailureThresholdCause is the cause of the failure of a map run in which too many children failed.
const ExceedToleratedFailureThresholdCause = "The specified tolerated failure threshold was exceeded"

// Exceeded reports whether more items failed than the state tolerates. Without a tolerance, a single failure is too many.
func (m *MapRun) Exceeded(failed, total int64) bool {
	if failed == 0 {
		return false
	}
	count, percentage := m.ToleratedFailureCount, m.ToleratedFailurePercentage
	if count == 0 && percentage == 0 {
		return true
	}
	return count > 0 && failed > count || percentage > 0 && float64(failed)*100 > percentage*float64(total)
}

// RunningMaps lists the map runs that were started and have not ended. After a restart, the engine starts them again.
func (r *Run) RunningMaps() []MapRun {
	var runs []MapRun
	for _, id := range r.ids() {
		if f := r.frames[id]; f.kind == lineKind && f.phase == mapping {
			m := *r.frames[f.group].mapRun
			m.selector = r.selector(f)
			runs = append(runs, m)
		}
	}
	return runs
}

// selector copies the variables that ItemSelector uses: children must not keep a reference to the run, which can be unloaded
// while they run.
func (r *Run) selector(f *frame) *selector {
	t := f.state.Map.ItemSelector
	if t == nil {
		return nil
	}
	in, fail := r.mapInput(f)
	if fail != nil { // cannot happen: the same path succeeded when the map run started
		in = f.input
	}
	s := &selector{template: t, input: in.value(), seed: r.params.Seed, stream: stream(f, onItem), now: r.now, vars: map[string]any{}}
	s.context, _ = r.context(f, nil).(*value.Object)
	for _, name := range t.Variables() {
		if v, ok := r.variable(f, name); ok {
			s.vars[name] = v
		}
	}
	return s
}

// startMapRun starts a distributed Map. The children are executions of their own, which the engine starts; the line waits for
// MapRunEnded. A redrive of a Map whose map run had started continues that map run instead of evaluating the fields again.
func (r *Run) startMapRun(f *frame) *failure {
	if f.redriven && f.group != 0 && r.frames[f.group].mapRun != nil {
		return r.redriveMapRun(f)
	}
	in, fail := r.mapInput(f)
	if fail != nil {
		return fail
	}
	m, length, fail := r.newMapRun(f, in)
	if fail != nil {
		return fail
	}
	r.emit(f, history.Event{Type: history.MapStateStarted, Length: length})
	if fail := r.mapRunFields(f, m, in); fail != nil {
		return fail
	}
	f.group = r.add(&frame{kind: mapRunKind, parent: f.id, mapRun: m}).id
	f.phase = mapping
	r.touch(f)
	f.mapRunStarted = r.emit(f, history.Event{Type: history.MapRunStarted, MapRunARN: m.ARN})
	r.sendMapRun(f, m)
	return nil
}

// sendMapRun adds a copy of the map run to the decision, because the stored one must not change.
func (r *Run) sendMapRun(f *frame, m *MapRun) {
	sent := *m
	sent.selector = r.selector(f)
	r.decision.MapRuns = append(r.decision.MapRuns, sent)
}

// redriveMapRun restarts a map run that failed, under its ARN.
func (r *Run) redriveMapRun(f *frame) *failure {
	m := r.frames[f.group].mapRun
	m.ID, m.Redriven = r.taskID(f), true
	f.phase, f.redriven = mapping, false
	r.touch(f)
	r.touch(r.frames[f.group])
	r.emit(f, history.Event{Type: history.MapRunRedriven, MapRunARN: m.ARN, RedriveCount: int64(r.head.RedriveCount)})
	r.sendMapRun(f, m)
	return nil
}

// newMapRun evaluates the fields whose failure Step Functions shows before MapStateStarted. With an ItemReader the length is
// unknown, and shown as 0.
func (r *Run) newMapRun(f *frame, in *data) (m *MapRun, length int64, fail *failure) {
	fields := f.state.Map
	m = &MapRun{ID: r.taskID(f), Frame: f.id, State: f.state.Name, Program: fields.Processor.Index, Label: fields.Label,
		Express: fields.Processor.Express}
	m.ARN = r.mapRunARN(f, m)
	r.test.note(f, "afterInputPath", in)
	if fields.Reader == nil {
		items, fail := r.items(f, in)
		if fail != nil {
			return nil, 0, fail
		}
		m.Items, length = items.bytes(), itemCount(items.value())
	}
	m.MaxConcurrency, fail = r.maxConcurrency(f, in)
	return m, length, fail
}

// mapRunFields evaluates the fields whose failure Step Functions shows after MapStateStarted.
func (r *Run) mapRunFields(f *frame, m *MapRun, in *data) (fail *failure) {
	fields := f.state.Map
	if fields.Reader != nil {
		if m.Reader, fail = r.reader(f, in); fail != nil {
			return fail
		}
	}
	if fail := r.tolerated(f, m, in); fail != nil {
		return fail
	}
	if fail := r.batcher(f, m, in); fail != nil {
		return fail
	}
	if fields.Writer != nil {
		m.Writer, fail = r.dataset(f, fields.Writer.Resource, fields.Writer.Parameters, "WriterConfig", fields.Writer.Config, in)
	}
	return fail
}

// itemCount returns the number of items in the state's input: elements of an array, or members of an object.
func itemCount(v any) int64 {
	switch v := v.(type) {
	case []any:
		return int64(len(v))
	case *value.Object:
		return int64(v.Len())
	}
	return 0
}

// MapLabel returns the label of a distributed Map without a Label: a UUID computed from the state machine and the state. The
// name of the state itself would not do: it can contain characters that are invalid in an ARN.
func MapLabel(machineARN, state string) string {
	b := uuid.UUID(md5.Sum([]byte(machineARN + "/" + state))) //nolint:gosec // a UUID of version 3 (RFC 9562), not a secret
	b[6], b[8] = b[6]&0x0f|0x30, b[8]&0x3f|0x80
	return b.String()
}

// mapRunARN returns a new ARN in the format of Step Functions: machine, label and a UUID.
func (r *Run) mapRunARN(f *frame, m *MapRun) string {
	if m.Label == "" {
		m.Label = MapLabel(r.params.MachineARN, f.state.Name)
	}
	x := rand.New(r.random(f, onMapRun, uint64(f.retried))) //nolint:gosec // a name, drawn from the seed of the run
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], x.Uint64())
	binary.BigEndian.PutUint64(id[8:], x.Uint64())
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	arn, _ := stepfn.ParseARN(r.params.MachineARN)
	arn.Kind, arn.Name, arn.Qualifier = stepfn.KindMapRun, arn.Name+"/"+m.Label, id.String()
	return arn.String()
}

// tolerated evaluates how many items may fail. If a path yields a value out of range, Step Functions has a separate message.
func (r *Run) tolerated(f *frame, m *MapRun, in *data) (fail *failure) {
	fields := f.state.Map
	if s := &fields.ToleratedFailureCount; s.Set() {
		if m.ToleratedFailureCount, fail = r.integer(f, s, in, lowest(s, 0), stepfn.MaxSeconds); fail != nil {
			return fail
		}
		if m.ToleratedFailureCount < 0 {
			return runtimeFailure(f, "ToleratedFailureCount cannot be negative.")
		}
		r.test.number("toleratedFailureCount", float64(m.ToleratedFailureCount))
	}
	if s := &fields.ToleratedFailurePercentage; s.Set() {
		if m.ToleratedFailurePercentage, fail = r.percentage(f, s, in); fail != nil {
			return fail
		}
		if r.test != nil {
			r.test.inspection.Set("toleratedFailurePercentage", value.Double(m.ToleratedFailurePercentage))
		}
	}
	return nil
}

// lowest returns the lower bound that integer checks. A value from a path is not bounded here: if it is too low, the message
// differs from the one for a value that is not an integer.
func lowest(s *asl.Scalar, least int64) int64 {
	if s.Query != nil {
		return math.MinInt64
	}
	return least
}

// batcher evaluates ItemBatcher.
func (r *Run) batcher(f *frame, m *MapRun, in *data) (fail *failure) {
	b := f.state.Map.Batcher
	if b == nil {
		return nil
	}
	m.Batched = true
	if b.MaxItemsPerBatch.Set() {
		if m.BatchItems, fail = r.integer(f, &b.MaxItemsPerBatch, in, 0, stepfn.MaxSeconds); fail != nil {
			return fail
		}
	}
	if b.MaxInputBytesPerBatch.Set() {
		if m.BatchBytes, fail = r.integer(f, &b.MaxInputBytesPerBatch, in, 0, stepfn.MaxPayload); fail != nil {
			return fail
		}
	}
	if b.BatchInput != nil {
		v, err := b.BatchInput.Eval(r.scope(f, in.value(), onScalar))
		if err != nil {
			return r.evalFailure(f, err)
		}
		m.BatchInput = value.Bytes(v)
	}
	return nil
}

// plainPath matches an ItemsPath that consists of names. In the data of a reader it means the same as in the state's input,
// and it can be passed on as a JSON pointer, so that the file is not loaded into memory.
var plainPath = regexp.MustCompile(`^\$(\.[A-Za-z_][A-Za-z0-9_-]*)+$`)

// reader returns MapRun.Reader. It puts the evaluated MaxItems and ItemsPath into ReaderConfig, where the engine expects
// them.
func (r *Run) reader(f *frame, in *data) ([]byte, *failure) {
	reader := f.state.Map.Reader
	config, _ := reader.Config.(*value.Object)
	if reader.MaxItems.Set() {
		n, fail := r.integer(f, &reader.MaxItems, in, lowest(&reader.MaxItems, 0), math.MaxInt32)
		if fail != nil {
			return nil, fail
		}
		config = config.With("MaxItems", value.Int(n))
	}
	if p := f.state.Map.ItemsPath.Path; p != nil && !config.Has("ItemsPointer") {
		if names := plainPath.FindString(p.Text()); names != "" {
			config = config.With("ItemsPath", strings.ReplaceAll(names[1:], ".", "/"))
		}
	}
	return r.dataset(f, reader.Resource, reader.Parameters, "ReaderConfig", config, in)
}

// dataset returns the JSON object that describes what a map run reads or writes; the member key contains config.
func (r *Run) dataset(f *frame, resource string, t asl.Template, key string, config any, in *data) ([]byte, *failure) {
	o := object("Resource", resource)
	if t != nil {
		v, err := t.Eval(r.scope(f, in.value(), onScalar))
		if err != nil {
			return nil, r.evalFailure(f, err)
		}
		o.Set("Parameters", v)
	}
	if c, ok := config.(*value.Object); ok && c.Len() > 0 {
		o.Set(key, c)
	}
	return value.Bytes(o), nil
}

// mapRunEnded ends the Map's state, or fails it.
func (r *Run) mapRunEnded(e MapRunEnded) {
	f := r.mappingLine(e.MapRun)
	if f == nil {
		return
	}
	r.touch(f)
	if e.Error != "" {
		fail := &failure{name: clip(e.Error, stepfn.MaxError), cause: clip(e.Cause, stepfn.MaxCause)}
		r.emit(f, history.Event{Type: history.MapRunFailed, Error: fail.name, Cause: fail.cause})
		r.failState(f, fail)
		return
	}
	v, err := value.Parse(e.Output)
	if err != nil {
		r.failState(f, runtimeFailure(f, "The map run's output is not valid JSON: %s", err))
		return
	}
	succeeded := r.emit(f, history.Event{Type: history.MapRunSucceeded})
	r.emitAfter(history.Event{Type: history.MapStateSucceeded, Previous: succeeded})
	if f.before != 0 { // except in the first state of a machine, the exit follows MapRunStarted (recorded)
		f.last = f.mapRunStarted
	}
	r.dissolve(f)
	if fail := r.endState(f, valueData(v)); fail != nil {
		r.failState(f, fail)
	}
}

// mappingLine returns the line that waits for the map run with this id; nil if none does.
func (r *Run) mappingLine(id string) *frame {
	f := r.frames[frameOf(id)]
	if f == nil || f.kind != lineKind || f.phase != mapping || r.frames[f.group].mapRun.ID != id {
		return nil
	}
	return f
}
