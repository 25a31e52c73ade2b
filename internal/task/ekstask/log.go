package ekstask

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/joblog"
)

// jobLog is the log of an attempt: the output of the containers, and notes of the runner. It is safe for concurrent use.
type jobLog struct {
	mu   sync.Mutex
	log  *joblog.Log
	seen map[string]*seenLines // by container
}

// seenLines records which lines of a container's log were passed on. A new stream can start only at a full second. It returns lines in
// the order of the container's log, in which lines can have equal times, and those of standard output and standard error can be out of
// order by time. So a time does not identify a line. seenLines counts the lines of the last two seconds, and skips as many at the start
// of a new stream.
type seenLines struct {
	Last time.Time // time of the latest line
	N    [2]int    // number of lines in the second before that of Last, and in the second of Last
	read [2]int    // number of these lines that the current stream has returned
}

// since returns the time at which a new stream must start: the second before that of Last.
func (s *seenLines) since() time.Time {
	if s.Last.IsZero() {
		return s.Last
	}
	return s.Last.Truncate(time.Second).Add(-time.Second)
}

// index returns the index of a time's second in N. It is negative for an earlier second, and more than 1 for a later one.
func (s *seenLines) index(at time.Time) int {
	return int(max(at.Truncate(time.Second).Sub(s.since())/time.Second, -1))
}

// skip reports whether a previous stream has already passed on the next line of this stream, which has the time at. If not, it counts the
// line.
func (s *seenLines) skip(at time.Time) bool {
	if s.read[0]+s.read[1] < s.N[0]+s.N[1] && !at.After(s.Last) {
		if n := s.index(at); n >= 0 {
			s.read[n]++
		}
		return true
	}
	s.N = s.read // fewer than before if the container's log was rotated
	switch n := s.index(at); {
	case n > 2:
		s.N = [2]int{}
	case n == 2:
		s.N = [2]int{s.N[1], 0}
	}
	if at.After(s.Last) {
		s.Last = at
	}
	if n := s.index(at); n >= 0 {
		s.N[n]++
	}
	s.read = s.N
	return false
}

// UnmarshalJSON also decodes the format of older releases: only the time of the last line.
func (s *seenLines) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, &s.Last); err == nil {
		s.N[0] = math.MaxInt // skip all lines up to this time
		return nil
	}
	type plain seenLines
	return json.Unmarshal(data, (*plain)(s))
}

// newJobLog returns the log of an attempt. It continues at the position that a previous rayorch process stored.
func newJobLog(req *task.Request) *jobLog {
	l := &jobLog{}
	position := req.Log.Position()
	l.log = joblog.New(req.Log, joblog.Redactor{}).From(position)
	if position == nil {
		position = req.Records[keyLogged]
	}
	if json.Unmarshal(position, &l.seen) != nil || l.seen == nil {
		l.seen = map[string]*seenLines{}
	}
	return l
}

// note adds a line of the runner, with the prefix "rayorch: ".
func (l *jobLog) note(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.log.Note("rayorch: " + text)
}

// begin prepares for a new stream of a container's log, and returns the time at which the stream must start.
func (l *jobLog) begin(container string) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen[container] == nil {
		l.seen[container] = &seenLines{}
	}
	l.seen[container].read = [2]int{}
	return l.seen[container].since()
}

// line passes on a line of a container's log, unless a previous stream has already passed it on.
func (l *jobLog) line(container, prefix string, line kube.Line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !line.At.IsZero() && l.seen[container].skip(line.At) {
		return
	}
	position, _ := json.Marshal(l.seen) // cannot fail for times and numbers
	l.log.Line(prefix+line.Text, position)
}

// tailer passes on the logs of a Job's pods while they run, and reports why they do not run.
type tailer struct {
	a      *attempt
	job    kube.Job
	cancel context.CancelFunc
	poller sync.WaitGroup
	tails  sync.WaitGroup
	wake   chan struct{} // signals the poller that a container has ended
	since  time.Time     // since when there is no active pod; only for the poller
	early  func()        // ends the wait for a Job that ends early; nil for other Jobs

	mu        sync.Mutex
	live      map[string]bool // containers whose log is being read
	reason    kube.Reason     // why the pods do not run
	ran       bool            // whether a pod has started
	active    bool            // whether there is an active pod
	succeeded bool            // whether a pod of a Job that ends early has succeeded
	awaits    map[string]bool // pods that are watched for their success
	done      map[string]bool // containers whose log has been read to its end
}

const (
	// firstPoll is the interval between polls of the pods while containers start or end.
	firstPoll = 300 * time.Millisecond
	// lastPoll is the maximum interval. The interval doubles while nothing changes.
	lastPoll = 5 * time.Second
	// explainAfter is how long the pods may take to start before the tailer looks for the reason.
	explainAfter = 2 * time.Second
)

