package ray

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// JobReader contains the requests that a Watcher needs. Client implements it.
type JobReader interface {
	Get(ctx context.Context, id string) (Job, error)
	List(ctx context.Context) ([]Job, error)
	Version(ctx context.Context) (Version, error)
}

// LostError reports that Ray no longer knows a job. Was is the session in which the job was submitted, Then the current session. If they
// differ, the head was replaced; if they are equal, the record of the job was deleted.
type LostError struct{ ID, Was, Then string }

func (e *LostError) Error() string {
	if e.Was == e.Then {
		return fmt.Sprintf("Ray no longer knows the job %s: its record was deleted", e.ID)
	}
	return fmt.Sprintf("Ray no longer knows the job %s: its head was replaced (session %s, then %s)", e.ID, e.Was, e.Then)
}

// Watcher waits for changes of jobs of a Ray by polling. Regardless of the number of jobs, it sends at most one request per tick and
// one at a time. A request reads one job, or lists all jobs if that shows changes sooner at an acceptable cost for Ray.
type Watcher struct {
	ray   JobReader
	grace time.Duration // how long requests may fail temporarily before waits fail

	mu      sync.Mutex
	watches map[string]*watch // by job id
	queue   []string          // job ids, in the order in which they are polled next
	closed  bool
	running bool          // whether run is running
	kick    chan struct{} // wakes up run
	stop    chan struct{} // closed by Close
	done    sync.WaitGroup

	listCost time.Duration // duration of the last list request, 0 if unknown
	listed   time.Time     // time of the last list request
	failing  time.Time     // time of the first of the current failures; zero if the last request succeeded
}

// watch is a job that calls of Wait are waiting for.
type watch struct {
	session string
	since   time.Time // time of the first Wait
	users   int       // number of calls of Wait
	job     Job       // zero before the first response
	err     error
	changed chan struct{} // closed and replaced at each change
}

const (
	// tick is the interval between requests. Reading a job costs about 4 ms of CPU in all processes of Ray (BenchmarkRecords). The end of
	// a short job is seen within 25 ms after Ray shows it, of a long one within 60 ms, and of each of four jobs within 100 ms.
	tick = 25 * time.Millisecond
	// longTick is the interval between reads of a job that has run for longFrom.
	longTick = 60 * time.Millisecond
	longFrom = 10 * time.Second
	// listShare limits list requests to 1/listShare of the time, because they keep the dashboard busy.
	listShare = 5
	// listFrom is the number of jobs for which a list is tried if its duration is unknown.
	listFrom = 4
	// listStale is how long the duration of a list counts as known. The number of records changes.
	listStale = time.Minute
)

// NewWatcher returns a Watcher. It sends requests only during calls of Wait. If a Ray is unreachable for grace, waits fail.
func NewWatcher(ray JobReader, grace time.Duration) *Watcher {
	return &Watcher{
		ray: ray, grace: grace, watches: map[string]*watch{}, kick: make(chan struct{}, 1), stop: make(chan struct{}),
	}
}

var errWatcherClosed = errors.New("the watcher is closed")

// Close ends all waits, and returns when all goroutines of the Watcher have ended.
func (w *Watcher) Close() {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.stop)
	}
	w.mu.Unlock()
	w.done.Wait()
}

// Wait waits until the function until returns true for a job, and returns the job. session is the session in which the job was submitted.
// Wait fails with *LostError if Ray no longer knows the job, and with *Error if Ray rejects a request or is unreachable for the grace
// period. If ctx ends, it returns the last known job and the cause of ctx.
func (w *Watcher) Wait(ctx context.Context, id, session string, until func(Job) bool) (Job, error) {
	if err := w.join(id, session); err != nil {
		return Job{}, err
	}
	defer w.leave(id)
	for {
		job, changed, err := w.state(id)
		if err != nil {
			return job, err
		}
		if job.Status != "" && until(job) {
			return job, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return job, context.Cause(ctx)
		case <-w.stop:
			return job, errWatcherClosed
		}
	}
}

// join registers a call of Wait, and starts polling if necessary.
func (w *Watcher) join(id, session string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return errWatcherClosed
	}
	one := w.watches[id]
	if one == nil {
		one = &watch{session: session, since: time.Now(), changed: make(chan struct{})}
		w.watches[id] = one
		w.queue = slices.Insert(w.queue, 0, id)
	}
	one.users++
	if !w.running {
		w.running = true
		w.done.Go(w.run)
	}
	select {
	case w.kick <- struct{}{}:
	default:
	}
	return nil
}

// leave ends a call of Wait.
func (w *Watcher) leave(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if one := w.watches[id]; one.users > 1 {
		one.users--
		return
	}
	delete(w.watches, id)
	w.queue = slices.DeleteFunc(w.queue, func(s string) bool { return s == id })
}

// state returns the last known state of a job, and a channel that is closed at the next change.
func (w *Watcher) state(id string) (Job, <-chan struct{}, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	one := w.watches[id]
	return one.job, one.changed, one.err
}

