package console

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rayorch/rayorch/internal/view/progress"
	"github.com/rayorch/rayorch/internal/view/progress/live"
)

// view answers how an execution of the API is shown: what the API answers itself if it can, else a fold of the histories that it has.
// AWS cannot, nor can a server of an earlier release.
func (up Upstream) view(proxy http.Handler) http.Handler {
	src := &upstreamSource{up: up, client: &http.Client{Transport: signing{up}}}
	own := live.New(src).Handler(func(w http.ResponseWriter, r *http.Request, err error) {
		if r.Context().Err() != nil {
			return // the browser went away
		}
		http.Error(w, err.Error(), http.StatusBadGateway)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slices.Contains(src.features(r.Context()), "view") {
			proxy.ServeHTTP(w, r)
			return
		}
		own(w, r)
	})
}

// upstreamSource is the executions of another API, for live.
type upstreamSource struct {
	up     Upstream
	client *http.Client

	mu    sync.Mutex
	known []string // the features of a server of ours
	asked time.Time
}

// featuresTime is how often the features are asked for: the server may be replaced by one of another release.
const featuresTime = time.Minute

// features are what the API answers besides the Step Functions API; none if it does not say.
func (s *upstreamSource) features(ctx context.Context) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up.Extras || time.Since(s.asked) < featuresTime {
		return s.known
	}
	var info struct{ Features []string }
	if err := s.get(ctx, "info", nil, &info); err != nil {
		return nil // the next request asks again
	}
	s.known, s.asked = info.Features, time.Now()
	return s.known
}

func (s *upstreamSource) Definition(ctx context.Context, arn string) ([]byte, error) {
	var out struct{ Definition string }
	err := s.call(ctx, "DescribeStateMachineForExecution", map[string]any{"executionArn": arn}, &out)
	return []byte(out.Definition), err
}

// Events reads back from the newest event to the one that is known: the API cannot start in the middle. A whole history is read from
// its start instead, so that the fold has a part of it when a page fails.
func (s *upstreamSource) Events(ctx context.Context, arn string, after int64, do func(*progress.Event)) error {
	in := map[string]any{"executionArn": arn, "maxResults": 1000}
	if after > 0 {
		in["maxResults"], in["reverseOrder"] = 100, true
	}
	var fresh []apiEvent
	for {
		var page struct {
			Events    []apiEvent
			NextToken string
		}
		if err := s.call(ctx, "GetExecutionHistory", in, &page); err != nil {
			return err
		}
		for i := range page.Events {
			if after == 0 {
				do(page.Events[i].shown())
			} else if page.Events[i].ID > after {
				fresh = append(fresh, page.Events[i])
			}
		}
		known := after > 0 && len(page.Events) > 0 && page.Events[len(page.Events)-1].ID <= after+1
		if known || page.NextToken == "" {
			break
		}
		in["nextToken"] = page.NextToken
	}
	for _, e := range slices.Backward(fresh) {
		do(e.shown())
	}
	return nil
}

// pollTime is how often the API is asked for news: AWS has no way to wait for an event.
const pollTime = 3 * time.Second

func (s *upstreamSource) Wait(ctx context.Context, _ string, _ int64, _ time.Duration) error {
	select {
	case <-time.After(pollTime):
	case <-ctx.Done():
	}
	return ctx.Err()
}

func (s *upstreamSource) Outside(ctx context.Context, arn string) ([]progress.Waiting, string, error) {
	if !slices.Contains(s.features(ctx), "pending") {
		return nil, "", nil
	}
	var out struct {
		Pending []progress.Waiting
		Parked  string
	}
	err := s.get(ctx, "pending", url.Values{"execution": {arn}}, &out)
	return out.Pending, out.Parked, err
}

// apiEvent is an event in the API's JSON.
type apiEvent struct {
	ID, Previous int64
	Type         string
	Timestamp    float64
	details      eventDetails
}

type eventDetails struct {
	Name, State, Resource, Input, Output, Error, Cause, MapRunArn string
	Index, Length                                                 int
	AssignedVariables                                             map[string]string
}

// UnmarshalJSON reads the one member that has the details, whatever its name.
func (e *apiEvent) UnmarshalJSON(text []byte) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	for name, v := range all {
		var to any
		switch {
		case name == "id":
			to = &e.ID
		case name == "previousEventId":
			to = &e.Previous
		case name == "type":
			to = &e.Type
		case name == "timestamp":
			to = &e.Timestamp
		case strings.HasSuffix(name, "EventDetails"):
			to = &e.details
		default:
			continue
		}
		if err := json.Unmarshal(v, to); err != nil {
			return fmt.Errorf("event: %s: %w", name, err)
		}
	}
	return nil
}

func (e *apiEvent) shown() *progress.Event {
	d := &e.details
	name := d.Name
	if name == "" {
		name = d.State // of the failure of an expression
	}
	return &progress.Event{
		ID: e.ID, Previous: e.Previous, Type: e.Type, Time: time.UnixMilli(int64(e.Timestamp*1000 + 0.5)).UTC(), Name: name,
		Resource: d.Resource, Input: d.Input, Output: d.Output, Error: d.Error, Cause: d.Cause, MapRun: d.MapRunArn, Index: d.Index,
		Length: d.Length, Assigned: d.AssignedVariables,
	}
}

// call does an action of the Step Functions API.
func (s *upstreamSource) call(ctx context.Context, action string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.up.URL.String(), strings.NewReader(string(body)))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	r.Header.Set("X-Amz-Target", targetPrefix+action)
	return s.do(r, action, out)
}

// get reads what a server of ours has besides.
func (s *upstreamSource) get(ctx context.Context, path string, q url.Values, out any) error {
	at := s.up.URL.JoinPath("/rayorch/v1/", path)
	at.RawQuery = q.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), http.NoBody)
	if err != nil {
		return err
	}
	return s.do(r, path, out)
}

// maxAnswer bounds an answer: a page of 1,000 events with 256 KiB each would be as much.
const maxAnswer = 512 << 20

func (s *upstreamSource) do(r *http.Request, what string, out any) error {
	r.Header.Set("User-Agent", "rayorch-console")
	resp, err := s.client.Do(r)
	if err != nil {
		return fmt.Errorf("%s: the API cannot be reached: %w", what, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		return fmt.Errorf("%s: the API answered %s: %s", what, resp.Status, text)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("%s: read the answer: %w", what, err)
	}
	return nil
}
