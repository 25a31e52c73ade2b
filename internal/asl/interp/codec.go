package interp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// version is the version of the encoding of heads and frames: a version byte, then the fields in a fixed order, without
// names. All versions that were ever written can be read; testdata has a file for each.
const version = 1

var errBroken = errors.New("the stored run is damaged")

// AppendHead appends the encoded head to dst.
func (r *Run) AppendHead(dst []byte) []byte {
	w := writer{append(dst, version)}
	h := &r.head
	w.str(string(h.Status))
	w.bytes(h.Output)
	w.str(h.Error)
	w.str(h.Cause)
	w.time(h.StopTime)
	w.int(int64(h.RedriveCount))
	w.time(h.RedriveTime)
	w.int(h.LastEvent)
	w.time(h.Wake)
	w.bool(h.More)
	w.time(r.deadline)
	w.int(int64(r.nextFrame))
	return w.b
}

// decodeHead also returns the parts of the stored head that Head does not have: the deadline and the id of the next frame.
func decodeHead(head []byte) (h Head, deadline time.Time, next FrameID, err error) {
	d := reader{b: head}
	if err := d.version(); err != nil {
		return h, deadline, 0, err
	}
	h.Status = stepfn.Status(d.str())
	h.Output = d.bytes()
	h.Error, h.Cause = d.str(), d.str()
	h.StopTime = d.time()
	h.RedriveCount = int(d.int())
	h.RedriveTime = d.time()
	h.LastEvent = d.int()
	h.Wake = d.time()
	h.More = d.bool()
	deadline = d.time()
	next = FrameID(d.int())
	return h, deadline, next, d.end()
}

// DecodeHead decodes a head, without loading the run.
func DecodeHead(head []byte) (Head, error) {
	h, _, _, err := decodeHead(head)
	return h, err
}

// AppendFrame appends an encoded frame to dst. The frame must be Dirty in a decision. If a later decision has removed it,
// AppendFrame appends nothing.
func (r *Run) AppendFrame(dst []byte, id FrameID) []byte {
	w := writer{append(dst, version)}
	if id == originFrame {
		w.params(&r.params)
		return w.b
	}
	f := r.frames[id]
	if f == nil {
		return dst
	}
	w.b = append(w.b, byte(f.kind))
	w.int(int64(f.parent))
	switch f.kind {
	case lineKind:
		w.line(f)
	case groupKind:
		w.group(f)
	case mapRunKind:
		w.mapRun(f.mapRun)
	default:
		w.int(f.index)
		w.bytes(f.input.bytes())
	}
	return w.b
}

// params encodes the origin frame. It contains the execution's input, which can be large, so that heads stay small.
func (w *writer) params(p *Params) {
	for _, s := range []string{p.ExecutionARN, p.Name, p.MachineARN, p.MachineName, p.AliasARN, p.VersionARN, p.RoleARN,
		p.Region, p.MapRunARN} {
		w.str(s)
	}
	w.bool(p.Express)
	w.bytes(p.Input)
	w.time(p.StartTime)
	w.b = binary.LittleEndian.AppendUint64(w.b, p.Seed)
	w.int(int64(p.Program))
	w.bytes(p.MapItem)
}

// DecodeParams decodes the params of a run from its frame 1, which the first decision writes and no decision removes.
func DecodeParams(frame []byte) (Params, error) {
	d := reader{b: frame}
	var p Params
	if err := d.version(); err != nil {
		return p, err
	}
	for _, s := range []*string{&p.ExecutionARN, &p.Name, &p.MachineARN, &p.MachineName, &p.AliasARN, &p.VersionARN, &p.RoleARN,
		&p.Region, &p.MapRunARN} {
		*s = d.str()
	}
	p.Express = d.bool()
	p.Input = d.bytes()
	p.StartTime = d.time()
	p.Seed = d.fixed()
	p.Program = int(d.int())
	p.MapItem = d.bytes()
	return p, d.end()
}

// line encodes a line. It stores names of states instead of numbers, because a name stays valid if the parser changes.
func (w *writer) line(f *frame) {
	w.b = append(w.b, byte(f.phase))
	w.int(int64(f.program.Index))
	w.str(f.state.Name)
	w.bytes(f.input.bytes())
	for _, n := range []int64{f.index, f.last, f.before, f.entered, f.entries, int64(f.retried), int64(f.group),
		f.mapRunStarted} {
		w.int(n)
	}
	w.bool(f.redriven)
	w.time(f.enteredAt)
	w.time(f.timer)
	w.int(int64(len(f.retries)))
	for _, n := range f.retries {
		w.int(int64(n))
	}
	w.vars(f.vars)
	w.task(f.task)
	w.bool(f.fail != nil)
	if f.fail != nil {
		w.str(f.fail.name)
		w.str(f.fail.cause)
	}
}

