package interp

import (
	"crypto/md5" //nolint:gosec // names, not secrets
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

// MapRun is a distributed Map to be run: the engine reads its items, starts a child execution for each item or batch,
// and applies MapRunEnded when all have ended or too many failed. Its fields are evaluated; its methods may be called by
// several goroutines at once.
type MapRun struct {
	ID    string // unique in the run, and to this attempt
	ARN   string
	Frame FrameID
	State string
	// Program is Params.Program of the children.
	Program                    int
	Label                      string
	Express                    bool
	MaxConcurrency             int64 // 0: as many as the engine likes
	ToleratedFailureCount      int64
	ToleratedFailurePercentage float64
	// Items is a JSON array. Reader stands instead of it: {"Resource", "Parameters", "ReaderConfig"} with MaxItems.
	Items, Reader []byte
	// Batched says that a child gets a batch: at most BatchItems items and BatchBytes bytes of them (0: no limit).
	Batched                bool
	BatchItems, BatchBytes int64
	BatchInput             []byte
	Writer                 []byte // {"Resource", "Parameters", "WriterConfig"}; empty: the results come back as an array
	// Redriven says that the map run has run before under this ARN: only what did not succeed is to be run again.
	Redriven bool

	selector *selector
}

// selector is what ItemSelector sees, taken when the map run began.
type selector struct {
	template asl.Template
	input    any
	context  *value.Object
	vars     map[string]any
	seed     uint64
	stream   uint64
	now      time.Time
}

// MapItem is an item as $$.Map.Item shows it to ItemSelector. Source is an address, or STATE_DATA; Key is shown where
// Keyed: the items are the members of an object.
type MapItem struct {
	Keyed       bool
	Key, Source string
	Value       any
}

// input is what a child gets where there is no ItemSelector: the item, and with a key both.
func (i *MapItem) input() any {
	if i.Keyed {
		return object("Key", i.Key, "Value", i.Value)
	}
	return i.Value
}

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

// Child is the input of one item's child execution. With Batched, Batch takes the inputs. An error is an *expr.Error: it
// fails the map run under its name.
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

// Batch is the input of a child that works on several items, each as Child gave it.
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

// ExceedToleratedFailureThresholdCause is the cause of a map run in which too many children failed.
const ExceedToleratedFailureThresholdCause = "The specified tolerated failure threshold was exceeded"

// Exceeded says that more of the items failed than is tolerated.
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

// RunningMaps lists the distributed Maps that were started and have not ended, for a restart.
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

// selector takes the variables by name: children must not hold on to the run, which may leave memory meanwhile.
func (r *Run) selector(f *frame) *selector {
	t := f.state.Map.ItemSelector
	if t == nil {
		return nil
	}
	in, fail := r.mapInput(f)
	if fail != nil { // it could be evaluated when the map run began
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

// startMapRun begins a distributed Map.
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

// sendMapRun hands the engine a copy: the run's own stays as it is kept.
func (r *Run) sendMapRun(f *frame, m *MapRun) {
	sent := *m
	sent.selector = r.selector(f)
	r.decision.MapRuns = append(r.decision.MapRuns, sent)
}

// redriveMapRun takes up a map run that failed.
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

// newMapRun evaluates what may fail before Step Functions shows the Map as started. With an ItemReader the length is not
// known and shows as 0.
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

// mapRunFields evaluates what may fail when the Map is shown as started already.
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
		m.Writer, fail = r.place(f, fields.Writer.Resource, fields.Writer.Parameters, "WriterConfig", fields.Writer.Config, in)
	}
	return fail
}

// itemCount is how many items a distributed Map has in its state's input: elements of an array, or members of an object.
func itemCount(v any) int64 {
	switch v := v.(type) {
	case []any:
		return int64(len(v))
	case *value.Object:
		return int64(v.Len())
	}
	return 0
}

// MapLabel is the label of a distributed Map that names none: a UUID of the machine and the state. A state's name could
// hold what no ARN can.
func MapLabel(machineARN, state string) string {
	b := uuid.UUID(md5.Sum([]byte(machineARN + "/" + state))) //nolint:gosec // RFC 9562, version 3: a name, not a secret
	b[6], b[8] = b[6]&0x0f|0x30, b[8]&0x3f|0x80
	return b.String()
}

// mapRunARN names the map run in the manner of Step Functions: the machine, the label, and a UUID.
func (r *Run) mapRunARN(f *frame, m *MapRun) string {
	if m.Label == "" {
		m.Label = MapLabel(r.params.MachineARN, f.state.Name)
	}
	x := rand.New(r.random(f, onMapRun, uint64(f.retried))) //nolint:gosec // a name, from the seed of the run
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], x.Uint64())
	binary.BigEndian.PutUint64(id[8:], x.Uint64())
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	arn, _ := stepfn.ParseARN(r.params.MachineARN)
	arn.Kind, arn.Name, arn.Qualifier = stepfn.KindMapRun, arn.Name+"/"+m.Label, id.String()
	return arn.String()
}

// tolerated evaluates how many children may fail. Values out of range have words of their own where a path found them.
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

// lowest is the lower bound of a field. A value that a path found may be below it: its error is not that of a value that is
// not an integer.
func lowest(s *asl.Scalar, least int64) int64 {
	if s.Query != nil {
		return math.MinInt64
	}
	return least
}

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

// plainPath is an ItemsPath that leads through names only: it means the same in what a reader reads, and is a pointer
// there, so that the file need not be in memory.
var plainPath = regexp.MustCompile(`^\$(\.[A-Za-z_][A-Za-z0-9_-]*)+$`)

// reader puts the evaluated MaxItems back into ReaderConfig, so that the engine has one place to look at.
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
	return r.place(f, reader.Resource, reader.Parameters, "ReaderConfig", config, in)
}

// place is where a map run reads from or writes to.
func (r *Run) place(f *frame, resource string, t asl.Template, key string, config any, in *data) ([]byte, *failure) {
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

// mapRunEnded ends the Map's state by what the engine found of its children.
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
	if f.before != 0 { // the exit follows the run's start, but for a machine's first state: so it was recorded
		f.last = f.mapRunStarted
	}
	r.dissolve(f)
	if fail := r.endState(f, valueData(v)); fail != nil {
		r.failState(f, fail)
	}
}

// mappingLine finds the line whose running map run this is.
func (r *Run) mappingLine(id string) *frame {
	f := r.frames[frameOf(id)]
	if f == nil || f.kind != lineKind || f.phase != mapping || r.frames[f.group].mapRun.ID != id {
		return nil
	}
	return f
}
