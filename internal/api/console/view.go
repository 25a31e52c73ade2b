package console

import (
	"context"
	"encoding/json"
	"errors"
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

// viewHandler returns the handler of /rayorch/v1/view. If the API has this endpoint, the handler forwards the request. Otherwise (AWS, or a
// server of an earlier release), it computes the view from the histories of the API.
func (up Upstream) viewHandler(proxy http.Handler) http.Handler {
	src := &upstreamSource{up: up, client: &http.Client{Transport: signing{up}}}
	own := live.New(src).Handler(func(w http.ResponseWriter, r *http.Request, err error) {
		if r.Context().Err() != nil {
			return // the browser has disconnected
		}
		http.Error(w, err.Error(), statusOf(err))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slices.Contains(src.features(r.Context()), "view") {
			proxy.ServeHTTP(w, r)
			return
		}
		own(w, r)
	})
}

// statusOf returns the HTTP status for an error of the API: 404 or 400 if the browser's request was wrong, otherwise 502.
func statusOf(err error) int {
	var answer *answerError
	if errors.As(err, &answer) {
		switch answer.code {
		case "ExecutionDoesNotExist":
			return http.StatusNotFound
		case "InvalidArn", "ValidationException", "StateMachineTypeNotSupported":
			return http.StatusBadRequest
		}
	}
	return http.StatusBadGateway
}

// upstreamSource implements live.Source with the executions of another API.
type upstreamSource struct {
	up     Upstream
	client *http.Client

	mu    sync.Mutex
	known []string  // the features, if the API is a rayorch server
	asked time.Time // when they were requested
}

// featuresInterval is how often the features are requested again, because another release can replace the server.
const featuresInterval = time.Minute

// features returns the endpoints of the API below /rayorch/v1/, none if it is not a rayorch server.
func (s *upstreamSource) features(ctx context.Context) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up.Extras || time.Since(s.asked) < featuresInterval {
		return s.known
	}
	var info struct{ Features []string }
	if err := s.get(ctx, "info", nil, &info); err != nil {
		return nil // the next call tries again
	}
	s.known, s.asked = info.Features, time.Now()
	return s.known
}

// Definition returns the definition that an execution runs.
func (s *upstreamSource) Definition(ctx context.Context, arn string) ([]byte, error) {
	var out struct{ Definition string }
	err := s.call(ctx, "DescribeStateMachineForExecution", map[string]any{"executionArn": arn}, &out)
	return []byte(out.Definition), err
}

// Events reads the history backward from the newest event to the given one, because GetExecutionHistory cannot start in the middle. If
// after is 0, it reads forward instead, so that the events before a page that fails are not lost.
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
				do(page.Events[i].convert())
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
		do(e.convert())
	}
	return nil
}

// pollInterval is how often histories are read. AWS has no API to wait for an event.
const pollInterval = 3 * time.Second

// Wait waits for pollInterval.
func (s *upstreamSource) Wait(ctx context.Context, _ string, _ int64, _ time.Duration) error {
	select {
	case <-time.After(pollInterval):
	case <-ctx.Done():
	}
	return ctx.Err()
}

// Outside returns the pending tasks, and why the execution is parked, if the API is a rayorch server that reports this.
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

// apiEvent is an event in the JSON of the API.
type apiEvent struct {
	ID, Previous int64
	Type         string
	Timestamp    float64
	details      eventDetails
}

// eventDetails are the details that a view uses. Each type of event has only some of them.
type eventDetails struct {
	Name, State, Resource, Input, Output, Error, Cause, MapRunArn string
	Index, Length                                                 int
	AssignedVariables                                             map[string]string
}

// UnmarshalJSON implements json.Unmarshaler. The name of the member with the details depends on the type of the event.
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

// convert converts an event to the form that package progress uses.
func (e *apiEvent) convert() *progress.Event {
	d := &e.details
	name := d.Name
	if name == "" {
		name = d.State // an event about an expression that failed has no Name
	}
	return &progress.Event{
		ID: e.ID, Previous: e.Previous, Type: e.Type, Time: time.UnixMilli(int64(e.Timestamp*1000 + 0.5)).UTC(), Name: name,
		Resource: d.Resource, Input: d.Input, Output: d.Output, Error: d.Error, Cause: d.Cause, MapRun: d.MapRunArn, Index: d.Index,
		Length: d.Length, Assigned: d.AssignedVariables,
	}
}

// call calls an action of the Step Functions API.
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

// get requests an endpoint below /rayorch/v1/.
func (s *upstreamSource) get(ctx context.Context, path string, q url.Values, out any) error {
	at := s.up.URL.JoinPath("/rayorch/v1/", path)
	at.RawQuery = q.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), http.NoBody)
	if err != nil {
		return err
	}
	return s.do(r, path, out)
}

// maxAnswer is the maximum size of a response in bytes. A page of 1,000 events can have 256 MiB of inputs and outputs, and JSON escapes.
const maxAnswer = 512 << 20

// answerError is an unsuccessful response of the API.
type answerError struct {
	what, status string
	code         string // the API's error code, "" if the response has none
	text         string // the message, or the whole response if it has no error code
}

func (e *answerError) Error() string {
	if e.code != "" {
		return fmt.Sprintf("%s: %s: %s", e.what, e.code, e.text)
	}
	return fmt.Sprintf("%s: the API returned %s: %s", e.what, e.status, e.text)
}

// newAnswerError reads an unsuccessful response.
func newAnswerError(what string, resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // if this fails, the status is sufficient
	e := &answerError{what: what, status: resp.Status, text: strings.TrimSpace(string(text))}
	var body struct {
		Type    string `json:"__type"`
		Message string // in any case: AWS also uses Message
	}
	if json.Unmarshal(text, &body) == nil && body.Type != "" {
		e.code, e.text = body.Type[strings.LastIndex(body.Type, "#")+1:], body.Message
	}
	return e
}

// do sends a request, and decodes the response. what names the request in errors.
func (s *upstreamSource) do(r *http.Request, what string, out any) error {
	r.Header.Set("User-Agent", "rayorch-console")
	resp, err := s.client.Do(r)
	if err != nil {
		return fmt.Errorf("%s: the API cannot be reached: %w", what, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return newAnswerError(what, resp)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("%s: read the response: %w", what, err)
	}
	return nil
}