// vars encodes variables sorted by name, so that equal runs have equal encodings.
func (w *writer) vars(vars map[string]*data) {
	names := make([]string, 0, len(vars))
	for name := range vars {
		names = append(names, name)
	}
	slices.Sort(names)
	w.int(int64(len(names)))
	for _, name := range names {
		w.str(name)
		w.bytes(vars[name].bytes())
	}
}

// task encodes the evaluated input as well: after a restart the runner must get the same input, and evaluating the
// expressions again could draw other random numbers.
func (w *writer) task(t *taskState) {
	w.bool(t != nil)
	if t == nil {
		return
	}
	w.str(t.id)
	w.bytes(t.input)
	w.bytes(t.credentials)
	w.str(t.token)
	w.int(t.timeoutSeconds)
	w.time(t.timeout)
	w.int(int64(t.heartbeat))
	w.time(t.beat)
	w.bool(t.submitted)
	w.int(int64(t.attempt))
}

func (w *writer) mapRun(m *MapRun) {
	for _, s := range []string{m.ID, m.ARN, m.State, m.Label} {
		w.str(s)
	}
	for _, n := range []int64{int64(m.Frame), int64(m.Program), m.MaxConcurrency, m.ToleratedFailureCount, m.BatchItems,
		m.BatchBytes, int64(math.Float64bits(m.ToleratedFailurePercentage))} {
		w.int(n)
	}
	for _, b := range [][]byte{m.Items, m.Reader, m.BatchInput, m.Writer} {
		w.bytes(b)
	}
	for _, b := range []bool{m.Express, m.Batched, m.Redriven} {
		w.bool(b)
	}
}

func (d *reader) mapRun() *MapRun {
	m := &MapRun{ID: d.str(), ARN: d.str(), State: d.str(), Label: d.str(), Frame: FrameID(d.int()), Program: int(d.int()),
		MaxConcurrency: d.int(), ToleratedFailureCount: d.int(), BatchItems: d.int(), BatchBytes: d.int()}
	m.ToleratedFailurePercentage = math.Float64frombits(uint64(d.int()))
	for _, b := range []*[]byte{&m.Items, &m.Reader, &m.BatchInput, &m.Writer} {
		*b = d.bytes()
	}
	m.Express, m.Batched, m.Redriven = d.bool(), d.bool(), d.bool()
	return m
}

// group omits what the frames of the lines contain: the list of lines, and their results.
func (w *writer) group(f *frame) {
	for _, n := range []int64{f.started, f.ended, f.length, f.limit, f.startEvent, f.last, int64(f.items)} {
		w.int(n)
	}
}

// Load restores a run from its head and all its stored frames.
func Load(m *asl.Machine, head []byte, frames []StoredFrame) (*Run, error) {
	r := &Run{machine: m, frames: make(map[FrameID]*frame, len(frames))}
	var err error
	if r.head, r.deadline, r.nextFrame, err = decodeHead(head); err != nil {
		return nil, fmt.Errorf("load run: head: %w", err)
	}
	for _, s := range frames {
		if err := r.loadFrame(s); err != nil {
			return nil, fmt.Errorf("load run: frame %d: %w", s.ID, err)
		}
	}
	if r.frames[originFrame] == nil || !r.closed() && r.frames[rootFrame] == nil {
		return nil, errors.New("load run: frames are missing")
	}
	r.input = textData(r.params.Input)
	if err := r.connect(); err != nil {
		return nil, fmt.Errorf("load run: %w", err)
	}
	return r, nil
}

// loadFrame decodes one frame. connect then checks whether the frames are consistent.
func (r *Run) loadFrame(s StoredFrame) (err error) {
	if s.ID == originFrame {
		r.params, err = DecodeParams(s.Data)
		r.frames[originFrame] = &frame{id: originFrame, stored: true}
		return err
	}
	d := reader{b: s.Data}
	if err := d.version(); err != nil {
		return err
	}
	f := &frame{id: s.ID, stored: true, kind: kind(d.byte()), parent: FrameID(d.int())}
	switch f.kind {
	case lineKind:
		d.line(f, r.machine)
	case groupKind:
		for _, n := range []*int64{&f.started, &f.ended, &f.length, &f.limit, &f.startEvent, &f.last} {
			*n = d.int()
		}
		f.items = FrameID(d.int())
	case mapRunKind:
		f.mapRun = d.mapRun()
	case itemsKind, doneKind:
		f.index = d.int()
		f.input = textData(d.bytes())
	default:
		return errBroken
	}
	r.frames[s.ID] = f
	return d.end()
}

