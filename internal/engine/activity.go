package engine

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// offer is a task that waits for a worker of its activity.
type offer struct {
	run       store.ID
	task      interp.Task
	execution string
}

// activities are the offers of each activity, first come first served. A restart creates them again from the
// pending effects of the open runs.
type activities struct {
	mu     sync.Mutex
	queues map[string]*queue
}

type queue struct {
	offers []offer
	more   chan struct{} // closed when an offer comes
}

func (a *activities) queue(arn string) *queue {
	if a.queues == nil {
		a.queues = map[string]*queue{}
	}
	q := a.queues[arn]
	if q == nil {
		q = &queue{more: make(chan struct{})}
		a.queues[arn] = q
	}
	return q
}

func (a *activities) offer(arn string, o offer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.queue(arn)
	q.offers = append(q.offers, o)
	close(q.more)
	q.more = make(chan struct{})
}

// take gives the oldest offer, or a channel that is closed when there may be one.
func (a *activities) take(arn string) (o offer, ok bool, more <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.queue(arn)
	if len(q.offers) == 0 {
		return offer{}, false, q.more
	}
	o, q.offers = q.offers[0], q.offers[1:]
	return o, true, nil
}

// withdraw takes back the offer of a task that nobody waits for any more. It looks through all queues: stops are rare.
func (a *activities) withdraw(k taskKey) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, q := range a.queues {
		for i, o := range q.offers {
			if o.run == k.run && o.task.ID == k.task {
				q.offers = append(q.offers[:i:i], q.offers[i+1:]...)
				return
			}
		}
	}
}

// ActivityTask is what GetActivityTask hands to a worker; Token is empty if no task came before the time was over.
type ActivityTask struct {
	Token string
	Input []byte
}

// activityWait is how long GetActivityTask waits, as on AWS.
const activityWait = time.Minute

// GetActivityTask waits for a task of an activity until ctx is done or a minute has passed; its Token is empty then.
func (e *Engine) GetActivityTask(ctx context.Context, activityARN, worker string) (ActivityTask, error) {
	if err := e.enter(); err != nil {
		return ActivityTask{}, err
	}
	defer e.leave()
	deadline := time.NewTimer(activityWait)
	defer deadline.Stop()
	for {
		o, ok, more := e.activities.take(activityARN)
		if ok {
			if got, err := e.hand(o, worker); err != nil || got {
				return ActivityTask{Token: o.task.Token, Input: o.task.Input}, err
			}
			continue
		}
		select {
		case <-more:
		case <-deadline.C:
			return ActivityTask{}, nil
		case <-ctx.Done():
			return ActivityTask{}, nil
		case <-e.ctx.Done():
			return ActivityTask{}, ErrClosing
		}
	}
}

// hand gives a task to a worker, unless nobody waits for it any more. The task is the worker's from then on: after a
// restart it is not offered again.
func (e *Engine) hand(o offer, worker string) (bool, error) {
	wanted := true
	err := e.deliverChecked(o.run, &pending{
		fact:   interp.TaskStarted{Task: o.task.ID, Worker: worker},
		effect: effectTask + o.task.ID,
		check: func(s *interp.Run) error {
			if _, wanted = s.TaskOf(o.task.Token); !wanted {
				return ErrTaskTimedOut
			}
			return nil
		},
	})
	if !wanted {
		return false, nil
	}
	return err == nil, err
}

// activityFinder is what Machines may know besides machines.
type activityFinder interface{ HasActivity(arn string) bool }

// checkResource refuses tasks of activities that do not exist, before anything is scheduled.
func (e *Engine) checkResource(resource string) error {
	known, ok := e.lookup.(activityFinder)
	if !ok || stepfn.KindOf(resource) != stepfn.KindActivity || known.HasActivity(resource) {
		return nil
	}
	return fmt.Errorf("The activity %s does not exist.", resource) //nolint:staticcheck // Step Functions' words
}