// tail starts a tailer for a Job. The caller must call finish.
func (a *attempt) tail(ctx context.Context, job kube.Job, early func()) *tailer {
	ctx, cancel := context.WithCancel(ctx)
	t := &tailer{a: a, job: job, cancel: cancel, wake: make(chan struct{}, 1), live: map[string]bool{}, done: map[string]bool{}}
	if endsEarly(job) {
		t.early, t.awaits = early, map[string]bool{}
	}
	t.poller.Go(func() { t.poll(ctx) })
	return t
}

// finish stops the tailer. If rest is set, it first reads all logs to their end. It returns the last known reason why the Job did not run.
func (t *tailer) finish(ctx context.Context, rest bool) kube.Reason {
	early := t.hasSucceeded()
	if rest && !early {
		t.drain(ctx)
	}
	t.cancel()
	t.poller.Wait()
	t.tails.Wait()
	if rest && early {
		t.readRest(ctx)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reason.Ran = t.ran
	return t.reason
}

// drainWait is how long reading the end of the logs of an ended Job may take. The kubelet usually returns it immediately, unless the
// node is busy.
const drainWait = 30 * time.Second

// drain waits until all logs have been read to their end.
func (t *tailer) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainWait)
	defer cancel()
	_, _ = t.scan(ctx) // finds containers that started and ended since the last poll
	for ctx.Err() == nil {
		t.mu.Lock()
		n := len(t.live)
		t.mu.Unlock()
		if n == 0 {
			return
		}
		_ = sleep(ctx, 20*time.Millisecond)
	}
}

// poll polls the pods of the Job until ctx ends. It starts reading logs, and reports why pods do not start.
func (t *tailer) poll(ctx context.Context) {
	wait, began := firstPoll, time.Now()
	for {
		settled, err := t.scan(ctx)
		if err == nil {
			t.checkIdle(ctx)
		}
		switch {
		case kube.Code(err) == 403:
			t.a.log.note("the log is not available while the job runs: " + err.Error())
			return
		case err != nil:
			wait = min(2*wait, lastPoll)
		case settled:
			t.clearReason()
			wait = min(2*wait, lastPoll)
		default:
			wait = firstPoll
			if time.Since(began) > explainAfter {
				t.explain(ctx)
				wait = lastPoll / 2
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-t.wake:
			wait = firstPoll
		case <-time.After(wait):
		}
	}
}

// scan lists the pods and starts reading the logs of new containers. It returns true if there are pods and all of them have started.
func (t *tailer) scan(ctx context.Context) (settled bool, err error) {
	pods, err := t.a.client.PodsOf(ctx, t.job)
	if err != nil {
		return false, err
	}
	t.mu.Lock()
	t.active = slices.ContainsFunc(pods, active)
	t.mu.Unlock()
	settled = len(pods) > 0
	for i := range pods {
		p := &pods[i]
		started := false
		for _, s := range p.Containers() {
			if s.State.Running != nil || s.State.Terminated != nil {
				started = true
				t.start(ctx, p, s)
			}
		}
		settled = settled && started
		t.mu.Lock()
		t.ran = t.ran || p.Started()
		t.mu.Unlock()
	}
	t.awaitSuccess(ctx, pods)
	return settled, nil
}

// clearReason withdraws the reason why the pods do not run.
func (t *tailer) clearReason() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reason.Why != "" {
		t.reason = kube.Reason{}
		t.a.report("")
		t.a.req.Waits("", t.job.Metadata.CreationTimestamp)
	}
}

// explain finds the reason why the pods do not run, and reports it if it has changed.
func (t *tailer) explain(ctx context.Context) {
	why, err := t.a.client.Why(ctx, t.job)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil || why.Why == "" || why.Why == t.reason.Why {
		return
	}
	t.reason = why
	t.a.log.note("waiting: " + why.Why)
	t.a.report(why.Why)
	t.a.req.Waits(why.Why, t.job.Metadata.CreationTimestamp)
}

// stream identifies the log of one run of a container. key is unique in the Job. prefix precedes each line if the pod has several
// containers.
type stream struct{ pod, container, key, prefix string }

// streamOf returns the stream of the current run of a container.
func streamOf(p *kube.Pod, s kube.ContainerStatus) stream {
	l := stream{pod: p.Metadata.Name, container: s.Name, key: p.Metadata.Name + "/" + s.Name}
	if s.RestartCount > 0 {
		l.key += "/" + fmt.Sprint(s.RestartCount)
	}
	if len(p.Spec.Containers)+len(p.Spec.InitContainers) > 1 {
		l.prefix = s.Name + ": "
	}
	return l
}

