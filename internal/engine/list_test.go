package engine_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// searchable returns an engine with n executions, started one second apart: those with even numbers are of the machine m and succeed, the
// others are of the machine other and fail.
func searchable(t *testing.T, n int) (e *engine.Engine, first time.Time) {
	t.Helper()
	first = time.UnixMilli(1_700_000_000_000)
	var passed atomic.Int64 // in seconds; atomic, because goroutines of the engine read the clock
	now := func() time.Time { return first.Add(time.Duration(passed.Load()) * time.Second) }
	e = open(t, vfs.NewMem(), nil, func(c *engine.Config) { c.Now, c.Retention = now, -1 })
	for i := range n {
		r := request(fmt.Sprintf("Run-%02d", i), `{"StartAt":"a","States":{"a":{"Type":"Succeed"}}}`, "{}")
		if i%2 == 1 {
			r.MachineARN = strings.TrimSuffix(machineARN, ":m") + ":other"
			r.Definition = []byte(`{"StartAt":"a","States":{"a":{"Type":"Fail"}}}`)
		}
		x, err := e.Start(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Watch(t.Context(), x.ARN, 1<<40); err != nil { // until it is closed
			t.Fatal(err)
		}
		passed.Add(1)
	}
	return e, first
}

func found(all []engine.Execution) string {
	var out []string
	for i := range all {
		out = append(out, strings.TrimPrefix(all[i].Name, "Run-"))
	}
	return strings.Join(out, " ")
}

func TestListAllMachines(t *testing.T) {
	e, first := searchable(t, 12)
	for _, c := range []struct {
		name string
		q    engine.ListFilter
		want string
	}{
		{"all", engine.ListFilter{}, "11 10 09 08 07 06 05 04 03 02 01 00"},
		{"a machine", engine.ListFilter{MachineARN: machineARN}, "10 08 06 04 02 00"},
		{"started by a version", engine.ListFilter{MachineARN: machineARN + ":3"}, ""},
		{"with the children of map runs", engine.ListFilter{Children: true}, "11 10 09 08 07 06 05 04 03 02 01 00"},
		{"waits for its map run's redrive", engine.ListFilter{Status: stepfn.PendingRedrive}, ""},
		{"redriven", engine.ListFilter{Redrive: "REDRIVEN"}, ""},
		{"a status", engine.ListFilter{Status: stepfn.Failed}, "11 09 07 05 03 01"},
		{"a part of the name", engine.ListFilter{Name: "rUN-1"}, "11 10"},
		{"a machine's name", engine.ListFilter{Name: "OTHER"}, "11 09 07 05 03 01"},
		{"a span", engine.ListFilter{After: first.Add(3 * time.Second), Before: first.Add(6 * time.Second)}, "05 04 03"},
		{"without", engine.ListFilter{Without: func(arn string) bool { return arn == machineARN }}, "11 09 07 05 03 01"},
		{"nothing", engine.ListFilter{Name: "nobody"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			q, got := c.q, ""
			for q.Limit = 2; ; {
				page, err := e.List(q)
				if err != nil {
					t.Fatal(err)
				}
				got = strings.TrimSpace(got + " " + found(page.Executions))
				if q.Token = page.Next; q.Token == "" {
					break
				}
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	if _, err := e.List(engine.ListFilter{Token: "no token"}); !errors.Is(err, engine.ErrInvalidPage) {
		t.Errorf("an invalid token: %v", err)
	}
}

// If executions are started between two pages, no execution is listed twice, and no earlier one is missed.
func TestListIsStable(t *testing.T) {
	e, _ := searchable(t, 6)
	first, err := e.List(engine.ListFilter{Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	start(t, e, "Run-later", `{"StartAt":"a","States":{"a":{"Type":"Succeed"}}}`, "{}")
	rest, err := e.List(engine.ListFilter{Limit: 100, Token: first.Next})
	if err != nil || rest.Next != "" {
		t.Fatal(err, rest.Next)
	}
	if got := found(first.Executions) + "|" + found(rest.Executions); got != "05 04|03 02 01 00" {
		t.Errorf("got %s", got)
	}
}

func TestCounts(t *testing.T) {
	e, first := searchable(t, 12)
	other := strings.TrimSuffix(machineARN, ":m") + ":other"
	for _, c := range []struct {
		name string
		q    engine.ListFilter
		want map[string]engine.Count
	}{
		{"all", engine.ListFilter{}, map[string]engine.Count{machineARN: {stepfn.Succeeded: 6}, other: {stepfn.Failed: 6}}},
		{"a span", engine.ListFilter{After: first.Add(9 * time.Second)}, map[string]engine.Count{machineARN: {stepfn.Succeeded: 1}, other: {stepfn.Failed: 2}}},
		{"a name", engine.ListFilter{Name: "-1"}, map[string]engine.Count{machineARN: {stepfn.Succeeded: 1}, other: {stepfn.Failed: 1}}},
	} {
		got, whole, err := e.Counts(c.q)
		if err != nil || !whole {
			t.Fatal(err, whole)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}
