package console_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/api/console"
	"github.com/rayorch/rayorch/internal/view/progress"
	"github.com/rayorch/rayorch/internal/view/progress/progresstest"
)

// historyAPI is an API with one execution.
type historyAPI struct {
	definition []byte
	events     []progresstest.Event
	shown      atomic.Int64 // the number of events in the history so far
	info       string       // the response of /rayorch/v1/info, "" if the API is not a rayorch server
	calls      atomic.Int64 // the number of calls of actions
}

func (a *historyAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/rayorch/v1/info" && a.info != "":
		fmt.Fprint(w, a.info)
	case r.URL.Path == "/rayorch/v1/pending":
		fmt.Fprint(w, `{"pending":[],"parked":"two processes died"}`)
	case r.URL.Path == "/rayorch/v1/view":
		fmt.Fprint(w, "its own")
	case r.Method != http.MethodPost:
		http.NotFound(w, r)
	default:
		a.action(w, r)
	}
}

func (a *historyAPI) action(w http.ResponseWriter, r *http.Request) {
	a.calls.Add(1)
	_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	var in struct {
		ReverseOrder bool
		NextToken    string
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if action == "DescribeStateMachineForExecution" {
		_ = json.NewEncoder(w).Encode(map[string]string{"definition": string(a.definition)})
		return
	}
	const page = 7
	from := 0
	_, _ = fmt.Sscan(in.NextToken, &from)
	events := slices.Clone(a.events[:a.shown.Load()])
	if in.ReverseOrder {
		slices.Reverse(events)
	}
	out := map[string]any{}
	if from+page < len(events) {
		out["nextToken"] = fmt.Sprint(from + page)
	}
	var raw []json.RawMessage
	for _, e := range events[from:min(from+page, len(events))] {
		raw = append(raw, e.JSON)
	}
	out["events"] = raw
	_ = json.NewEncoder(w).Encode(out)
}

// front returns an API with the history of a story, and a console in front of it.
func front(t *testing.T, story progresstest.Story, target, info string) (*historyAPI, http.Handler) {
	t.Helper()
	a := &historyAPI{info: info}
	var parts [][]progresstest.Event
	a.definition, parts = story.Play(t, target)
	a.events = slices.Concat(parts...)
	srv := httptest.NewServer(a)
	t.Cleanup(srv.Close)
	at, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	return a, console.New(console.Config{Open: true}).Front(allowAll, console.Upstream{URL: at, Extras: info != ""})
}

// In front of an API that has only histories, such as AWS or a server of an earlier release, the console returns the view that
// internal/view/progress computes: first completely, then the changes.
func TestFrontComputesViews(t *testing.T) {
	for _, story := range []string{"tolerated in iterations", "redriven after a cleanup", "a missing output in the environment while another runs"} {
		for _, target := range progresstest.Targets {
			for _, info := range []string{"", `{"name":"rayorch","features":["pending","watch"]}`} {
				a, site := front(t, progresstest.Stories[story], target, info)
				want, got := progress.New(progress.ReadStates(a.definition)), map[int]string{}
				want.Limit(4 << 10)
				after := int64(0)
				for _, upTo := range []int{len(a.events) / 3, len(a.events)/3 + 1, len(a.events)} {
					a.shown.Store(int64(upTo))
					w := send(t, site, http.MethodGet, fmt.Sprintf("/rayorch/v1/view?execution=x&timeout=0&after=%d", after), "")
					var d struct {
						Last    int64
						Status  string
						Parked  string
						Entries []json.RawMessage
					}
					if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil || d.Last != int64(upTo) || (d.Parked != "") != (info != "" && d.Status == "RUNNING") {
						t.Fatalf("%s in %s, %s: %v: %s", story, target, info, err, w.Body)
					}
					for _, e := range d.Entries {
						var at struct{ N int }
						if err := json.Unmarshal(e, &at); err != nil {
							t.Fatal(err)
						}
						got[at.N] = string(e)
					}
					after = d.Last
				}
				for i := range a.events {
					want.Add(&a.events[i].HistoryEvent)
				}
				shown := map[int]string{}
				whole, _ := want.After(0)
				for _, e := range whole.Entries {
					text, err := json.Marshal(e)
					if err != nil {
						t.Fatal(err)
					}
					shown[e.N] = string(text)
				}
				if diff := cmp.Diff(shown, got); diff != "" {
					t.Errorf("%s in %s, %s: %s", story, target, info, diff)
				}
			}
		}
	}
}

// If the API has the endpoint, the console forwards the request.
func TestFrontForwardsView(t *testing.T) {
	a, site := front(t, progresstest.Stories["all is well"], "local", `{"name":"rayorch","features":["view"]}`)
	if w := send(t, site, http.MethodGet, "/rayorch/v1/view?execution=x", ""); w.Body.String() != "its own" || a.calls.Load() != 0 {
		t.Errorf("%s, and the console called %d actions", w.Body, a.calls.Load())
	}
}

// An error of the API that is not the client's fault is an error of the gateway.
func TestFrontGatewayErrors(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "AccessDeniedException", http.StatusBadRequest)
	}))
	t.Cleanup(srv.Close)
	at, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	site := console.New(console.Config{Open: true}).Front(allowAll, console.Upstream{URL: at})
	if w := send(t, site, http.MethodGet, "/rayorch/v1/view?execution=x", ""); w.Code != http.StatusBadGateway || !strings.Contains(w.Body.String(), "AccessDeniedException") {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
}
