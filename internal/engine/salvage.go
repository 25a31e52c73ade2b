package engine

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// Salvaged is the result of Salvage.
type Salvaged struct {
	Runs int64 // the number of copied executions
	// Open has the ARNs of the copied executions that have not ended. They continue from the newest state that was found.
	Open []string
	// Left has the executions that were not copied because they are incomplete, and why.
	Left []Problem
	// LogDirs has the names of the copied executions' directories below logs/, which Salvage does not copy.
	LogDirs []string
}

// Salvage copies the complete executions of a damaged state directory into a new one, with all documents, and builds the indexes again.
// An execution is complete if its records and its definition are readable, and its history has all events up to the last one that the
// records name. report gets each part of the database that cannot be read.
func Salvage(ctx context.Context, from, to string, o store.Options, report func(store.Loss)) (s Salvaged, err error) {
	st, err := store.Salvage(from, to, o, report)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	v := &salvager{st: st, kept: map[store.ID]bool{}, left: map[store.ID]*Problem{}}
	v.check = checker{st: st, machines: machines{st: st}}
	if err := v.all(); err != nil {
		return s, err
	}
	if err := st.Compact(ctx); err != nil {
		return s, err
	}
	for _, id := range slices.Sorted(maps.Keys(v.left)) {
		v.Left = append(v.Left, *v.left[id])
	}
	return v.Salvaged, st.Sync()
}

// salvager removes the incomplete runs from a store that store.Salvage filled.
type salvager struct {
	Salvaged
	st    *store.Store
	check checker
	kept  map[store.ID]bool     // the complete runs
	left  map[store.ID]*Problem // the incomplete runs
}

// all judges all runs, and then builds the indexes again: store.Salvage copied them, but they may refer to incomplete runs.
func (v *salvager) all() error {
	for _, do := range []func() error{
		func() error { return v.st.Runs(v.judge) }, v.name, v.st.ClearIndexes, v.discard,
		func() error { return v.st.Runs(v.index) },
	} {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

// judge adds a run to kept or to left.
func (v *salvager) judge(id store.ID) error {
	r, problem, err := v.check.load(id)
	if err != nil {
		return err
	}
	arn := ""
	if r != nil {
		arn = r.state.Params().ExecutionARN
		if err := v.check.history(id, r.state.Head(), func(text string) { problem = text }); err != nil {
			return err
		}
	}
	if problem != "" {
		v.left[id] = &Problem{id, arn, problem}
		return nil
	}
	v.kept[id] = true
	return nil
}

// name finds runs of which only traces are left, and the ARNs of incomplete runs.
func (v *salvager) name() error {
	return v.st.Traces(func(t store.Trace) {
		if v.kept[t.ID] {
			return
		}
		p := v.left[t.ID]
		if p == nil {
			p = &Problem{Run: t.ID, Text: "the run's main record is missing"}
			v.left[t.ID] = p
		}
		var s summary
		if t.ARN == "" && p.ARN == "" && len(t.Summary) > 0 && json.Unmarshal(t.Summary, &s) == nil {
			t.ARN = s.ARN
		}
		if p.ARN == "" {
			p.ARN = t.ARN
		}
	})
}

func (v *salvager) discard() error {
	for id := range v.left {
		if err := v.st.Discard(id); err != nil {
			return err
		}
	}
	return nil
}

// index writes the index entries of a complete run. If it is open, index also adds its tasks and map runs to the outbox.
func (v *salvager) index(id store.ID) error {
	r, _, err := v.check.load(id)
	if err != nil || r == nil {
		return err
	}
	r.was, r.open = "", openState{}
	b := v.st.NewBatch()
	b.Name(r.state.Params().ExecutionARN, id)
	writeLists(b, r, &step{})
	v.Runs++
	v.LogDirs = append(v.LogDirs, logDir(id))
	if r.state.Head().Status == stepfn.Running {
		v.Open = append(v.Open, r.state.Params().ExecutionARN)
		for _, t := range r.state.Running() {
			b.AddEffect(id, effectTask+t.ID, nil)
		}
		for _, m := range r.state.RunningMaps() {
			b.AddEffect(id, effectMap+m.ID, nil)
		}
	}
	return v.st.CommitLazily(b)
}
