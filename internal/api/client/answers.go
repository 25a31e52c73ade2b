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

	smithytime "github.com/aws/smithy-go/time"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/task/snapshot"
)

// executionQuery returns the query of a request about one execution.
func executionQuery(arn string) url.Values { return url.Values{"execution": {arn}} }

// Info describes a server.
type Info struct {
	// Name is "rayorch", or "" if the server is AWS or another Step Functions API.
	Name, Version string
	// Features are the paths below /rayorch/v1/ that the server has. Earlier releases do not list all of them.
	Features []string
}

// Info returns the server's name, release and features.
func (c *Client) Info(ctx context.Context) (out Info, err error) {
	_, err = c.get(ctx, info, nil, &out)
	return out, err
}

// awsPoll is how long Watch waits on AWS, whose API has no long poll for events.
const awsPoll = 2 * time.Second

// Watch waits until an execution has an event after the given one, or is closed, or some seconds have passed (on AWS, always
// awsPoll). It does not report which of them: the caller reads the history.
func (c *Client) Watch(ctx context.Context, arn string, after int64) error {
	q := executionQuery(arn)
	q.Set("after", strconv.FormatInt(after, 10))
	resp, err := c.call(ctx, watch, q, nil)
	if errors.Is(err, errEmpty) {
		return Sleep(ctx, awsPoll)
	}
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Sleep waits between two requests of a caller that polls a server. It returns the context's error if the context is done earlier.
func Sleep(ctx context.Context, d time.Duration) error {
	return smithytime.SleepWithContext(ctx, d)
}

// KeepsLogs returns an error if the server does not store the logs of jobs. It sends no request, so that nil can also mean that
// this is unknown.
func (c *Client) KeepsLogs(ctx context.Context) error {
	if c.kind != amazon {
		return nil
	}
	return c.missing(ctx, logs, logs.fallbacks[amazon], nil)
}

// Logs lists the stored logs of an execution's tasks.
func (c *Client) Logs(ctx context.Context, arn string) ([]engine.LogInfo, error) {
	var out struct{ Logs []engine.LogInfo }
	_, err := c.get(ctx, logs, executionQuery(arn), &out)
	return out.Logs, err
}

// OpenLog opens a log. It returns engine.ErrNoLog if there is none.
func (c *Client) OpenLog(ctx context.Context, arn string, l engine.LogQuery) (io.ReadCloser, error) {
	q := executionQuery(arn)
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
	_, err := c.get(ctx, pending, executionQuery(arn), &out)
	return out.Pending, err
}

// CleanupReport returns the cleanup report of an execution, oldest entry first. The history does not contain it.
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
	_, err := c.get(ctx, aftermath, executionQuery(arn), &out)
	var all []engine.CleanupEntry
	for _, d := range out.Aftermath {
		all = append(all, engine.CleanupEntry{
			Time: d.Timestamp, Type: d.Type, State: d.Stopped.Name, Resource: d.Stopped.Resource,
			Outcome: d.Stopped.Outcome, Attempt: d.Stopped.Attempt, Execution: d.Cleanup.Execution,
		})
	}
	return all, err
}

// PendingEffects returns the number of pending effects of an execution, such as jobs to stop.
func (c *Client) PendingEffects(ctx context.Context, arn string) (int, error) {
	var out struct{ Left int }
	_, err := c.get(ctx, left, executionQuery(arn), &out)
	return out.Left, err
}

// Origin returns what came over the network of an execution, a value of task.OriginLabel, "" if nothing did.
func (c *Client) Origin(ctx context.Context, arn string) (string, error) {
	var out struct{ Origin string }
	_, err := c.get(ctx, origin, executionQuery(arn), &out)
	return out.Origin, err
}

// Interrupted returns the open executions that no process drives, by ARN. The value is the reason if the execution is parked,
// otherwise "". known is false if the server cannot report this.
func (c *Client) Interrupted(ctx context.Context) (arns map[string]string, known bool, err error) {
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

// resumeBatch is the number of executions in one request. An ARN has at most about 200 bytes, and a server accepts a header of 32
// KiB.
const resumeBatch = 100

// Resume makes the server drive executions that no process drives: the given ones, or all if none is given.
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

// Code returns the code with which an execution started, nil if the server does not store it.
func (c *Client) Code(ctx context.Context, arn string) (all []snapshot.Snapshot, err error) {
	_, err = c.get(ctx, code, executionQuery(arn), &all)
	return all, err
}

// CodeUsers returns the executions that use each package of code, nil if the server does not report this.
func (c *Client) CodeUsers(ctx context.Context) (users map[string][]string, err error) {
	_, err = c.get(ctx, code, nil, &users)
	return users, err
}

// AddCode names directories that belong to the code of an execution that is about to start, but are not in its definition. Other
// servers than the owner of the state directory do not get them.
func (c *Client) AddCode(ctx context.Context, arn string, sources []snapshot.Source) error {
	if len(sources) == 0 {
		return nil
	}
	return c.post(ctx, nameCode, executionQuery(arn), sources)
}

// MissingSecrets returns the environment variables that an execution needs and whose values its owner does not have.
func (c *Client) MissingSecrets(ctx context.Context, arn string) (names []string, err error) {
	_, err = c.get(ctx, wantedSecrets, executionQuery(arn), &names)
	return names, err
}

// SendSecrets passes the values of environment variables to the owner of the state directory, which keeps them in memory.
func (c *Client) SendSecrets(ctx context.Context, arn string, values map[string]string) error {
	if len(values) == 0 {
		return nil
	}
	return c.post(ctx, giveSecrets, executionQuery(arn), values)
}

// ConsoleLink returns a link that signs one browser in at the console of the state directory's owner, "" if the owner does not
// serve a console.
func (c *Client) ConsoleLink(ctx context.Context) (string, error) {
	var out struct{ Link string }
	_, err := c.get(ctx, consoleLink, nil, &out)
	return out.Link, err
}
