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

// Status is the status of a job, as Ray names it.
type Status string

// Statuses of jobs.
const (
	Pending   Status = "PENDING"
	Running   Status = "RUNNING"
	Stopped   Status = "STOPPED"
	Succeeded Status = "SUCCEEDED"
	FailedJob Status = "FAILED"
)

// Terminal reports whether the job has ended. Unknown statuses, of later releases, are not terminal.
func (s Status) Terminal() bool { return s == Stopped || s == Succeeded || s == FailedJob }

// Submission describes a job to submit. Empty fields are not sent, because older releases reject unknown fields.
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

// Millis is a Unix time in milliseconds. 0 means that Ray has no time.
type Millis int64

// UnmarshalJSON also accepts null and fractions, which some releases send.
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

// Time returns m as a time. It is zero if m is 0.
func (m Millis) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(m))
}

// Driver is the process of a job that called ray.init.
type Driver struct {
	ID            string `json:"id"`
	NodeIPAddress string `json:"node_ip_address"`
	PID           string `json:"pid"`
}

// Job is Ray's record of a job.
type Job struct {
	Type                   string            `json:"type"` // SUBMISSION, or DRIVER for a script that was not submitted as a job
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

// Started reports whether the driver has started. It uses only the status, because some releases do not report the driver's node.
func (j Job) Started() bool { return j.Status != Pending && j.Status != "" }

// Submit submits a job. If a job with this submission_id already exists, existed is true, and the caller can read that job with Get. So it
// is safe to repeat a submission whose response was lost.
func (c *Client) Submit(ctx context.Context, s Submission) (id string, existed bool, err error) {
	body, err := encoded(s)
	if err != nil {
		return "", false, c.fail("submit the job", Invalid, 0, "", err)
	}
	var response struct {
		SubmissionID string `json:"submission_id"`
	}
	err = c.do(ctx, call{
		op: "submit the job", method: http.MethodPost, path: "/api/jobs/", body: body, size: body.Size(),
		kind: "application/json", timeout: submitTimeout, read: decodeInto(&response),
	})
	if KindOf(err) == duplicate {
		return s.SubmissionID, true, nil
	}
	return response.SubmissionID, false, err
}

// Get returns the job with a submission id.
func (c *Client) Get(ctx context.Context, id string) (Job, error) {
	var job Job
	err := c.do(ctx, call{op: "read the job", method: http.MethodGet, path: jobPath(id), read: decodeInto(&job)})
	if err == nil && job.Status == "" {
		err = c.fail("read the job", NotRay, http.StatusOK, "", errors.New("the response contains no status"))
	}
	return job, err
}

// List returns all jobs, in no particular order. It costs Ray about 0.5 ms of CPU per job.
func (c *Client) List(ctx context.Context) ([]Job, error) {
	var jobs []Job
	err := c.do(ctx, call{
		op: "list the jobs", method: http.MethodGet, path: "/api/jobs/", timeout: submitTimeout, read: decodeInto(&jobs),
	})
	return jobs, err
}

// RequestStop requests the stop of a job and does not wait until the job has ended. It returns false if the job has already ended. For a
// short time after the end, while the job's supervisor still exists, it returns true.
func (c *Client) RequestStop(ctx context.Context, id string) (bool, error) {
	var response struct {
		Stopped bool `json:"stopped"`
	}
	err := c.do(ctx, call{
		op: "stop the job", method: http.MethodPost, path: jobPath(id) + "/stop", read: decodeInto(&response),
	})
	return response.Stopped, err
}

// Delete deletes the record of a job that has ended, and everything else that Ray has stored about it, except for its log file.
func (c *Client) Delete(ctx context.Context, id string) error {
	return c.do(ctx, call{op: "delete the job", method: http.MethodDelete, path: jobPath(id)})
}

func jobPath(id string) string { return "/api/jobs/" + url.PathEscape(id) }

// pause waits for d, or returns the cause of ctx if ctx ends first.
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

// Retry calls act until it succeeds or fails with an error that is not temporary. It gives up when grace has passed since the first
// failure. The interval between calls grows from 0.1 s to 2 s.
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
			return fmt.Errorf("%w (retried for %s)", err, grace)
		} else if pause(ctx, min(wait, left)) != nil {
			return err
		}
	}
}
