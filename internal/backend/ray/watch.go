package ray

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// JobReader is what a Watcher asks. Client is one.
type JobReader interface {
	Get(ctx context.Context, id string) (Job, error)
	List(ctx context.Context) ([]Job, error)
	Version(ctx context.Context) (Version, error)
}

// LostError says that Ray no longer knows a job: Then is another session than Was when its head is another one, and the
// same when somebody deleted the record.
type LostError struct{ ID, Was, Then string }

func (e *LostError) Error() string {
	if e.Was == e.Then {
		return fmt.Sprintf("ray no longer knows job %s: its record was deleted", e.ID)
	}
	return fmt.Sprintf("ray no longer knows job %s: the head of %s is gone, %s answers now", e.ID, e.Was, e.Then)
}

// Watcher sees the jobs of one Ray change. However many it watches, it sends one request at a time, at most one a tick:
// a job by its id, or the list of all where that shows the jobs sooner for what it costs Ray.
type Watcher struct {
	ray   JobReader
	grace time.Duration

	mu      sync.Mutex
	watches map[string]*watch
	turn    []string // ids, the one asked for longest ago first
	closed  bool
	running bool
	kick    chan struct{}
	stop    chan struct{}
	done    sync.WaitGroup

	listCost time.Duration // the last list's answering time, 0 while not known
	listed   time.Time
	failing  time.Time
}

type watch struct {
	session string
	since   time.Time
	users   int
	job     Job
	err     error
	changed chan struct{} // closed, and made anew, at each change
}

const (
	// A look at one job costs all of Ray's processes together some 4 ms of CPU (BenchmarkRecords). The end of a short job
	// is seen within 25 ms of when Ray shows it, of a long one within 60 ms, and of each of four within 100 ms.
	tick     = 25 * time.Millisecond
	longTick = 60 * time.Millisecond
	longFrom = 10 * time.Second
	// A list may keep the dashboard busy for a fifth of the time.
	listShare = 5
	// A list whose cost is not known is tried when so many jobs wait for their turn.
	listFrom  = 4
	listStale = time.Minute // records come and go
)

// NewWatcher makes a watcher, which works only while somebody waits. An unreachable Ray counts as such after grace.
func NewWatcher(ray JobReader, grace time.Duration) *Watcher {
	return &Watcher{
		ray: ray, grace: grace, watches: map[string]*watch{}, kick: make(chan struct{}, 1), stop: make(chan struct{}),
	}
}

var errWatcherClosed = errors.New("the watcher is closed")

// Close ends all waits and returns when nothing runs any more.
func (w *Watcher) Close() {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.stop)
	}
	w.mu.Unlock()
	w.done.Wait()
}

// Wait returns the job's record once until holds for it. It fails with *LostError when Ray forgot the job, session being
// the one that took it, and with *Error when Ray refuses or cannot be reached for the grace.
func (w *Watcher) Wait(ctx context.Context, id, session string, until func(Job) bool) (Job, error) {
	if err := w.join(id, session); err != nil {
		return Job{}, err
	}
	defer w.leave(id)
	for {
		job, changed, err := w.look(id)
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
		w.turn = slices.Insert(w.turn, 0, id)
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

func (w *Watcher) leave(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if one := w.watches[id]; one.users > 1 {
		one.users--
		return
	}
	delete(w.watches, id)
	w.turn = slices.DeleteFunc(w.turn, func(s string) bool { return s == id })
}

func (w *Watcher) look(id string) (Job, <-chan struct{}, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	one := w.watches[id]
	return one.job, one.changed, one.err
}

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
		ids, ok := w.open()
		if !ok || !w.rest(w.ask(ctx, ids)) {
			return
		}
	}
}

// open lists the jobs that have not ended; without one the watcher rests until the next Wait.
func (w *Watcher) open() ([]string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ids []string
	for _, id := range w.turn {
		if one := w.watches[id]; one.err == nil && !one.job.Status.Terminal() {
			ids = append(ids, id)
		}
	}
	w.running = len(ids) > 0 && !w.closed
	return ids, w.running
}

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

// ask sends one request and says how long to wait before the next one.
func (w *Watcher) ask(ctx context.Context, ids []string) time.Duration {
	var err error
	wait := w.pace(ids)
	if w.listIsBetter(len(ids)) {
		wait, err = w.askAll(ctx, ids)
	} else {
		err = w.askOne(ctx, ids[0])
	}
	if err == nil {
		w.failing = time.Time{}
		return wait
	}
	if ctx.Err() != nil {
		return tick
	}
	return w.trouble(ids, err)
}

// pace is the time between two looks: jobs that all have run for long are looked at less often.
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

// listIsBetter compares how long a job waits to be seen by either way.
func (w *Watcher) listIsBetter(n int) bool {
	if w.listCost == 0 || time.Since(w.listed) > listStale {
		return n >= listFrom
	}
	return n > 1 && max(tick, listShare*w.listCost) < time.Duration(n)*tick
}

func (w *Watcher) askOne(ctx context.Context, id string) error {
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

func (w *Watcher) askAll(ctx context.Context, ids []string) (time.Duration, error) {
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
	if len(missing) > 0 { // asked for by id, one each tick, before anything is called lost
		return tick, w.askOne(ctx, missing[0])
	}
	return max(tick, listShare*w.listCost), nil
}

// lost finds out why Ray does not know a job.
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

// update notes what was seen, and puts the job at the end of the turn. w.mu is held.
func (w *Watcher) update(id string, job Job, err error) {
	one := w.watches[id]
	if one == nil {
		return
	}
	if i := slices.Index(w.turn, id); i >= 0 {
		w.turn = append(slices.Delete(w.turn, i, i+1), id)
	}
	if err == nil && one.job.Status == job.Status && one.job.Message == job.Message && one.job.DriverNodeID == job.DriverNodeID {
		return
	}
	one.job, one.err = job, err
	close(one.changed)
	one.changed = make(chan struct{})
}

// trouble tells the waiting ones once an error will not pass, and else when to try again.
func (w *Watcher) trouble(ids []string, err error) time.Duration {
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
