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

// watchFor is the requested duration of a watch. If the API server disappears without closing the connection, the client notices
// that 30 s after this time.
const watchFor = 290 * time.Second

// followGrace is how long Follow tolerates 401 and 403, because new permissions or renewed tokens may take effect with a delay.
const followGrace = time.Minute

// pollEvery is the polling interval if the client is not allowed to watch.
const pollEvery = 400 * time.Millisecond

// Event is a state of a followed object.
type Event struct {
	// Object is the JSON of the object, nil if the object does not exist.
	Object json.RawMessage
}

// errDone ends a watch after see returned true.
var errDone = errors.New("done")

// errCompacted is the error if a watch cannot continue (410), because the server no longer has its resource version.
var errCompacted = errors.New("the watch is too old")

// follower is the state of Follow.
type follower struct {
	c          *Client
	collection string
	name       string
	see        func(Event) bool
	noWatch    bool      // watching is forbidden: poll instead
	refused    time.Time // when 401 or 403 started; zero if the last request was allowed
}

// Follow calls see with the current state of an object and each later one, until the object does not exist or see returns true. If
// the object does not exist, that is the last event, and Follow returns nil. After each interruption of the watch, Follow reads the
// object again, so it never misses the final state. It retries after temporary errors until ctx ends, and after 401 and 403 for a
// minute. see may get the same state several times.
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
		if fatal := f.fatal(err); fatal != nil {
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

// round reads the object, then watches it until the watch ends. It returns nil if the object does not exist, and errLater if the
// next round should start immediately.
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

// errLater means that the next round can start, for example after a pause.
var errLater = errors.New("later")

// pause waits and returns errLater, or the cause of ctx if that ends first.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return errLater
	}
}

// fatal returns err if Follow must fail, or nil if it can retry.
func (f *follower) fatal(err error) error {
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

// watch watches the object from a resource version on. It always returns an error.
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
			return f.c.unreachable(ctx, err) // also after a regular end: the next round reads the object
		}
		if err := f.event(line); err != nil {
			return err
		}
	}
}

// event handles a line of a watch. It returns nil if the watch should continue.
func (f *follower) event(line []byte) error {
	kind, object, err := decodeEvent(line)
	switch {
	case err != nil:
		return err
	case kind == "DELETED":
		return errLater // it may have been created again: the next round checks
	case kind == "BOOKMARK":
		return nil
	}
	if f.see(Event{Object: object}) {
		return errDone
	}
	return nil
}

// decodeEvent decodes a line of a watch. It returns an event of type ERROR as an error: errCompacted for 410, or else a
// StatusError.
func decodeEvent(line []byte) (kind string, object json.RawMessage, err error) {
	var e struct {
		Type   string          `json:"type"`
		Object json.RawMessage `json:"object"`
	}
	if err := json.Unmarshal(line, &e); err != nil {
		return "", nil, errCompacted // an incomplete line: the watch was interrupted
	}
	switch e.Type {
	case "ADDED", "MODIFIED", "DELETED", "BOOKMARK":
		return e.Type, e.Object, nil
	case "ERROR":
		var s struct {
			Code int `json:"code"`
		}
		_ = json.Unmarshal(e.Object, &s) // treat an invalid status like 410
		if s.Code == 0 || s.Code == http.StatusGone {
			return "", nil, errCompacted
		}
		return "", nil, newStatusError(Request{Path: "watch"}, Response{Status: s.Code, Body: e.Object})
	}
	return "BOOKMARK", nil, nil // ignore unknown types
}
