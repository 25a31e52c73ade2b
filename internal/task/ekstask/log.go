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

// jobLog is the log of an attempt: what the containers print, and notes of ours.
type jobLog struct {
	mu   sync.Mutex
	log  *joblog.Log
	seen map[string]*seenLines // by container
}

// seenLines are the lines of a container's log that were passed on. The API returns lines from a second on, in the order
// of the container's log: their times may be equal, and those of standard output and standard error out of order.
type seenLines struct {
	Last time.Time // the latest line's
	N    [2]int    // lines of the second before Last's, and of Last's
	read [2]int    // how many of them the current stream has returned
}

func (s *seenLines) since() time.Time {
	if s.Last.IsZero() {
		return s.Last
	}
	return s.Last.Truncate(time.Second).Add(-time.Second)
}

// of is the index of a time's second in N, less than 0 for an earlier one.
func (s *seenLines) of(at time.Time) int {
	return int(max(at.Truncate(time.Second).Sub(s.since())/time.Second, -1))
}

// again reports whether a former stream passed on the next line of this one, else counts it.
func (s *seenLines) again(at time.Time) bool {
	if s.read[0]+s.read[1] < s.N[0]+s.N[1] && !at.After(s.Last) {
		if n := s.of(at); n >= 0 {
			s.read[n]++
		}
		return true
	}
	s.N = s.read // fewer than before when the container's log was rotated
	switch n := s.of(at); {
	case n > 2:
		s.N = [2]int{}
	case n == 2:
		s.N = [2]int{s.N[1], 0}
	}
	if at.After(s.Last) {
		s.Last = at
	}
	if n := s.of(at); n >= 0 {
		s.N[n]++
	}
	s.read = s.N
	return false
}

// UnmarshalJSON also reads the form of older releases: the last line's time.
func (s *seenLines) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, &s.Last); err == nil {
		s.N[0] = math.MaxInt // all up to then
		return nil
	}
	type plain seenLines
	return json.Unmarshal(data, (*plain)(s))
}

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

// note says something of our own.
func (l *jobLog) note(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.log.Note("rayorch: " + text)
}

// begin begins a stream of a container's log, which is to start at the time that it returns.
func (l *jobLog) begin(container string) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen[container] == nil {
		l.seen[container] = &seenLines{}
	}
	l.seen[container].read = [2]int{}
	return l.seen[container].since()
}

// line takes a line of a container's, unless a former process or stream has passed it on.
func (l *jobLog) line(container, prefix string, line kube.Line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !line.At.IsZero() && l.seen[container].again(line.At) {
		return
	}
	position, _ := json.Marshal(l.seen) // times and text: it cannot fail
	l.log.Line(prefix+line.Text, position)
}

// tailer passes on the logs of a Job's pods while they run, and notices why they do not.
type tailer struct {
	a      *attempt
	job    kube.Job
	cancel context.CancelFunc
	looker sync.WaitGroup
	tails  sync.WaitGroup
	wake   chan struct{} // a container ended: look at once
	since  time.Time     // when it was first seen that no pod runs; of the looker alone
	early  func()        // ends the wait for a Job that is over with its pod; nil for others

	mu     sync.Mutex
	live   map[string]bool // containers whose log is being read
	reason kube.Reason
	ran    bool
	active bool            // some pod may still do something
	ahead  bool            // a pod has succeeded
	awaits map[string]bool // pods whose success is awaited
	done   map[string]bool // containers whose log was read to its end
}

// The looks at the pods: soon at first, since lines are waited for, and seldom when all is quiet.
const (
	firstLook = 300 * time.Millisecond
	lastLook  = 5 * time.Second
	// explainAfter is how long a pod may need to start before somebody is asked why.
	explainAfter = 2 * time.Second
)

func (a *attempt) tail(ctx context.Context, job kube.Job, early func()) *tailer {
	ctx, cancel := context.WithCancel(ctx)
	t := &tailer{a: a, job: job, cancel: cancel, wake: make(chan struct{}, 1), live: map[string]bool{}, done: map[string]bool{}}
	if endsEarly(job) {
		t.early, t.awaits = early, map[string]bool{}
	}
	t.looker.Go(func() { t.look(ctx) })
	return t
}

