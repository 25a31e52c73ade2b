package ray

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Status is a job's, in Ray's own words.
type Status string

// The statuses.
const (
	Pending   Status = "PENDING"
	Running   Status = "RUNNING"
	Stopped   Status = "STOPPED"
	Succeeded Status = "SUCCEEDED"
	FailedJob Status = "FAILED"
)

// Terminal tells whether the job has ended. A status of a later release counts as not ended.
func (s Status) Terminal() bool { return s == Stopped || s == Succeeded || s == FailedJob }

// Submission is a job to submit. Empty fields are not sent, as older releases reject keys that they do not know.
type Submission struct {
	SubmissionID  string             `json:"submission_id,omitempty"`
	Entrypoint    string             `json:"entrypoint"`
	RuntimeEnv    map[string]any     `json:"runtime_env,omitempty"`
	Metadata      map[string]string  `json:"metadata,omitempty"`
	NumCPUs       float64            `json:"entrypoint_num_cpus,omitempty"`
	NumGPUs       float64            `json:"entrypoint_num_gpus,omitempty"`
	Memory        int64              `json:"entrypoint_memory,omitempty"` // bytes
	Resources     map[string]float64 `json:"entrypoint_resources,omitempty"`
	LabelSelector map[string]string  `json:"entrypoint_label_selector,omitempty"`
}

// Millis is a time as Ray gives it, in milliseconds since 1970; 0 when Ray has none.
type Millis int64

// UnmarshalJSON takes null and fractions, both of which releases have sent.
func (m *Millis) UnmarshalJSON(data []byte) error {
	var f *float64
	if err := json.Unmarshal(data, &f); err != nil {
		return err
	}
	if f != nil && *f > 0 && *f < 1e15 {
		*m = Millis(*f)
	}
	return nil
}

// Time is zero when Ray has none.
func (m Millis) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(m))
}

// Driver is the process that called ray.init in a job.
type Driver struct {
	ID            string `json:"id"`
	NodeIPAddress string `json:"node_ip_address"`
	PID           string `json:"pid"`
}

// Job is a job's record in Ray.
type Job struct {
	Type                   string            `json:"type"` // SUBMISSION, or DRIVER for a script that ran by itself
	JobID                  string            `json:"job_id"`
	SubmissionID           string            `json:"submission_id"`
	DriverInfo             *Driver           `json:"driver_info"`
	Status                 Status            `json:"status"`
	Entrypoint             string            `json:"entrypoint"`
	Message                string            `json:"message"`
	ErrorType              string            `json:"error_type"`
	StartTime              Millis            `json:"start_time"` // when Ray accepted the job
	EndTime                Millis            `json:"end_time"`
	Metadata               map[string]string `json:"metadata"`
	RuntimeEnv             map[string]any    `json:"runtime_env"`
	DriverAgentHTTPAddress string            `json:"driver_agent_http_address"`
	DriverNodeID           string            `json:"driver_node_id"`
	DriverExitCode         *int              `json:"driver_exit_code"`
}

// Started tells whether Ray has run the driver. A release that knows no node of the driver says so by its status.
func (j Job) Started() bool { return j.Status != Pending && j.Status != "" }

// Submit submits a job. A submission_id that Ray already holds is no error: existed says so, and the caller reads with
// Get which job it is. So a submit whose answer was lost may be sent again.
func (c *Client) Submit(ctx context.Context, s Submission) (id string, existed bool, err error) {
	body, err := encoded(s)
	if err != nil {
		return "", false, c.fail("submit the job", Invalid, 0, "", err)
	}
	var answer struct {
		SubmissionID string `json:"submission_id"`
	}
	err = c.do(ctx, call{
		op: "submit the job", method: http.MethodPost, path: "/api/jobs/", body: body, size: body.Size(),
		kind: "application/json", timeout: submitTimeout, read: decodeInto(&answer),
	})
	if KindOf(err) == duplicate {
		return s.SubmissionID, true, nil
	}
	return answer.SubmissionID, false, err
}

// Get reads one job by its submission id.
func (c *Client) Get(ctx context.Context, id string) (Job, error) {
	var job Job
	err := c.do(ctx, call{op: "read the job", method: http.MethodGet, path: jobPath(id), read: decodeInto(&job)})
	if err == nil && job.Status == "" {
		err = c.fail("read the job", NotRay, http.StatusOK, "", errors.New("the answer has no status"))
	}
	return job, err
}

// List reads all jobs, in no order. It costs Ray about half a millisecond of CPU a record.
func (c *Client) List(ctx context.Context) ([]Job, error) {
	var jobs []Job
	err := c.do(ctx, call{
		op: "list the jobs", method: http.MethodGet, path: "/api/jobs/", timeout: submitTimeout, read: decodeInto(&jobs),
	})
	return jobs, err
}

// RequestStop asks Ray to stop a job and does not wait. Ray answers false for a job that has ended,
// but true for the moment that its supervisor outlives it.
func (c *Client) RequestStop(ctx context.Context, id string) (bool, error) {
	var answer struct {
		Stopped bool `json:"stopped"`
	}
	err := c.do(ctx, call{
		op: "stop the job", method: http.MethodPost, path: jobPath(id) + "/stop", read: decodeInto(&answer),
	})
	return answer.Stopped, err
}

// Delete removes the record of a job that has ended, with Ray's other knowledge of it; its log file stays.
func (c *Client) Delete(ctx context.Context, id string) error {
	return c.do(ctx, call{op: "delete the job", method: http.MethodDelete, path: jobPath(id)})
}

func jobPath(id string) string { return "/api/jobs/" + url.PathEscape(id) }

// pause waits d or until ctx ends; then it says why.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Retry repeats act while its error is temporary, for grace after the first failure, ever more slowly.
func Retry(ctx context.Context, grace time.Duration, act func(context.Context) error) error {
	var failing time.Time
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		err := act(ctx)
		if err == nil || !Temporary(err) || ctx.Err() != nil {
			return err
		}
		if failing.IsZero() {
			failing = time.Now()
		}
		if left := grace - time.Since(failing); left <= 0 {
			return fmt.Errorf("%w (tried for %s)", err, grace)
		} else if pause(ctx, min(wait, left)) != nil {
			return err
		}
	}
}
