package ekstask

import (
	"context"
	"encoding/json"

	"github.com/rayorch/rayorch/internal/backend/kube"
)

// A Job's status shows the success of its pod only about 2 s after the container has ended: the kubelet cleans up the pod before it
// reports the end, and the Job controller batches updates for a second. That is most of the time between two steps of a pipeline. So for
// the Job of a step, the runner does not wait for the Job's status but watches the pod. It does so only for success: after a failure,
// Kubernetes decides whether to try another pod.

// stepLabel is a label of the Jobs that package compile creates for the steps of a pipeline. Such a Job needs one pod to succeed, and
// its definition uses only the logs of the result, not the Job's status.
const stepLabel = "rayorch.dev/step"

// endsEarly reports whether a Job is complete when its first pod has succeeded.
func endsEarly(j kube.Job) bool {
	n := j.Spec.Completions
	return j.Metadata.Labels[stepLabel] != "" && (n == nil || *n == 1)
}

// awaitSuccess starts to watch each new pod. When a pod has succeeded, it calls t.early, which ends the wait for the Job. At that time,
// the log streams may not have returned the last lines; finish reads them (readRest).
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
			// If the watch fails, the wait ends when the Job's status shows the end.
			_ = t.a.client.Follow(ctx, kube.CollectionPath("v1", t.a.args.Namespace, "pods"), name, t.seePod)
		})
	}
}

// seePod handles an event of a watched pod. It returns true if the pod has ended.
func (t *tailer) seePod(e kube.Event) (over bool) {
	var p kube.Pod
	if e.Object == nil || json.Unmarshal(e.Object, &p) != nil {
		return true
	}
	if p.Done() {
		t.mu.Lock()
		t.succeeded = true
		t.mu.Unlock()
		t.early()
	}
	return p.Done() || p.Status.Phase == "Failed"
}

// hasSucceeded reports whether a pod of a Job that ends early has succeeded.
func (t *tailer) hasSucceeded() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.succeeded
}

// readRest reads the lines that the streams had not returned when they were cancelled.
func (t *tailer) readRest(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainWait)
	defer cancel()
	pods, err := t.a.client.PodsOf(ctx, t.job)
	if err != nil {
		t.a.log.note("the end of the log may be missing: " + err.Error())
	}
	for i := range pods {
		for _, s := range pods[i].Containers() {
			l := streamOf(&pods[i], s)
			if t.done[l.key] {
				continue
			}
			if err := t.read(ctx, l, false); err != nil && !kube.NotFound(err) {
				t.a.log.note("the end of the log may be missing: " + err.Error())
			}
		}
	}
}
