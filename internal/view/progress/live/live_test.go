package live_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/view/progress"
	"github.com/rayorch/rayorch/internal/view/progress/live"
	"github.com/rayorch/rayorch/internal/view/progress/progresstest"
)

// source is an execution whose events a test adds.
type source struct {
	mu          sync.Mutex
	definition  []byte
	events      []progresstest.Event
	waiting     []progress.Waiting
	parked      string
	definitions int           // number of calls of Definition
	changed     chan struct{} // closed at each event
}

var errNone = errors.New("the execution does not exist")

func (s *source) Definition(_ context.Context, arn string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.HasPrefix(arn, "no") {
		return nil, errNone
	}
	s.definitions++
	return s.definition, nil
}

func (s *source) Events(_ context.Context, _ string, after int64, do func(*progress.Event)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.events {
		if e := progress.FromAPI(&s.events[i].HistoryEvent); e.ID > after {
			do(&e)
		}
	}
	return nil
}

func (s *source) Wait(ctx context.Context, _ string, _ int64, most time.Duration) error {
	s.mu.Lock()
	changed := s.changed
	s.mu.Unlock()
	select {
	case <-changed:
	case <-time.After(most):
	case <-ctx.Done():
	}
	return ctx.Err()
}

func (s *source) Outside(context.Context, string) ([]progress.Waiting, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting, s.parked, nil
}

func (s *source) add(events ...progresstest.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, events...)
	close(s.changed)
	s.changed = make(chan struct{})
}

func fail(w http.ResponseWriter, _ *http.Request, err error) {
	http.Error(w, err.Error(), http.StatusNotFound)
}

// play returns a source without events, its handler, and the events of a story.
func play(t *testing.T, name, target string) (*source, http.Handler, []progresstest.Event) {
	t.Helper()
	story := progresstest.Stories[name]
	definition, parts := story.Play(t, target)
	var events []progresstest.Event
	for _, part := range parts {
		events = append(events, part...)
	}
	s := &source{definition: definition, changed: make(chan struct{})}
	return s, live.New(s).Handler(fail), events
}

// delta is the part of a response, or of an event of a stream, that these tests check.
type delta struct {
	Last    int64
	Status  string
	Parked  string
	Entries []struct {
		N       int
		Name    string
		Status  string
		Step    bool
		Waiting *struct{ Reason string }
	}
}

func (d *delta) steps() map[string]string {
	out := map[string]string{}
	for _, e := range d.Entries {
		if e.Step {
			out[e.Name] = e.Status
		}
	}
	return out
}

func get(t *testing.T, h http.Handler, query string) (d delta) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/?"+query, nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", query, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// A request responds with the changes, waits for changes if there are none, and ends after its timeout.
func TestOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, h, events := play(t, "failed after a retry", "local")
		s.add(events[:len(events)/2]...)
		d := get(t, h, "execution=x")
		if d.Last != int64(len(events)/2) || len(d.steps()) == 0 || d.Status != "RUNNING" {
			t.Errorf("first half: %+v", d)
		}
		after := "execution=x&after=" + strconv.FormatInt(d.Last, 10)
		began := time.Now()
		if got := get(t, h, after+"&timeout=7"); got.Last != d.Last || time.Since(began) != 7*time.Second {
			t.Errorf("without changes, after %s: %+v", time.Since(began), got)
		}
		for _, most := range []string{"61", "1e30", "Inf"} {
			began = time.Now()
			if got := get(t, h, after+"&timeout="+most); got.Last != d.Last || time.Since(began) != time.Minute {
				t.Errorf("timeout=%s: after %s: %+v", most, time.Since(began), got)
			}
		}
		time.AfterFunc(time.Second, func() { s.add(events[len(events)/2:]...) })
		if d = get(t, h, after); d.Last != int64(len(events)) || d.Status != "FAILED" {
			t.Errorf("second half: %+v", d)
		}
		if diff := cmp.Diff(map[string]string{"a": "failed", "b": "cancelled"}, d.steps()); diff != "" {
			t.Error(diff)
		}
	})
}

// Requests for an execution share a view, whose definition is read once, until there was no request for a minute, or there were requests for
// many other executions.
func TestViewsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, h, events := play(t, "all is well", "local")
		s.add(events...)
		reads := func(queries ...string) int {
			before := s.definitions
			for _, q := range queries {
				get(t, h, q)
			}
			return s.definitions - before
		}
		if n := reads("execution=x", "execution=x", "execution=x&after=3"); n != 1 {
			t.Errorf("%d reads for three requests", n)
		}
		time.Sleep(30 * time.Second)
		if n := reads("execution=x"); n != 0 {
			t.Errorf("%d reads after half a minute", n)
		}
		time.Sleep(59 * time.Second)
		if n := reads("execution=x"); n != 0 {
			t.Errorf("%d reads 59 s after the last request", n)
		}
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if n := reads("execution=x"); n != 1 {
			t.Errorf("%d reads 61 s after the last request, want 1", n)
		}
		for i := range 8 {
			time.Sleep(time.Millisecond)
			reads("execution=other" + strconv.Itoa(i))
		}
		if n := reads("execution=x"); n != 1 {
			t.Errorf("%d reads after requests for eight others, want 1", n)
		}
		time.Sleep(2 * time.Minute) // until the timers have fired
	})
}