// start starts reading a container's log, unless it is being read or has been read to its end.
func (t *tailer) start(ctx context.Context, p *kube.Pod, s kube.ContainerStatus) {
	l := streamOf(p, s)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done[l.key] || t.live[l.key] {
		return
	}
	t.live[l.key] = true
	t.tails.Go(func() {
		err := t.read(ctx, l, true)
		t.mu.Lock()
		delete(t.live, l.key)
		t.done[l.key] = err == nil || kube.NotFound(err)
		t.mu.Unlock()
		select {
		case t.wake <- struct{}{}:
		default:
		}
	})
}

// read passes on a container's log: up to its current end, or, with follow, until the container has ended. If the stream breaks, the next
// poll starts another one.
func (t *tailer) read(ctx context.Context, l stream, follow bool) error {
	log, err := t.a.client.PodLog(ctx, t.a.args.Namespace, l.pod, l.container, kube.LogOptions{
		Follow: follow, Timestamps: true, SinceTime: t.a.log.begin(l.key),
	})
	if err != nil {
		return err
	}
	defer log.Close()
	return kube.EachLine(log, func(line string) { t.a.log.line(l.key, l.prefix, kube.ParseLine(line)) })
}

// retrieve reads the logs of all containers for the result, in the format of Step Functions. If a log cannot be read, the result contains
// the error in its place.
func (a *attempt) retrieve(ctx context.Context, job kube.Job) map[string]any {
	pods, err := a.podsOf(ctx, job)
	if err != nil {
		return map[string]any{"error": errorName(err), "cause": err.Error()}
	}
	of := map[string]any{}
	for i := range pods {
		containers := map[string]any{}
		for _, c := range pods[i].Spec.Containers {
			containers[c.Name] = a.container(ctx, pods[i].Metadata.Name, c.Name)
		}
		of[pods[i].Metadata.Name] = map[string]any{"containers": containers}
	}
	return map[string]any{"pods": of}
}

// readTimeout is how long retrieve retries to read a log. The log may contain the job's output.
const readTimeout = time.Minute

func (a *attempt) podsOf(ctx context.Context, job kube.Job) (pods []kube.Pod, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	err = kube.Retry(ctx, func(ctx context.Context) (err error) {
		pods, err = a.client.PodsOf(ctx, job)
		return err
	})
	return pods, err
}

// container reads the log of a container for the result.
func (a *attempt) container(ctx context.Context, pod, container string) map[string]any {
	var text []byte
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	err := kube.Retry(ctx, func(ctx context.Context) error {
		log, err := a.client.PodLog(ctx, a.args.Namespace, pod, container, kube.LogOptions{Parameters: a.args.LogOptions.LogParameters})
		if err != nil {
			return err
		}
		defer log.Close()
		text, err = io.ReadAll(io.LimitReader(log, stepfn.MaxPayload+1)) // one byte more, so that the engine detects a log that is too large
		return err
	})
	if err != nil {
		return map[string]any{"error": errorName(err), "cause": err.Error()}
	}
	return map[string]any{"log": a.parse(text)}
}

// parse returns a log as JSON if it is valid JSON and the Task does not set RawLogs, otherwise as a string.
func (a *attempt) parse(text []byte) any {
	if trimmed := []byte(strings.TrimSpace(string(text))); !a.args.LogOptions.RawLogs && json.Valid(trimmed) {
		return json.RawMessage(trimmed)
	}
	return strings.ToValidUTF8(string(text), "\uFFFD")
}

// errorName returns the error name for an error of package kube.
func errorName(err error) string {
	if code := kube.Code(err); code != 0 {
		return fmt.Sprint(stepfn.EKS, code)
	}
	var away *kube.UnreachableError
	if errors.As(err, &away) {
		return stepfn.EKSUnreachable
	}
	return stepfn.StatesTaskFailed
}

// shortLog is the maximum size of each log in a Cause that would be too long otherwise.
const shortLog = 4 << 10

// shorten cuts the start of each log in a result to shortLog.
func shorten(object map[string]any) {
	logs, _ := object["logs"].(map[string]any)
	pods, _ := logs["pods"].(map[string]any)
	for _, p := range pods {
		pod, _ := p.(map[string]any)
		containers, _ := pod["containers"].(map[string]any)
		for _, c := range containers {
			container, _ := c.(map[string]any)
			text, isText := container["log"].(string)
			if raw, ok := container["log"].(json.RawMessage); ok {
				text, isText = string(raw), true
			}
			if isText && len(text) > shortLog {
				container["log"] = strings.ToValidUTF8(text[len(text)-shortLog:], "")
			}
		}
	}
}
