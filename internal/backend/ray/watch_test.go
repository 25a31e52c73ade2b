package ray_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rayorch/rayorch/internal/backend/ray"
)

// clockwork is a JobReader whose jobs end at given times and whose requests take given times. It is used in a bubble of synctest.
type clockwork struct {
	mu         sync.Mutex
	jobs       map[string]time.Time // end of each job
	session    string
	getCost    time.Duration // duration of reading a job
	recordCost time.Duration // duration of a list, per record
	records    int           // number of other records
	count      int           // number of requests
	fail       func() error  // if set, returns the error of a request
}

// request counts a request, takes its time, and returns its error.
func (c *clockwork) request(cost time.Duration) error {
	time.Sleep(cost)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count++
	if c.fail != nil {
		return c.fail()
	}
	return nil
}

func (c *clockwork) job(id string) ray.Job {
	job := ray.Job{SubmissionID: id, Status: ray.Running}
	if at := c.jobs[id]; !time.Now().Before(at) {
		job.Status, job.EndTime = ray.Succeeded, ray.Millis(at.UnixMilli())
	}
	return job
}

func (c *clockwork) Get(_ context.Context, id string) (ray.Job, error) {
	if err := c.request(c.getCost); err != nil {
		return ray.Job{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.jobs[id]; !ok {
		return ray.Job{}, &ray.Error{Kind: ray.NotFound}
	}
	return c.job(id), nil
}

func (c *clockwork) List(context.Context) ([]ray.Job, error) {
	if err := c.request(time.Duration(c.records+len(c.jobs)) * c.recordCost); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var jobs []ray.Job
	for id := range maps.Keys(c.jobs) {
		jobs = append(jobs, c.job(id))
	}
	return jobs, nil
}

func (c *clockwork) Version(context.Context) (ray.Version, error) {
	return ray.Version{RayVersion: "2.60.0", SessionName: c.session}, c.request(c.getCost)
}

func (c *clockwork) requests() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count
}

func ended(job ray.Job) bool { return job.Status.Terminal() }

// TestWatcherSeesEnds measures in virtual time how late the end of each job is seen, and the rate of requests.
func TestWatcherSeesEnds(t *testing.T) {
	tests := []struct {
		running, records int
		late             time.Duration // maximum delay
		perSecond        int           // maximum rate of requests
	}{
		{1, 0, 70 * time.Millisecond, 25},
		{4, 0, 110 * time.Millisecond, 41},
		{4, 1000, 130 * time.Millisecond, 41},
		{20, 0, 110 * time.Millisecond, 41},
		{20, 100, 700 * time.Millisecond, 41},
		{200, 0, 700 * time.Millisecond, 41},
		{200, 1000, 4500 * time.Millisecond, 41},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%d of %d", test.running, test.running+test.records), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &clockwork{jobs: map[string]time.Time{}, records: test.records, getCost: 5 * time.Millisecond, recordCost: 500 * time.Microsecond}
				begin := time.Now()
				for i := range test.running {
					c.jobs[fmt.Sprint("j", i)] = begin.Add(20*time.Second + time.Duration(i)*37*time.Millisecond)
				}
				w := ray.NewWatcher(c, time.Minute)
				var waits sync.WaitGroup
				lates := make([]time.Duration, test.running)
				for i := range test.running {
					waits.Go(func() {
						job, err := w.Wait(t.Context(), fmt.Sprint("j", i), "", ended)
						if err != nil {
							t.Error(err)
						}
						lates[i] = time.Since(job.EndTime.Time())
					})
				}
				waits.Wait()
				w.Close()
				rate := float64(c.requests()) / time.Since(begin).Seconds()
				if worst := slices.Max(lates); worst > test.late || rate > float64(test.perSecond) {
					t.Errorf("got a delay of %s with %.1f requests per second; want at most %s, %d", worst, rate, test.late, test.perSecond)
				} else {
					t.Logf("got a delay of %s with %.1f requests per second", worst, rate)
				}
			})
		})
	}
}