// finish ends the reading: with rest when all logs have come to their end, which they do soon after the Job's. It returns
// why the Job did not run, as last seen.
func (t *tailer) finish(ctx context.Context, rest bool) kube.Reason {
	ahead := t.isAhead()
	if rest && !ahead {
		t.drain(ctx)
	}
	t.cancel()
	t.looker.Wait()
	t.tails.Wait()
	if rest && ahead {
		t.rest(ctx)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reason.Ran = t.ran
	return t.reason
}

// drainWait bounds how long the end of a log may take that the kubelet should have by then, be its node ever so busy.
const drainWait = 30 * time.Second

func (t *tailer) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainWait)
	defer cancel()
	_, _ = t.scan(ctx) // a container that came and went between two looks
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

func (t *tailer) look(ctx context.Context) {
	wait, began := firstLook, time.Now()
	for {
		settled, err := t.scan(ctx)
		if err == nil {
			t.idle(ctx)
		}
		switch {
		case kube.Code(err) == 403:
			t.a.log.note("no log while it runs: " + err.Error())
			return
		case err != nil:
			wait = min(2*wait, lastLook)
		case settled:
			t.runs()
			wait = min(2*wait, lastLook)
		default:
			wait = firstLook
			if time.Since(began) > explainAfter {
				t.explain(ctx)
				wait = lastLook / 2
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-t.wake:
			wait = firstLook
		case <-time.After(wait):
		}
	}
}

// scan looks for containers whose log is not being read yet. Settled tells that all that are to run do.
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

// runs forgets why nothing ran.
func (t *tailer) runs() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reason.Why != "" {
		t.reason = kube.Reason{}
		t.a.report("")
		t.a.req.Waits("", t.job.Metadata.CreationTimestamp)
	}
}

// explain notes why nothing runs, once for each reason.
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

// stream is the log of one container, of one of its runs.
type stream struct{ pod, container, key, prefix string }

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

// start reads a container's log, unless that is done already. A container that ended is read once.
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

// read passes a container's log on to its end: as it is now, or when the container has ended. A stream that breaks off is
// read on by the next look.
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

// retrieve reads the logs for the result. What cannot be read says so in its place.
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

// patience is how long a result waits for a log that cannot be read just now: with it goes the job's output.
const patience = time.Minute

func (a *attempt) podsOf(ctx context.Context, job kube.Job) (pods []kube.Pod, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = kube.Retry(ctx, func(ctx context.Context) (err error) {
		pods, err = a.client.PodsOf(ctx, job)
		return err
	})
	return pods, err
}

func (a *attempt) container(ctx context.Context, pod, container string) map[string]any {
	var text []byte
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := kube.Retry(ctx, func(ctx context.Context) error {
		log, err := a.client.PodLog(ctx, a.args.Namespace, pod, container, kube.LogOptions{Parameters: a.args.LogOptions.LogParameters})
		if err != nil {
			return err
		}
		defer log.Close()
		text, err = io.ReadAll(io.LimitReader(log, stepfn.MaxPayload+1)) // one more, so that too much is seen to be so
		return err
	})
	if err != nil {
		return map[string]any{"error": errorName(err), "cause": err.Error()}
	}
	return map[string]any{"log": a.parse(text)}
}

// parse makes JSON of a log that is such, unless the Task wants it raw.
func (a *attempt) parse(text []byte) any {
	if trimmed := []byte(strings.TrimSpace(string(text))); !a.args.LogOptions.RawLogs && json.Valid(trimmed) {
		return json.RawMessage(trimmed)
	}
	return strings.ToValidUTF8(string(text), "\uFFFD")
}

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

// shortLog is how much of a log a Cause shows.
const shortLog = 4 << 10

// shorten leaves the ends of the logs.
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