// run polls until there are no more jobs to poll, or the Watcher is closed.
func (w *Watcher) run() {
	ctx, cancel := context.WithCancel(context.Background())
	w.done.Go(func() {
		defer cancel()
		select {
		case <-w.stop:
		case <-ctx.Done():
		}
	})
	defer cancel()
	for {
		ids, ok := w.openJobs()
		if !ok || !w.rest(w.poll(ctx, ids)) {
			return
		}
	}
}

// openJobs returns the jobs to poll: those that have not ended or failed. If there are none, it returns false, and run ends until the next
// Wait.
func (w *Watcher) openJobs() ([]string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ids []string
	for _, id := range w.queue {
		if one := w.watches[id]; one.err == nil && !one.job.Status.Terminal() {
			ids = append(ids, id)
		}
	}
	w.running = len(ids) > 0 && !w.closed
	return ids, w.running
}

// rest waits for d or until a new job is registered. It returns false if the Watcher is closed.
func (w *Watcher) rest(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-w.kick:
		return true
	case <-w.stop:
		return false
	}
}

// poll sends one request and returns how long to wait before the next one.
func (w *Watcher) poll(ctx context.Context, ids []string) time.Duration {
	var err error
	wait := w.pace(ids)
	if w.listIsBetter(len(ids)) {
		wait, err = w.pollAll(ctx, ids)
	} else {
		err = w.pollOne(ctx, ids[0])
	}
	if err == nil {
		w.failing = time.Time{}
		return wait
	}
	if ctx.Err() != nil {
		return tick
	}
	return w.handleError(ids, err)
}

// pace returns the interval between reads of single jobs. It is longer if all jobs have been watched for longFrom.
func (w *Watcher) pace(ids []string) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		if one := w.watches[id]; one != nil && time.Since(one.since) < longFrom {
			return tick
		}
	}
	return max(tick, longTick/time.Duration(len(ids)))
}

// listIsBetter reports whether listing all jobs shows a change of any of n jobs sooner than reading them one by one.
func (w *Watcher) listIsBetter(n int) bool {
	if w.listCost == 0 || time.Since(w.listed) > listStale {
		return n >= listFrom
	}
	return n > 1 && max(tick, listShare*w.listCost) < time.Duration(n)*tick
}

func (w *Watcher) pollOne(ctx context.Context, id string) error {
	job, err := w.ray.Get(ctx, id)
	if KindOf(err) == NotFound {
		return w.lost(ctx, id)
	}
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.update(id, job, nil)
	return nil
}

func (w *Watcher) pollAll(ctx context.Context, ids []string) (time.Duration, error) {
	begin := time.Now()
	jobs, err := w.ray.List(ctx)
	if err != nil {
		return 0, err
	}
	w.listed = time.Now()
	w.listCost = max(w.listed.Sub(begin), time.Microsecond)
	byID := make(map[string]Job, len(jobs))
	for _, job := range jobs {
		byID[job.SubmissionID] = job
	}
	var missing []string
	w.mu.Lock()
	for _, id := range ids {
		if job, ok := byID[id]; ok {
			w.update(id, job, nil)
		} else {
			missing = append(missing, id)
		}
	}
	w.mu.Unlock()
	if len(missing) > 0 { // read the missing jobs one by one before any of them counts as lost
		return tick, w.pollOne(ctx, missing[0])
	}
	return max(tick, listShare*w.listCost), nil
}

// lost sets a LostError for a job that Ray does not know, with the current session.
func (w *Watcher) lost(ctx context.Context, id string) error {
	version, err := w.ray.Version(ctx)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if one := w.watches[id]; one != nil {
		w.update(id, one.job, &LostError{ID: id, Was: one.session, Then: version.SessionName})
	}
	return nil
}

// update records the state of a job, wakes up its waits if it has changed, and moves the job to the end of the queue. The caller holds
// w.mu.
func (w *Watcher) update(id string, job Job, err error) {
	one := w.watches[id]
	if one == nil {
		return
	}
	if i := slices.Index(w.queue, id); i >= 0 {
		w.queue = append(slices.Delete(w.queue, i, i+1), id)
	}
	if err == nil && one.job.Status == job.Status && one.job.Message == job.Message && one.job.DriverNodeID == job.DriverNodeID {
		return
	}
	one.job, one.err = job, err
	close(one.changed)
	one.changed = make(chan struct{})
}

// handleError handles the error of a request. It returns when to try again. If the error is permanent or the grace period is over, it
// ends all waits with the error.
func (w *Watcher) handleError(ids []string, err error) time.Duration {
	if w.failing.IsZero() {
		w.failing = time.Now()
	}
	since := time.Since(w.failing)
	if kind := KindOf(err); since < w.grace && (Temporary(err) || kind == Failed || kind == NotRay) {
		return min(max(4*tick, since/4), 2*time.Second, max(w.grace-since, tick))
	}
	w.failing = time.Time{}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		if one := w.watches[id]; one != nil {
			w.update(id, one.job, err)
		}
	}
	return tick
}
