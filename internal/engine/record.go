package engine

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// The records that the engine itself stores for a run, in addition to interp's head and frames. They are JSON, so that fields can be
// added; V is the version of the format.

// meta is the part of a run that never changes after its first commit.
type meta struct {
	V        int               `json:"v"`
	Hash     string            `json:"definition"`
	Group    string            `json:"group"` // the group of its lists: the ARN of its state machine or map run
	Start    int64             `json:"start"` // in milliseconds since 1970
	Revision string            `json:"revision,omitempty"`
	Cleanup  string            `json:"cleanup,omitempty"`
	Trace    string            `json:"trace,omitempty"`
	Items    int64             `json:"items,omitempty"`
	Parent   *parent           `json:"parent,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
}

// parent identifies a child of a distributed Map.
type parent struct {
	ARN    string `json:"arn"` // of the execution that has the Map
	MapRun string `json:"mapRun"`
	Index  int64  `json:"index"` // of the child, from 0
}

const metaVersion = 1

func (m *meta) encode() []byte {
	m.V = metaVersion
	b, _ := json.Marshal(m) // plain fields: it cannot fail
	return b
}

// decodeMeta decodes the meta part of a run. It rejects versions of later releases.
func decodeMeta(b []byte) (meta, error) {
	var m meta
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("the run's main record is damaged: %w", err)
	}
	if m.V < 1 || m.V > metaVersion {
		return m, fmt.Errorf("the run's main record has the unknown version %d", m.V)
	}
	return m, nil
}

// summary is the value of a run's list entries: what lists show of the run.
type summary struct {
	V        int           `json:"v"`
	ARN      string        `json:"arn"`
	Name     string        `json:"name"`
	Machine  string        `json:"machine"`
	Status   stepfn.Status `json:"status"`
	Stop     int64         `json:"stop,omitempty"`
	Version  string        `json:"version,omitempty"`
	Alias    string        `json:"alias,omitempty"`
	MapRun   string        `json:"mapRun,omitempty"`
	Items    int64         `json:"items,omitempty"`
	Redrives int           `json:"redrives,omitempty"`
	Redriven int64         `json:"redriven,omitempty"`
}

func summaryOf(p interp.Params, h interp.Head, m *meta) summary {
	return summary{
		V: metaVersion, ARN: p.ExecutionARN, Name: p.Name, Machine: p.MachineARN, Status: h.Status,
		Stop: millis(h.StopTime), Version: p.VersionARN, Alias: p.AliasARN, MapRun: p.MapRunARN, Items: m.Items,
		Redrives: h.RedriveCount, Redriven: millis(h.RedriveTime),
	}
}

func (s summary) encode() []byte {
	b, _ := json.Marshal(s) // plain fields: it cannot fail
	return b
}

// entry returns the run's list entry, without the summary.
func entry(id store.ID, m *meta, status stepfn.Status) store.Entry {
	return store.Entry{ID: id, Group: m.Group, Status: string(status), Start: time.UnixMilli(m.Start)}
}

// openState is the open record of a run: what the engine needs to know of it when it starts, without loading it.
type openState struct {
	wake  int64         // the deadline on the steady clock, in milliseconds since 1970; 0 if there is none
	more  bool          // the run needs interp.Continue
	ahead time.Duration // how far the wall clock was ahead when wake was computed; earlier releases did not store it
}

// same reports whether the stored record is good enough. It ignores ahead, which only matters when wake changes.
func (o openState) same(p openState) bool { return o.wake == p.wake && o.more == p.more }

func (o openState) encode() []byte {
	b := []byte{0}
	if o.more {
		b[0] = 1
	}
	return binary.AppendVarint(binary.AppendVarint(b, o.wake), o.ahead.Milliseconds())
}

// decodeOpen decodes an open record. A damaged one is treated as one without a timer.
func decodeOpen(v []byte) openState {
	if len(v) < 2 {
		return openState{}
	}
	ms, n := binary.Varint(v[1:])
	ahead, _ := binary.Varint(v[1+max(n, 0):])
	return openState{ms, v[0] == 1, time.Duration(ahead) * time.Millisecond}
}

// millis returns a time in milliseconds since 1970, and 0 for the zero time. fromMillis is the reverse.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
