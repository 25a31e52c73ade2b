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

// activities has the offers of each activity, in the order in which they were made. They are not stored: after a restart, they are made
// again from the pending effects of the open runs.
type activities struct {
	mu     sync.Mutex
	queues map[string]*queue
}

type queue struct {
	offers []offer
	more   chan struct{} // closed when an offer is added
}

// queue returns the queue of an activity, and creates it if necessary. The caller holds a.mu.
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

// take removes and returns the oldest offer, or returns a channel that is closed when there may be one.
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

// withdraw removes the offer of a task that is stopped. It searches all queues, which is fast enough because stops are rare.
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

// ActivityTask is the result of GetActivityTask. Token is empty if there was no task in time.
type ActivityTask struct {
	Token string
	Input []byte
}

// activityWait is the maximum time that GetActivityTask waits, as on AWS.
const activityWait = time.Minute

// GetActivityTask waits for a task of an activity for at most one minute, or until ctx is done. Without a task, Token is empty.
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

// hand assigns a task to a worker. It returns false if the task has ended meanwhile. From then on, the worker must end the task: after a
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

// activityFinder is implemented by a Config.Machines that also knows activities.
type activityFinder interface{ HasActivity(arn string) bool }

// checkResource rejects a task of an activity that does not exist, before it is scheduled.
func (e *Engine) checkResource(resource string) error {
	known, ok := e.lookup.(activityFinder)
	if !ok || stepfn.KindOf(resource) != stepfn.KindActivity || known.HasActivity(resource) {
		return nil
	}
	return fmt.Errorf("The activity %s does not exist.", resource) // Step Functions' wording
}
