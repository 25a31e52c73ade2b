package ekstask

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"sync"
	"time"

	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/joblog"
)

// Logs of Ray jobs that a definition submits and polls with eks:call (modes proxy and rayjob).
//
// Such a job does not print into a pod of a Task, so its log would be unavailable while the job runs, and lost with the Ray cluster. So
// a follower streams the log into the log of the first call that submits or reads the job. That log stays open after the call has
// ended (task.Request.HoldLog). The follower learns from later calls of the definition that the job has ended.
//
// The logs are only for users: no result depends on them. If a log cannot be read, a note in the log says so.

// rayJob is a Ray job that a call refers to.
type rayJob struct {
	proxy string // path of Ray's dashboard through the API server's proxy, without a trailing slash
	id    string
	ended bool
}

var (
	jobsPath   = regexp.MustCompile(`^(/api/v1/namespaces/[^/]+/services/[^/]+/proxy)/api/jobs/([^/]*)$`)
	rayJobPath = regexp.MustCompile(`^/apis/ray\.io/v1/namespaces/([^/]+)/rayjobs/[^/]+$`)
)

// rayJobOf returns the Ray job that a call submitted or read, and false if there is none.
func rayJobOf(r kube.Request, response []byte) (rayJob, bool) {
	path, err := url.Parse(r.Path)
	if err != nil {
		return rayJob{}, false
	}
	if m := jobsPath.FindStringSubmatch(path.Path); m != nil {
		return jobOfAPI(r, m[1], m[2], response)
	}
	if m := rayJobPath.FindStringSubmatch(path.Path); m != nil && r.Method == http.MethodGet {
		return jobOfKubeRay(m[1], response)
	}
	return rayJob{}, false
}

// jobOfAPI returns the job of a call of Ray's Jobs API.
func jobOfAPI(r kube.Request, proxy, id string, response []byte) (rayJob, bool) {
	switch {
	case r.Method == http.MethodPost && id == "":
		var submission struct {
			ID string `json:"submission_id"`
		}
		err := json.Unmarshal(r.Body, &submission)
		return rayJob{proxy: proxy, id: submission.ID}, err == nil && submission.ID != ""
	case r.Method == http.MethodGet && id != "":
		var details struct{ Status string }
		err := json.Unmarshal(response, &details)
		return rayJob{proxy: proxy, id: id, ended: ended(details.Status)}, err == nil
	}
	return rayJob{}, false
}

// jobOfKubeRay returns the job of a call that read a RayJob object.
func jobOfKubeRay(namespace string, response []byte) (rayJob, bool) {
	var o struct {
		Status struct{ JobID, JobStatus, JobDeploymentStatus, RayClusterName string }
	}
	if json.Unmarshal(response, &o) != nil || o.Status.JobStatus == "" || o.Status.RayClusterName == "" {
		return rayJob{}, false
	}
	head := kube.ObjectPath("v1", namespace, "services", kube.HeadService(o.Status.RayClusterName)+":8265") + "/proxy"
	over := ended(o.Status.JobStatus) || o.Status.JobDeploymentStatus == "Failed"
	return rayJob{proxy: head, id: o.Status.JobID, ended: over}, true
}

// ended reports whether a status of Ray is final.
func ended(status string) bool {
	return status == "SUCCEEDED" || status == "FAILED" || status == "STOPPED"
}