func TestWatcherErrors(t *testing.T) {
	unreachable := &ray.Error{Kind: ray.Unreachable, Err: errors.New("connection refused")}
	tests := []struct {
		name  string
		fail  func(since time.Duration) error
		want  ray.Kind
		after time.Duration
	}{
		{"a short outage", func(since time.Duration) error {
			if since < 8*time.Second {
				return unreachable
			}
			return nil
		}, ray.Other, 20 * time.Second},
		{"a permanent outage", func(time.Duration) error { return unreachable }, ray.Unreachable, 10 * time.Second},
		{"tracebacks for a while", func(since time.Duration) error {
			if since < 5*time.Second {
				return &ray.Error{Kind: ray.Failed}
			}
			return nil
		}, ray.Other, 20 * time.Second},
		{"the token changed", func(time.Duration) error { return &ray.Error{Kind: ray.Unauthorized} }, ray.Unauthorized, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				c := &clockwork{jobs: map[string]time.Time{"a": begin.Add(20 * time.Second)}, getCost: time.Millisecond}
				c.fail = func() error { return test.fail(time.Since(begin)) }
				w := ray.NewWatcher(c, 10*time.Second)
				defer w.Close()
				_, err := w.Wait(t.Context(), "a", "", ended)
				if took := time.Since(begin); ray.KindOf(err) != test.want || (test.want == ray.Other) != (err == nil) || took < test.after || took > test.after+3*time.Second {
					t.Errorf("got error %v after %s, want kind %d after %s", err, took, test.want, test.after)
				}
			})
		})
	}
}

func TestWatcherReportsWhyAJobIsLost(t *testing.T) {
	for _, then := range []string{"old", "new"} {
		synctest.Test(t, func(t *testing.T) {
			c := &clockwork{jobs: map[string]time.Time{"b": time.Now()}, session: then}
			w := ray.NewWatcher(c, time.Minute)
			defer w.Close()
			_, err := w.Wait(t.Context(), "a", "old", ended)
			var lost *ray.LostError
			if !errors.As(err, &lost) || lost.Was != "old" || lost.Then != then {
				t.Errorf("got error %v, want a LostError from old to %s", err, then)
			}
			if _, err := w.Wait(t.Context(), "b", "old", ended); err != nil {
				t.Errorf("another job: %v", err)
			}
		})
	}
}

// changing is a JobReader with a pending job whose message changes every second.
type changing struct{ begin time.Time }

func (s changing) Get(_ context.Context, id string) (ray.Job, error) {
	job := ray.Job{SubmissionID: id, Status: ray.Pending, Message: time.Since(s.begin).Truncate(time.Second).String()}
	if job.Message == "3s" {
		job.Status = ray.Running
	}
	return job, nil
}

func (s changing) List(context.Context) ([]ray.Job, error)      { return nil, errors.New("unexpected list") }
func (s changing) Version(context.Context) (ray.Version, error) { return ray.Version{}, nil }

func TestWatcherPassesOnMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := ray.NewWatcher(changing{time.Now()}, time.Minute)
		defer w.Close()
		var got []string
		_, err := w.Wait(t.Context(), "a", "", func(job ray.Job) bool {
			got = append(got, job.Message)
			return job.Started()
		})
		if err != nil || !slices.Equal(got, []string{"0s", "1s", "2s", "3s"}) {
			t.Errorf("got messages %v, error %v", got, err)
		}
	})
}

// TestWatcherStops checks that the Watcher sends no requests without waits, and that Close ends waits.
func TestWatcherStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &clockwork{jobs: map[string]time.Time{"a": time.Now().Add(time.Hour)}, getCost: time.Millisecond}
		w := ray.NewWatcher(c, time.Minute)
		stop := errors.New("stop")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(stop) })
		if _, err := w.Wait(ctx, "a", "", ended); !errors.Is(err, stop) {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Minute)
		before := c.requests()
		time.Sleep(time.Minute)
		if more := c.requests() - before; more != 0 {
			t.Errorf("%d requests without a wait", more)
		}
		time.AfterFunc(time.Second, w.Close)
		if _, err := w.Wait(t.Context(), "a", "", ended); err == nil {
			t.Error("Close did not end a wait with an error")
		}
		if _, err := w.Wait(t.Context(), "a", "", ended); err == nil {
			t.Error("Wait succeeded on a closed watcher")
		}
	})
}
