package kube

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// watchFor is how long one watch is asked to last. An API server that went away without a word is noticed a little later.
const watchFor = 290 * time.Second

// followGrace is how long a refusal (401, 403) may last while an object is followed: permissions that are renewed, or
// tokens, may lag.
const followGrace = time.Minute

// pollEvery is how often is asked where watching is not allowed.
const pollEvery = 400 * time.Millisecond

// Event is a state of an object that is followed.
type Event struct {
	// Object is the object's JSON, nil when it is gone.
	Object json.RawMessage
}

// errDone ends a watch whose caller has seen enough.
var errDone = errors.New("done")

// errCompacted is 410: the state to go on from is no longer kept.
var errCompacted = errors.New("the watch is too old")

// follower follows one object.
type follower struct {
	c          *Client
	collection string
	name       string
	see        func(Event) bool
	noWatch    bool // the server refuses to let us watch
	refused    time.Time
}

// Follow shows see each state of an object that can be seen, from the one it has now to its deletion, and ends when see
// returns true. A watch that breaks off is taken up again after a fresh look, so that no end is missed, whatever happens to
// the API server meanwhile; what may pass is waited for until ctx ends. An object that is gone is the last event: Follow
// returns nil after it.
func (c *Client) Follow(ctx context.Context, collection, name string, see func(Event) bool) error {
	f := &follower{c: c, collection: collection, name: name, see: see}
	wait := 100 * time.Millisecond
	for {
		began := time.Now()
		err := f.round(ctx)
		switch {
		case err == nil || errors.Is(err, errDone):
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errLater):
			continue
		}
		if fatal := f.bear(err); fatal != nil {
			return fatal
		}
		if time.Since(began) > time.Second {
			wait = 100 * time.Millisecond
		}
		if err := pause(ctx, wait); !errors.Is(err, errLater) {
			return err
		}
		wait = min(2*wait, 5*time.Second)
	}
}

// round looks at the object, then watches it until that breaks off. nil tells that it is gone.
func (f *follower) round(ctx context.Context) error {
	res, err := f.c.Do(ctx, Request{Path: f.collection + "/" + url.PathEscape(f.name)})
	if NotFound(err) {
		f.see(Event{})
		return nil
	}
	if err != nil {
		return err
	}
	f.refused = time.Time{}
	var o struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(res.Body, &o); err != nil {
		return fmt.Errorf("%s/%s: %w", f.collection, f.name, err)
	}
	if f.see(Event{Object: res.Body}) {
		return errDone
	}
	if f.noWatch {
		return pause(ctx, pollEvery)
	}
	err = f.watch(ctx, o.Metadata.ResourceVersion)
	if Code(err) == http.StatusForbidden {
		f.noWatch, err = true, errCompacted
	}
	return err
}

// errLater is a wait that ended as it should: the next round may begin.
var errLater = errors.New("later")

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return errLater
	}
}

// bear returns an error that cannot be waited out.
func (f *follower) bear(err error) error {
	switch code := Code(err); {
	case errors.Is(err, errCompacted), Temporary(err):
		return nil
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		if f.refused.IsZero() {
			f.refused = time.Now()
		}
		if time.Since(f.refused) < followGrace {
			return nil
		}
	}
	return err
}

func (f *follower) watch(ctx context.Context, from string) error {
	ctx, cancel := context.WithTimeout(ctx, watchFor+30*time.Second)
	defer cancel()
	body, err := f.c.Stream(ctx, Request{Path: f.collection, Query: url.Values{
		"watch": {"true"}, "fieldSelector": {"metadata.name=" + f.name}, "resourceVersion": {from},
		"allowWatchBookmarks": {"true"}, "timeoutSeconds": {strconv.Itoa(int(watchFor / time.Second))},
	}})
	if err != nil {
		return err
	}
	defer body.Close()
	for lines := bufio.NewReaderSize(body, 64<<10); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return f.c.unreachable(ctx, err) // its end: a fresh look tells what happened meanwhile
		}
		if err := f.event(line); err != nil {
			return err
		}
	}
}

func (f *follower) event(line []byte) error {
	kind, object, err := decodeEvent(line)
	switch {
	case err != nil:
		return err
	case kind == "DELETED":
		return errLater // and perhaps made anew: the next round looks
	case kind == "BOOKMARK":
		return nil
	}
	if f.see(Event{Object: object}) {
		return errDone
	}
	return nil
}

// decodeEvent reads a line of a watch. An ERROR is an error: 410 tells to look afresh.
func decodeEvent(line []byte) (kind string, object json.RawMessage, err error) {
	var e struct {
		Type   string          `json:"type"`
		Object json.RawMessage `json:"object"`
	}
	if err := json.Unmarshal(line, &e); err != nil {
		return "", nil, errCompacted // cut off in the middle: as good as an end
	}
	switch e.Type {
	case "ADDED", "MODIFIED", "DELETED", "BOOKMARK":
		return e.Type, e.Object, nil
	case "ERROR":
		var s struct {
			Code int `json:"code"`
		}
		_ = json.Unmarshal(e.Object, &s) // what cannot be read is as good as 410
		if s.Code == 0 || s.Code == http.StatusGone {
			return "", nil, errCompacted
		}
		return "", nil, newStatusError(Request{Path: "watch"}, Response{Status: s.Code, Body: e.Object})
	}
	return "BOOKMARK", nil, nil // a kind that is yet to come
}
