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

// A Ray job that a definition follows by calls prints into no pod of ours. Whoever wants to read its log while it runs, or
// when Ray has gone, needs somebody who reads it meanwhile: from the first call that submits it or looks at it, a follower
// streams the log into that call's own, which stays open for it. The calls themselves tell it when the job has ended, so
// that it asks for nothing that the definition does not ask for anyway.
//
// It is a service to people: no result depends on it, and what it cannot read it says in the log and leaves out.

// rayJob is a job of Ray as calls name it.
type rayJob struct {
	proxy string // the path of the dashboard through the API server, without a / at the end
	id    string
	ended bool
}

var (
	jobsPath   = regexp.MustCompile(`^(/api/v1/namespaces/[^/]+/services/[^/]+/proxy)/api/jobs/([^/]*)$`)
	rayJobPath = regexp.MustCompile(`^/apis/ray\.io/v1/namespaces/([^/]+)/rayjobs/[^/]+$`)
)

// rayJobOf tells which Ray job a call submitted or looked at.
func rayJobOf(r kube.Request, answer []byte) (rayJob, bool) {
	path, err := url.Parse(r.Path)
	if err != nil {
		return rayJob{}, false
	}
	if m := jobsPath.FindStringSubmatch(path.Path); m != nil {
		return jobOfAPI(r, m[1], m[2], answer)
	}
	if m := rayJobPath.FindStringSubmatch(path.Path); m != nil && r.Method == http.MethodGet {
		return jobOfKubeRay(m[1], answer)
	}
	return rayJob{}, false
}

func jobOfAPI(r kube.Request, proxy, id string, answer []byte) (rayJob, bool) {
	switch {
	case r.Method == http.MethodPost && id == "":
		var submission struct {
			ID string `json:"submission_id"`
		}
		err := json.Unmarshal(r.Body, &submission)
		return rayJob{proxy: proxy, id: submission.ID}, err == nil && submission.ID != ""
	case r.Method == http.MethodGet && id != "":
		var details struct{ Status string }
		err := json.Unmarshal(answer, &details)
		return rayJob{proxy: proxy, id: id, ended: ended(details.Status)}, err == nil
	}
	return rayJob{}, false
}

func jobOfKubeRay(namespace string, answer []byte) (rayJob, bool) {
	var o struct {
		Status struct{ JobID, JobStatus, JobDeploymentStatus, RayClusterName string }
	}
	if json.Unmarshal(answer, &o) != nil || o.Status.JobStatus == "" || o.Status.RayClusterName == "" {
		return rayJob{}, false
	}
	head := kube.ObjectPath("v1", namespace, "services", kube.HeadService(o.Status.RayClusterName)+":8265") + "/proxy"
	over := ended(o.Status.JobStatus) || o.Status.JobDeploymentStatus == "Failed"
	return rayJob{proxy: head, id: o.Status.JobID, ended: over}, true
}

func ended(status string) bool {
	return status == "SUCCEEDED" || status == "FAILED" || status == "STOPPED"
}

// followers are the followers of a Runner.
type followers struct {
	mu      sync.Mutex
	of      map[string]*follower // by proxy and id; nil values have ended
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// follower reads one job's log.
type follower struct {
	job    rayJob
	client *kube.Client
	log    *joblog.Log
	lines  int // that were passed on
	over   chan struct{}
	seen   time.Time   // when a call last asked for the job; guarded by followers.mu
	left   func() bool // nobody asks for it any more
}

// observe starts, feeds or ends the follower of the job that a call was about.
func (f *followers) observe(c *kube.Client, req *task.Request, r kube.Request, answer []byte, failed error) {
	if req.HoldLog == nil {
		return
	}
	job, ok := rayJobOf(r, answer)
	if !ok && kube.NotFound(failed) { // the head was replaced, and knows the job no more
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

func (f *follower) end() {
	select {
	case <-f.over:
	default:
		close(f.over)
	}
}

// begin runs the follower on the log of the call that it was seen by first. The caller holds mu.
func (f *followers) begin(key string, one *follower, req *task.Request) {
	release := req.HoldLog()
	one.log = joblog.New(req.Log, joblog.Redactor{})
	if known := logged(req.Log.Position()); known.ID == one.job.id { // this call was made by a former process, too
		one.log.From(req.Log.Position())
		one.lines = known.Lines
	}
	one.log.Own = func(line string) (string, bool) { return line, line != "" || !one.log.Marked() } // the wrapper's, round the output
	f.running.Go(func() {
		defer release()
		one.left = func() bool { return f.abandoned(one) }
		one.follow(f.ctx)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.of[key] = nil // a job that has ended is looked at some more
	})
}

// abandoned tells of a job that nobody has asked for in the time in which a definition would have: it was aborted.
func (f *followers) abandoned(one *follower) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Since(one.seen) > abandonAfter
}

// Close ends the followers; jobs and tasks go on. Call it before the engine is closed, whose logs they write.
func (f *followers) close() {
	f.cancel()
	f.running.Wait()
}

const (
	// abandonAfter is more than a definition waits between two looks, until a job has run for a day.
	abandonAfter = 15 * time.Minute
	// quiet is how long the log of an ended job must bring nothing more: Ray passes lines on each half second.
	quiet = 1500 * time.Millisecond
)

// follow reads the log until the job has ended and the log is quiet.
func (f *follower) follow(ctx context.Context) {
	for ctx.Err() == nil {
		over := f.isOver() // before the reading, which then has all of it
		err := f.stream(ctx)
		var refused *kube.StatusError
		if errors.As(err, &refused) && (refused.Code == 401 || refused.Code == 403) {
			f.log.Note("rayorch: no log: " + err.Error())
			return
		}
		if over || f.isOver() && err == nil || f.left() {
			return // what does not come right after the end will not come
		}
		select { // the head restarts, or the driver has not started yet
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// rayPosition is the position in a Ray job's log.
type rayPosition struct {
	ID    string
	Lines int
}

func (p rayPosition) encode() []byte {
	data, _ := json.Marshal(p) // plain fields: it cannot fail
	return data
}

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

// stream reads the log once from its beginning, passing on what was not passed on before.
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
	heard := make(chan struct{}, 1)
	defer f.hangUp(ctx, cancel, heard)()
	n := 0
	err = kube.EachLine(log, func(line string) {
		if n++; n > f.lines {
			f.lines = n
			f.log.Line(line, rayPosition{f.job.id, n}.encode())
		}
		select {
		case heard <- struct{}{}:
		default:
		}
	})
	if errors.Is(err, context.Canceled) && f.isOver() {
		return nil
	}
	return err
}

// hangUp ends a stream, which Ray never does, when the job has ended and nothing more comes.
func (f *follower) hangUp(ctx context.Context, cancel func(), heard <-chan struct{}) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !f.isOver() {
			select {
			case <-f.over:
			case <-ctx.Done():
				return
			case <-time.After(abandonAfter / 5):
				if f.left() {
					cancel()
					return
				}
			}
		}
		for {
			select {
			case <-heard:
			case <-time.After(quiet):
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

// node is where the driver runs, which Ray's API wants to know.
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
