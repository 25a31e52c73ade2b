package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/engine/store"
)

// Problem is an inconsistency that Check found.
type Problem struct {
	Run  store.ID `json:"run,omitempty"` // 0 if the problem concerns the store as a whole
	ARN  string   `json:"arn,omitempty"`
	Text string   `json:"problem"`
}

func (p Problem) String() string {
	if p.Run == 0 {
		return p.Text
	}
	return fmt.Sprintf("run %d (%s): %s", p.Run, p.ARN, p.Text)
}

// Check reads the whole store and reports inconsistencies: damaged records, histories with gaps, indexes that do not match the runs. It
// changes nothing, and has only one run in memory at a time. The error means that the store cannot be read.
func Check(st *store.Store, report func(Problem)) (store.Counts, error) {
	c := &checker{st: st, report: report, machines: machines{st: st}}
	if err := st.Runs(c.run); err != nil {
		return store.Counts{}, err
	}
	n, err := st.Count()
	if err != nil {
		return n, err
	}
	if n.Names != n.Runs {
		report(Problem{Text: fmt.Sprintf("%d names for %d runs", n.Names, n.Runs)})
	}
	if n.Listed != 2*n.Runs {
		report(Problem{Text: fmt.Sprintf("%d list entries for %d runs, expected two for each", n.Listed, n.Runs)})
	}
	if n.Open+n.Closed != n.Runs {
		report(Problem{Text: fmt.Sprintf("%d open and %d closed entries for %d runs, expected one for each", n.Open, n.Closed, n.Runs)})
	}
	return n, nil
}

type checker struct {
	st       *store.Store
	report   func(Problem)
	machines machines // the definitions that were parsed
}

// run checks one run: its records, its index entries and its history.
func (c *checker) run(id store.ID) error {
	r, problem, err := c.load(id)
	if problem != "" {
		c.report(Problem{Run: id, Text: problem})
	}
	if r == nil || err != nil {
		return err
	}
	p, h := r.state.Params(), r.state.Head()
	report := func(text string) { c.report(Problem{id, p.ExecutionARN, text}) }
	problems, err := c.st.Indexed(p.ExecutionARN, entry(id, &r.meta, h.Status), h.StopTime)
	for _, text := range problems {
		report(text)
	}
	if err != nil {
		return err
	}
	return c.history(id, h, report)
}

// load reads a run with its definition. If one of them is missing or invalid, r is nil and problem describes it. The error means that
// the store cannot be read.
func (c *checker) load(id store.ID) (r *run, problem string, err error) {
	kept, err := c.st.Load(id)
	if errors.Is(err, store.ErrNoRun) {
		return nil, "the run's main record is missing", nil
	}
	if err != nil {
		return nil, "", err
	}
	r = &run{id: id}
	if r.meta, err = decodeMeta(kept.Meta); err != nil {
		return nil, err.Error(), nil //nolint:nilerr // reported as a problem of the run
	}
	machine, err := c.machines.byHash(r.meta.Hash)
	if err != nil {
		return nil, err.Error(), nil //nolint:nilerr // the same
	}
	if err := r.restore(machine, kept); err != nil {
		return nil, err.Error(), nil //nolint:nilerr // the same
	}
	return r, "", nil
}

// history checks that the events of a run are numbered from 1 to the last event in the head, and that each names an earlier event as its
// previous one.
func (c *checker) history(id store.ID, h interp.Head, report func(string)) error {
	next := int64(1)
	broken := false
	err := c.st.Batches(id, 0, false, func(first int64, batch []byte) bool {
		events, err := history.DecodeEvents(batch)
		if err != nil {
			report(fmt.Sprintf("events from %d: %v", first, err))
			broken = true
			return false
		}
		for _, ev := range events {
			if ev.ID != next || ev.Previous >= ev.ID || ev.Previous < 0 {
				report(fmt.Sprintf("event %d with previous event %d follows event %d", ev.ID, ev.Previous, next-1))
				broken = true
				return false
			}
			next++
		}
		return true
	})
	if err == nil && !broken && next-1 != h.LastEvent {
		report(fmt.Sprintf("the history ends with event %d, expected %d", next-1, h.LastEvent))
	}
	return err
}

// dumped is one line of a dump.
type dumped struct {
	Kind  string          `json:"kind"`
	Key   string          `json:"key"`
	JSON  json.RawMessage `json:"json,omitempty"`
	Text  string          `json:"text,omitempty"`
	Bytes []byte          `json:"bytes,omitempty"` // in base64
	Event *history.Event  `json:"event,omitempty"`
}

// Dump writes each record of a store as a line of JSON. For a batch of events, it writes a line for each event.
func Dump(st *store.Store, w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return st.Keys(func(kind string, key, v []byte) error {
		d := dumped{Kind: kind, Key: store.KeyText(key)}
		if kind == "events" {
			return dumpEvents(enc, d, v)
		}
		switch {
		case json.Valid(v):
			d.JSON = v
		case utf8.Valid(v):
			d.Text = string(v)
		default:
			d.Bytes = v
		}
		return enc.Encode(d)
	})
}

// dumpEvents writes the events of a batch, or its bytes if it cannot be decoded.
func dumpEvents(enc *json.Encoder, d dumped, v []byte) error {
	events, err := history.DecodeEvents(v)
	if err != nil {
		d.Bytes = v
		return enc.Encode(d)
	}
	for i := range events {
		d.Event = &events[i]
		if err := enc.Encode(d); err != nil {
			return err
		}
	}
	return nil
}
