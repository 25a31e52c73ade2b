package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/snapshot"
)

// of asks about one execution.
func of(arn string) url.Values { return url.Values{"execution": {arn}} }

// Info describes a server.
type Info struct {
	// Name is rayorch; empty if the server is AWS or another Step Functions API.
	Name, Version string
	// Features are the paths below /rayorch/v1/. Earlier releases list fewer than they have.
	Features []string
}

// Info describes the server.
func (c *Client) Info(ctx context.Context) (out Info, err error) {
	_, err = c.get(ctx, info, nil, &out)
	return out, err
}

// awsPoll is how long Watch waits on AWS, which cannot wait for an event.
const awsPoll = 2 * time.Second

// Watch returns when an execution has a later event than the given one or is closed; at the latest after some seconds.
func (c *Client) Watch(ctx context.Context, arn string, after int64) error {
	q := of(arn)
	q.Set("after", strconv.FormatInt(after, 10))
	resp, err := c.call(ctx, watch, q, nil)
	if errors.Is(err, errNothing) {
		return Sleep(ctx, awsPoll)
	}
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Sleep waits between two requests of a caller that polls a server. It returns the context's error if the context is done earlier.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// KeepsLogs is nil unless the server is known to keep no logs of jobs.
func (c *Client) KeepsLogs(ctx context.Context) error {
	if c.place != amazon {
		return nil
	}
	return c.missing(ctx, logs, logs.lacks[amazon], nil)
}

// Logs lists the logs that are kept of an execution's tasks.
func (c *Client) Logs(ctx context.Context, arn string) ([]engine.LogInfo, error) {
	var out struct{ Logs []engine.LogInfo }
	_, err := c.get(ctx, logs, of(arn), &out)
	return out.Logs, err
}

// OpenLog reads a log: engine.ErrNoLog if there is none.
func (c *Client) OpenLog(ctx context.Context, arn string, l engine.LogQuery) (io.ReadCloser, error) {
	q := of(arn)
	q.Set("task", l.Task)
	q.Set("state", l.State)
	if l.Event > 0 {
		q.Set("event", strconv.FormatInt(l.Event, 10))
	}
	q.Set("attempt", strconv.Itoa(l.Attempt))
	q.Set("follow", strconv.FormatBool(l.Follow))
	resp, err := c.call(ctx, log, q, nil)
	var status *StatusError
	if errors.As(err, &status) && status.Code == http.StatusNotFound {
		return nil, engine.ErrNoLog
	}
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// Pending lists the tasks of an execution whose work does not run yet.
func (c *Client) Pending(ctx context.Context, arn string) ([]engine.Pending, error) {
	var out struct{ Pending []engine.Pending }
	_, err := c.get(ctx, pending, of(arn), &out)
	return out.Pending, err
}

// CleanupReport is the cleanup report of an execution, which its history does not contain: oldest first.
func (c *Client) CleanupReport(ctx context.Context, arn string) ([]engine.CleanupEntry, error) {
	var out struct {
		Aftermath []struct {
			Type      string
			Timestamp time.Time
			Stopped   struct {
				Name, Resource, Outcome string
				Attempt                 int
			} `json:"taskStoppedEventDetails"`
			Cleanup struct{ Execution string } `json:"cleanupStartedEventDetails"`
		}
	}
	_, err := c.get(ctx, aftermath, of(arn), &out)
	var all []engine.CleanupEntry
	for _, d := range out.Aftermath {
		all = append(all, engine.CleanupEntry{
			Time: d.Timestamp, Type: d.Type, State: d.Stopped.Name, Resource: d.Stopped.Resource,
			Outcome: d.Stopped.Outcome, Attempt: d.Stopped.Attempt, Execution: d.Cleanup.Execution,
		})
	}
	return all, err
}

// Left is the number of pending effects of an execution, such as jobs to stop.
func (c *Client) Left(ctx context.Context, arn string) (int, error) {
	var out struct{ Left int }
	_, err := c.get(ctx, left, of(arn), &out)
	return out.Left, err
}

// Origin is what of an execution came over the network, "" for nothing: a value of task.OriginLabel.
func (c *Client) Origin(ctx context.Context, arn string) (string, error) {
	var out struct{ Origin string }
	_, err := c.get(ctx, origin, of(arn), &out)
	return out.Origin, err
}

// Resting are the open executions that no process drives, by ARN; the value says why if the execution is parked. known is false
// if the server does not say.
func (c *Client) Resting(ctx context.Context) (arns map[string]string, known bool, err error) {
	var out struct {
		Executions []string
		Parked     []struct{ Execution, Reason string }
	}
	known, err = c.get(ctx, resting, nil, &out)
	arns = map[string]string{}
	for _, arn := range out.Executions {
		arns[arn] = ""
	}
	for _, p := range out.Parked {
		arns[p.Execution] = p.Reason
	}
	return arns, known, err
}

// resumeBatch is how many executions one request names: a server accepts a header of 32 KiB, an ARN has at most some 200 bytes.
const resumeBatch = 100

// Resume has the server drive executions that rest, or all of them if none is named.
func (c *Client) Resume(ctx context.Context, arns ...string) error {
	if len(arns) == 0 {
		return c.post(ctx, resume, nil, nil)
	}
	for some := range slices.Chunk(arns, resumeBatch) {
		if err := c.post(ctx, resume, url.Values{"execution": some}, nil); err != nil {
			return err
		}
	}
	return nil
}

// Code is the code that an execution started with, none if the server does not keep it.
func (c *Client) Code(ctx context.Context, arn string) (all []snapshot.Snapshot, err error) {
	_, err = c.get(ctx, code, of(arn), &all)
	return all, err
}

// CodeUsers are the executions that use each package of code; nil if the server does not say.
func (c *Client) CodeUsers(ctx context.Context) (users map[string][]string, err error) {
	_, err = c.get(ctx, code, nil, &users)
	return users, err
}

// NameCode names code of an execution that is about to start, which its definition does not name. Only the owner of the state
// directory takes it.
func (c *Client) NameCode(ctx context.Context, arn string, sources []snapshot.Source) error {
	if len(sources) == 0 {
		return nil
	}
	return c.post(ctx, nameCode, of(arn), sources)
}

// WantedSecrets are the environment variables that an execution needs and whose values its owner does not have.
func (c *Client) WantedSecrets(ctx context.Context, arn string) (names []string, err error) {
	_, err = c.get(ctx, wantedSecrets, of(arn), &names)
	return names, err
}

// GiveSecrets passes the values of environment variables to the owner of the state directory, which keeps them in memory.
func (c *Client) GiveSecrets(ctx context.Context, arn string, values map[string]string) error {
	if len(values) == 0 {
		return nil
	}
	return c.post(ctx, giveSecrets, of(arn), values)
}

// ConsoleLink is a link that signs one browser in to the console of the state directory's owner, "" if that serves none.
func (c *Client) ConsoleLink(ctx context.Context) (string, error) {
	var out struct{ Link string }
	_, err := c.get(ctx, consoleLink, nil, &out)
	return out.Link, err
}