// followers are the followers of a Runner.
type followers struct {
	mu      sync.Mutex
	of      map[string]*follower // by proxy and id of the job; nil if the follower has ended
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// follower streams the log of one job.
type follower struct {
	job       rayJob
	client    *kube.Client
	log       *joblog.Log
	lines     int           // number of lines that were passed on
	over      chan struct{} // closed when the job has ended
	seen      time.Time     // time of the last call for the job; guarded by followers.mu
	abandoned func() bool   // whether there are no more calls for the job
}

// observe starts, updates or ends the follower of the job that a call was about. failed is the error of the call.
func (f *followers) observe(c *kube.Client, req *task.Request, r kube.Request, response []byte, failed error) {
	if req.HoldLog == nil {
		return
	}
	job, ok := rayJobOf(r, response)
	if !ok && kube.NotFound(failed) { // the Ray head was replaced, and its jobs were lost
		if m := jobsPath.FindStringSubmatch(r.Path); m != nil {
			job, ok = rayJob{proxy: m[1], id: m[2], ended: true}, true
		}
	}
	if !ok || failed != nil && !job.ended {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx.Err() != nil {
		return
	}
	key := job.proxy + " " + job.id
	known, was := f.of[key]
	if !was && failed == nil {
		known = &follower{job: job, client: c, over: make(chan struct{})}
		f.of[key] = known
		f.begin(key, known, req)
	}
	if known == nil {
		return
	}
	known.seen = time.Now()
	if job.ended {
		known.end()
	}
}

// end notifies the follower that the job has ended. The caller holds followers.mu.
func (f *follower) end() {
	select {
	case <-f.over:
	default:
		close(f.over)
	}
}

// begin starts the follower, which writes to the log of the call req. The caller holds mu.
func (f *followers) begin(key string, one *follower, req *task.Request) {
	release := req.HoldLog()
	one.log = joblog.New(req.Log, joblog.Redactor{})
	if known := logged(req.Log.Position()); known.ID == one.job.id { // a previous rayorch process has already written to this log
		one.log.From(req.Log.Position())
		one.lines = known.Lines
	}
	one.log.Own = func(line string) (string, bool) { return line, line != "" || !one.log.Marked() } // drops the empty lines that rayorch's shell code prints after the output
	f.running.Go(func() {
		defer release()
		one.abandoned = func() bool { return f.isAbandoned(one) }
		one.follow(f.ctx)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.of[key] = nil // not deleted: later calls for the job must not start another follower
	})
}

// isAbandoned reports whether there was no call for the job for abandonAfter. That means that the execution was aborted.
func (f *followers) isAbandoned(one *follower) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Since(one.seen) > abandonAfter
}

// close ends the followers. It does not affect jobs and tasks.
func (f *followers) close() {
	f.cancel()
	f.running.Wait()
}

const (
	// abandonAfter is longer than the interval between the calls of a definition, unless the job has run for more than a day.
	abandonAfter = 15 * time.Minute
	// quietTime is how long the log of an ended job must return no lines to be complete. Ray returns new lines every 0.5 s.
	quietTime = 1500 * time.Millisecond
)

// follow reads the log until the job has ended and the log is complete.
func (f *follower) follow(ctx context.Context) {
	for ctx.Err() == nil {
		over := f.isOver() // if the job has ended before stream starts, stream reads the complete log
		err := f.stream(ctx)
		var refused *kube.StatusError
		if errors.As(err, &refused) && (refused.Code == 401 || refused.Code == 403) {
			f.log.Note("rayorch: cannot read the log of the Ray job " + f.job.id + ": " + err.Error())
			return
		}
		if over || f.isOver() && err == nil || f.abandoned() {
			return
		}
		select { // try again: the Ray head restarts, or the driver has not started yet
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// rayPosition is a position in the log of a Ray job.
type rayPosition struct {
	ID    string
	Lines int
}

func (p rayPosition) encode() []byte {
	data, _ := json.Marshal(p) // cannot fail for a string and an int
	return data
}

// logged decodes a position. It returns the zero position if there is none.
func logged(position []byte) rayPosition {
	var p rayPosition
	if json.Unmarshal(position, &p) != nil {
		return rayPosition{}
	}
	return p
}

func (f *follower) isOver() bool {
	select {
	case <-f.over:
		return true
	default:
		return false
	}
}

// stream reads the log from its beginning, and passes on the lines that were not passed on before.
func (f *follower) stream(ctx context.Context) error {
	node, err := f.node(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	log, err := f.client.Stream(ctx, kube.Request{Path: f.job.proxy + "/api/v0/logs/stream", Query: url.Values{
		"filename": {"job-driver-" + f.job.id + ".log"}, "node_id": {node}, "lines": {"-1"}, "interval": {"0.5"},
	}})
	if err != nil {
		return err
	}
	defer log.Close()
	activity := make(chan struct{}, 1)
	defer f.cancelWhenComplete(ctx, cancel, activity)()
	n := 0
	err = kube.EachLine(log, func(line string) {
		if n++; n > f.lines {
			f.lines = n
			f.log.Line(line, rayPosition{f.job.id, n}.encode())
		}
		select {
		case activity <- struct{}{}:
		default:
		}
	})
	if errors.Is(err, context.Canceled) && f.isOver() {
		return nil
	}
	return err
}

// cancelWhenComplete cancels a stream when the job has ended and the stream has returned no lines for quietTime, because Ray does not end
// streams. activity signals new lines. The returned function cancels the stream and waits for the goroutine.
func (f *follower) cancelWhenComplete(ctx context.Context, cancel func(), activity <-chan struct{}) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !f.isOver() {
			select {
			case <-f.over:
			case <-ctx.Done():
				return
			case <-time.After(abandonAfter / 5):
				if f.abandoned() {
					cancel()
					return
				}
			}
		}
		for {
			select {
			case <-activity:
			case <-time.After(quietTime):
				cancel()
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}

var errNotStarted = errors.New("the driver has not started yet")

// node returns the id of the node on which the driver runs. Ray's log API requires it.
func (f *follower) node(ctx context.Context) (string, error) {
	res, err := f.client.Do(ctx, kube.Request{Path: f.job.proxy + "/api/jobs/" + url.PathEscape(f.job.id)})
	if err != nil {
		return "", err
	}
	var details struct {
		Node string `json:"driver_node_id"`
	}
	if err := json.Unmarshal(res.Body, &details); err != nil {
		return "", err
	}
	if details.Node == "" {
		return "", errNotStarted
	}
	return details.Node, nil
}