func TestInvalidRequests(t *testing.T) {
	_, h, _ := play(t, "all is well", "local")
	for query, want := range map[string]int{
		"execution=none": http.StatusNotFound, "execution=x&after=y": http.StatusBadRequest, "execution=x&timeout=-1": http.StatusBadRequest,
		"execution=x&after=2.5": http.StatusBadRequest, "execution=x&after=-1": http.StatusBadRequest, "execution=x&timeout=NaN": http.StatusBadRequest,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/?"+query, nil))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", query, w.Code, want)
		}
	}
}

// A stream contains all changes, also those that are not in the history, and ends with the execution.
func TestStream(t *testing.T) {
	for _, target := range progresstest.Targets {
		synctest.Test(t, func(t *testing.T) {
			s, h, events := play(t, "succeeded after a retry", target)
			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/?execution=x", nil)
			r.Header.Set("Accept", "text/event-stream")
			done := make(chan struct{})
			go func() {
				defer close(done)
				h.ServeHTTP(w, r)
			}()
			task := scheduledTask(events)
			s.add(events[:task]...)
			s.mu.Lock()
			s.waiting, s.parked = []progress.Waiting{{Event: int64(task), Since: time.Now(), Reason: "no room"}}, "two processes died"
			s.mu.Unlock()
			time.Sleep(3 * time.Second)
			s.mu.Lock()
			s.waiting, s.parked = nil, ""
			s.mu.Unlock()
			time.Sleep(3 * time.Second)
			for _, e := range events[task:] {
				s.add(e)
				synctest.Wait()
			}
			<-done
			seen, waited, parked := merge(t, w.Body.String(), len(events)), strings.Contains(w.Body.String(), "no room"), strings.Contains(w.Body.String(), "two processes died")
			if !waited || !parked {
				t.Errorf("%s: the stream contains waiting: %v, parked: %v", target, waited, parked)
			}
			if want := get(t, h, "execution=x"); cmp.Diff(want.steps(), seen.steps()) != "" || len(want.Entries) != len(seen.Entries) {
				t.Errorf("%s: stream (-), complete view (+):\n%s", target, cmp.Diff(seen, want))
			}
			time.Sleep(2 * time.Minute)
		})
	}
}

// scheduledTask returns the id of the first TaskScheduled event.
func scheduledTask(events []progresstest.Event) int {
	for i := range events {
		if events[i].Type == "TaskScheduled" {
			return i + 1
		}
	}
	return 1
}

// merge applies the events of a stream, and checks that it ends with the execution.
func merge(t *testing.T, body string, last int) (all delta) {
	t.Helper()
	messages := strings.Split(strings.TrimSpace(body), "\n\n")
	if end := messages[len(messages)-1]; !strings.HasPrefix(end, "event: closed\ndata: {\"status\":\"SUCCEEDED\"}") {
		t.Errorf("last event: %q", end)
	}
	for _, m := range messages[:len(messages)-1] {
		id, data, _ := strings.Cut(m, "\ndata: ")
		var d delta
		if err := json.Unmarshal([]byte(data), &d); err != nil {
			t.Fatalf("%v: %s", err, m)
		}
		if id != "id: "+strconv.FormatInt(d.Last, 10) {
			t.Errorf("%s for event %d", id, d.Last)
		}
		for _, e := range d.Entries {
			for len(all.Entries) <= e.N {
				all.Entries = append(all.Entries, e)
			}
			all.Entries[e.N] = e
		}
		all.Last = d.Last
	}
	if all.Last != int64(last) {
		t.Errorf("the stream ends at event %d of %d", all.Last, last)
	}
	return all
}

// write, which encodes one entry at a time, produces the same JSON as encoding the whole delta.
func TestWrite(t *testing.T) {
	for name, d := range map[string]progress.Delta{
		"no entries":                   {Entries: []progress.Shown{}, States: map[string]progress.ShownState{}},
		"one entry":                    {Last: 2, Entries: []progress.Shown{{N: 1, Name: "a"}}},
		"the pattern that it replaces": {Warnings: []string{`"entries":[]`}, Entries: []progress.Shown{{N: 1, Name: "a"}, {N: 2, Name: `"entries":[]`}}},
	} {
		var b strings.Builder
		if err := live.Write(&b, d); err != nil {
			t.Fatal(err)
		}
		want, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.String(); got != string(want)+"\n" {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