// line decodes a line. m must be the definition with which the run was started.
func (d *reader) line(f *frame, m *asl.Machine) {
	f.phase = phase(d.byte())
	program, state := d.int(), d.str()
	if program < 0 || program >= int64(len(m.Programs)) || f.phase < ready || f.phase > aborted {
		d.broken = true
		return
	}
	f.program = m.Programs[program]
	if f.state = f.program.States[state]; f.state == nil {
		d.broken = true
		return
	}
	f.input = textData(d.bytes())
	var retried, group int64
	for _, n := range []*int64{&f.index, &f.last, &f.before, &f.entered, &f.entries, &retried, &group, &f.mapRunStarted} {
		*n = d.int()
	}
	f.redriven = d.bool()
	f.retried, f.group = int(retried), FrameID(group)
	f.enteredAt, f.timer = d.time(), d.time()
	for n := d.count(); n > 0; n-- {
		f.retries = append(f.retries, int(d.int()))
	}
	for n := d.count(); n > 0; n-- {
		name := d.str()
		f.setVar(name, textData(d.bytes()))
	}
	f.task = d.task()
	if d.bool() {
		f.fail = &failure{name: d.str(), cause: d.str()}
	}
	if !f.plausible() {
		d.broken = true
	}
}

func (d *reader) task() *taskState {
	if !d.bool() {
		return nil
	}
	return &taskState{id: d.str(), input: d.bytes(), credentials: d.bytes(), token: d.str(), timeoutSeconds: d.int(),
		timeout: d.time(), heartbeat: time.Duration(d.int()), beat: d.time(), submitted: d.bool(), attempt: int(d.int())}
}

// connect restores what is not stored: the lines and results of groups, the queue, and the timers.
func (r *Run) connect() error {
	ids := r.ids()
	for _, id := range ids {
		f := r.frames[id]
		if err := r.connectFrame(f); err != nil {
			return err
		}
	}
	for _, id := range ids {
		f := r.frames[id]
		if f.kind == groupKind && !r.counted(f) {
			return errBroken
		}
		if !r.closed() {
			r.arm(f)
			if f.id != originFrame && f.runnable() {
				f.queued = true
				r.queue = append(r.queue, id)
			}
		}
	}
	return nil
}

// connectFrame connects a frame to its parent. It returns an error for frames that would make a later decision panic, because
// the store may be damaged.
func (r *Run) connectFrame(f *frame) error {
	if f.id == originFrame {
		return nil
	}
	if f.kind == lineKind && (f.group != 0 || f.phase == grouped || f.phase == mapping) && !r.rightGroup(f) {
		return errBroken
	}
	if f.id == rootFrame {
		if f.kind != lineKind {
			return errBroken
		}
		return nil
	}
	parent := r.frames[f.parent]
	above := groupKind
	if f.kind == groupKind || f.kind == mapRunKind {
		above = lineKind
	}
	if parent == nil || parent.kind != above || f.parent >= f.id { // a parent has a smaller id
		return errBroken
	}
	switch f.kind {
	case lineKind:
		parent.lines = append(parent.lines, f.id)
		parent.running++
	case doneKind:
		if f.index < 0 || f.index >= int64(len(r.frames)) {
			return errBroken
		}
		parent.lines = append(parent.lines, f.id)
		parent.keep(f.index, f.input)
	case mapRunKind:
		if parent.group != f.id {
			return errBroken
		}
	case groupKind:
		if parent.group != f.id {
			return errBroken
		}
		if items := r.frames[f.items]; f.items != 0 && (items == nil || items.kind != itemsKind) {
			return errBroken
		}
	}
	return nil
}

// counted reports whether the counters of a group match its lines: every line that was started has a frame until the group
// ends, and the group ends with its last line.
func (r *Run) counted(group *frame) bool {
	var ended int64
	for _, id := range group.lines {
		if r.frames[id].kind == doneKind {
			ended++
		}
	}
	if group.items != 0 {
		items, _ := r.frames[group.items].input.value().([]any)
		if group.length != int64(len(items)) {
			return false
		}
	}
	return group.started == int64(len(group.lines)) && group.ended == ended && ended < group.length && group.started <= group.length
}

// rightGroup reports whether the group or map run of a line exists and matches the line's state.
func (r *Run) rightGroup(f *frame) bool {
	group := r.frames[f.group]
	if group == nil || group.parent != f.id {
		return false
	}
	switch {
	case f.phase == ready || f.phase == waiting || f.phase == working || f.phase == retrying:
		return false // the line would move to a state that the group does not belong to
	case f.state.Type == asl.Map && f.state.Map.Processor.Distributed:
		return group.kind == mapRunKind && f.phase != grouped
	case f.state.Type == asl.Map:
		return group.kind == groupKind && group.items != 0 && f.phase != mapping
	}
	branches := int64(len(f.state.Branches)) // all of them start at once
	return f.state.Type == asl.Parallel && group.kind == groupKind && group.items == 0 && f.phase != mapping &&
		group.started == branches && group.length == branches
}

// plausible reports whether a line's phase and counters match its state. Only damage can cause a mismatch.
func (f *frame) plausible() bool {
	switch {
	case f.phase == working && (f.task == nil || f.state.Type != asl.Task),
		f.phase == waiting && f.state.Type != asl.Wait,
		len(f.retries) > 0 && len(f.retries) != len(f.state.Retry):
		return false
	}
	return true
}
