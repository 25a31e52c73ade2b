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

// Problem is one thing that a check found wrong.
type Problem struct {
	Run  store.ID `json:"run,omitempty"` // 0: of the store as a whole
	ARN  string   `json:"arn,omitempty"`
	Text string   `json:"problem"`
}

func (p Problem) String() string {
	if p.Run == 0 {
		return p.Text
	}
	return fmt.Sprintf("run %d (%s): %s", p.Run, p.ARN, p.Text)
}

// Check reads a whole store and reports what is wrong: damaged records, histories with gaps, heads and indexes that
// disagree. It changes nothing, and needs memory for one run at a time. The error says that reading itself failed.
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
		report(Problem{Text: fmt.Sprintf("%d open and %d closed of %d runs", n.Open, n.Closed, n.Runs)})
	}
	return n, nil
}

type checker struct {
	st       *store.Store
	report   func(Problem)
	machines machines
}

func (c *checker) run(id store.ID) error {
	r, problem, err := c.load(id)
	if problem != "" {
		c.report(Problem{Run: id, Text: problem})
	}
	if r == nil || err != nil {
		return err
	}
	p, h := r.state.Params(), r.state.Head()
	tell := func(text string) { c.report(Problem{id, p.ExecutionARN, text}) }
	problems, err := c.st.Indexed(p.ExecutionARN, entry(id, &r.meta, h.Status), h.StopTime)
	for _, text := range problems {
		tell(text)
	}
	if err != nil {
		return err
	}
	return c.history(id, h, tell)
}

// load reads a run with its definition, or says what is wrong with it. The error says that reading failed.
func (c *checker) load(id store.ID) (r *run, problem string, err error) {
	kept, err := c.st.Load(id)
	if errors.Is(err, store.ErrNoRun) {
		return nil, "the run's own record is missing", nil
	}
	if err != nil {
		return nil, "", err
	}
	r = &run{id: id}
	if r.meta, err = decodeMeta(kept.Meta); err != nil {
		return nil, err.Error(), nil //nolint:nilerr // it is the run's problem: the check continues
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

// history wants events numbered from 1 to the head's last, each after the one that it names as the previous one.
func (c *checker) history(id store.ID, h interp.Head, tell func(string)) error {
	next := int64(1)
	broken := false
	err := c.st.Batches(id, 0, false, func(first int64, batch []byte) bool {
		events, err := history.DecodeEvents(batch)
		if err != nil {
			tell(fmt.Sprintf("events from %d: %v", first, err))
			broken = true
			return false
		}
		for _, ev := range events {
			if ev.ID != next || ev.Previous >= ev.ID || ev.Previous < 0 {
				tell(fmt.Sprintf("event %d after %d follows event %d", ev.ID, ev.Previous, next-1))
				broken = true
				return false
			}
			next++
		}
		return true
	})
	if err == nil && !broken && next-1 != h.LastEvent {
		tell(fmt.Sprintf("the history ends with event %d, the head knows %d", next-1, h.LastEvent))
	}
	return err
}

// dumped is one line of a dump.
type dumped struct {
	Kind  string          `json:"kind"`
	Key   string          `json:"key"`
	JSON  json.RawMessage `json:"json,omitempty"`
	Text  string          `json:"text,omitempty"`
	Bytes []byte          `json:"bytes,omitempty"` // in base 64
	Event *history.Event  `json:"event,omitempty"`
}

// Dump writes every record of a store as one JSON line, events one by one.
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
