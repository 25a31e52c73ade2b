package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/engine/store"
)

// fill lists runs of four groups in turn, one started per second. Every third run has failed.
func fill(t *testing.T, s *store.Store, n int) time.Time {
	t.Helper()
	first := time.UnixMilli(1_700_000_000_000)
	b := s.NewBatch()
	for i := range n {
		status := "SUCCEEDED"
		if i%3 == 2 {
			status = "FAILED"
		}
		b.List(store.Entry{
			ID: s.NewID(), Group: fmt.Sprintf("g%d", i%4), Status: status,
			Start: first.Add(time.Duration(i) * time.Second), Summary: fmt.Appendf(nil, "run %d", i),
		})
	}
	if err := s.Commit(b); err != nil {
		t.Fatal(err)
	}
	return first
}

func TestMerge(t *testing.T) {
	s := open(t, vfs.NewMem())
	defer closeStore(t, s)
	first := fill(t, s, 20)
	at := func(i int) time.Time { return first.Add(time.Duration(i) * time.Second) }
	all := []string{"g0", "g1", "g2", "g3", "nothing"}
	for _, c := range []struct {
		name, status string
		groups       []string
		span         store.Span
		want         []string
	}{
		{"two groups", "", []string{"g0", "g1"}, store.Span{After: at(8)}, []string{"run 17", "run 16", "run 13", "run 12", "run 9", "run 8"}},
		{"a status", "FAILED", all, store.Span{}, []string{"run 17", "run 14", "run 11", "run 8", "run 5", "run 2"}},
		{"a span", "", all, store.Span{After: at(3), Before: at(6)}, []string{"run 5", "run 4", "run 3"}},
		{"an empty span", "", all, store.Span{After: at(6), Before: at(3)}, nil},
		{"no group", "", nil, store.Span{}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			token := ""
			for done := false; !done; { // one at a time, each from the last one's token
				done = true
				err := s.Merge(c.groups, c.status, token, c.span, func(next string, e store.Entry) bool {
					got, token, done = append(got, string(e.Summary)), next, false
					return false
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if err := s.Merge(all, "", "none of ours", store.Span{}, nil); !errors.Is(err, store.ErrBadToken) {
		t.Errorf("an invalid token: %v", err)
	}
}

func TestTally(t *testing.T) {
	s := open(t, vfs.NewMem())
	defer closeStore(t, s)
	first := fill(t, s, 20)
	for _, c := range []struct {
		group, status string
		span          store.Span
		want          int
	}{
		{"g0", "", store.Span{}, 5},
		{"g0", "FAILED", store.Span{}, 1},
		{"g0", "", store.Span{After: first.Add(5 * time.Second)}, 3},
		{"g0", "", store.Span{Before: first.Add(4 * time.Second)}, 1},
		{"nothing", "", store.Span{}, 0},
	} {
		if got, err := s.Tally(c.group, c.status, c.span); err != nil || got != c.want {
			t.Errorf("%+v: %d, %v", c, got, err)
		}
	}
}
