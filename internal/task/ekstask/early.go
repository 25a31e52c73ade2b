package ekstask

import (
	"context"
	"encoding/json"

	"github.com/rayorch/rayorch/internal/backend/kube"
)

// stepLabel marks the Jobs of a pipeline's steps, which package compile makes: one pod that succeeds is all that they are
// for, and their definition reads nothing of them but the logs.
const stepLabel = "rayorch.dev/step"

// Kubernetes notes in a Job that its pod's container has succeeded 2 s after it: the kubelet puts the pod away before it
// tells, and the Job's controller waits a second for more to come. That is most of the time from one step to the next. A
// step's Job is over with its container: its runner need not wait for the note. What fails is left to Kubernetes, which
// decides whether another pod tries.

// endsEarly tells whether a Job is over with its first pod that succeeds.
func endsEarly(j kube.Job) bool {
	n := j.Spec.Completions
	return j.Metadata.Labels[stepLabel] != "" && (n == nil || *n == 1)
}

// awaitSuccess watches each pod, and ends the wait for the Job when one has succeeded. Its log's end comes seconds later.
func (t *tailer) awaitSuccess(ctx context.Context, pods []kube.Pod) {
	if t.early == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range pods {
		name := pods[i].Metadata.Name
		if t.awaits[name] {
			continue
		}
		t.awaits[name] = true
		t.tails.Go(func() {
			// What cannot be watched ends with the Job.
			_ = t.a.client.Follow(ctx, kube.CollectionPath("v1", t.a.args.Namespace, "pods"), name, t.seePod)
		})
	}
}

func (t *tailer) seePod(e kube.Event) (over bool) {
	var p kube.Pod
	if e.Object == nil || json.Unmarshal(e.Object, &p) != nil {
		return true
	}
	if p.Done() {
		t.mu.Lock()
		t.ahead = true
		t.mu.Unlock()
		t.early()
	}
	return p.Done() || p.Status.Phase == "Failed"
}

// isAhead tells whether the Job was seen to be over before Kubernetes said so.
func (t *tailer) isAhead() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ahead
}

// rest passes on what the containers printed beyond what the streams brought, which were not waited for.
func (t *tailer) rest(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainWait)
	defer cancel()
	pods, err := t.a.client.PodsOf(ctx, t.job)
	if err != nil {
		t.a.log.note("the log may lack its end: " + err.Error())
	}
	for i := range pods {
		for _, s := range pods[i].Containers() {
			l := streamOf(&pods[i], s)
			if t.done[l.key] {
				continue
			}
			if err := t.read(ctx, l, false); err != nil && !kube.NotFound(err) {
				t.a.log.note("the log may lack its end: " + err.Error())
			}
		}
	}
}
