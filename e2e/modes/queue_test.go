package modes_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// TestQueue runs steps whose clusters wait in a queue of Kueue. Kueue is not installed: the test simulates it by setting spec.suspend of
// the RayJob, as Kueue does. KubeRay is real.
func TestQueue(t *testing.T) {
	needsFull(t)
	w := &shared{Cluster: clustertest.Start(t)}
	w.namespace, w.image = w.Restricted(t), w.RayImage(t)
	for name, test := range map[string]func(*testing.T){"admitted": w.admitted, "never admitted": w.neverAdmitted, "preempted": w.preempted} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// enqueue starts a run with one step whose target has a queue.
func (w *shared) enqueue(t *testing.T, step string) *run {
	t.Helper()
	text := strings.Replace(w.ownCluster("rayjob", w.clusterSpec()), "kind: kubernetes,", "kind: kubernetes, queue: team-a,", 1) +
		"steps: [" + step + "]\n"
	return w.open(t).start(t, text, t.TempDir(), "rayjob", "{}")
}

// queued is like enqueue, and waits until KubeRay has suspended the RayJob. It returns the name of the RayJob.
func (w *shared) queued(t *testing.T, step string) (r *run, job string) {
	t.Helper()
	r = w.enqueue(t, step)
	r.awaitRayJob(t, "jobDeploymentStatus", "Suspended")
	if q := r.rayJob(t, "metadata", "labels", "kueue.x-k8s.io/queue-name"); q != "team-a" {
		t.Errorf("the queue of the RayJob is %v, want team-a", q)
	}
	if s := r.rayJob(t, "spec", "suspend"); s != true {
		t.Errorf("spec.suspend of the RayJob is %v, want true", s)
	}
	name, _ := r.rayJob(t, "metadata", "name").(string)
	return r, name
}

// rayJob returns a field of the execution's RayJob, or nil if there is no RayJob.
func (r *run) rayJob(t *testing.T, path ...string) any {
	t.Helper()
	for _, o := range r.list(t, "/apis/ray.io/v1/namespaces/"+r.p.namespace+"/rayjobs") {
		return kube.Field(o, path...)
	}
	return nil
}

// awaitRayJob waits until a field in the status of the execution's RayJob has the given value.
func (r *run) awaitRayJob(t *testing.T, field, want string) {
	t.Helper()
	r.until(t, "a RayJob that is "+want, func() error {
		if status, _ := r.rayJob(t, "status").(map[string]any); status[field] != want {
			return fmt.Errorf("the status of the RayJob is %v", status)
		}
		return nil
	})
}

// suspend sets spec.suspend of a RayJob, as Kueue does when it admits a workload (false) or preempts it (true).
func (r *run) suspend(t *testing.T, job string, suspended bool) {
	t.Helper()
	body := map[bool]string{true: `{"spec": {"suspend": true}}`, false: `{"spec": {"suspend": false}}`}[suspended]
	_, err := r.p.Do(t.Context(), kube.Request{
		Method: http.MethodPatch, Path: kube.ObjectPath("ray.io/v1", r.p.namespace, "rayjobs", job),
		Body: []byte(body), ContentType: "application/merge-patch+json",
	})
	if err != nil {
		t.Fatal(err)
	}
}

// admitted checks that the time in the queue counts only for pendingTimeout: the step waits in the queue for longer than its timeout, and
// still succeeds.
func (w *shared) admitted(t *testing.T) {
	withGrowingLimit(t, 12, func(seconds int) *run {
		r, job := w.queued(t, limited(`{name: one, ray: {entrypoint: "echo 7 >$RAYORCH_OUTPUT"}, timeout: LIMITs, pendingTimeout: 20m}`, seconds))
		r.until(t, "a wait that is longer than the timeout", func() error {
			if waited := time.Since(r.Started); waited < time.Duration(seconds+3)*time.Second {
				return fmt.Errorf("the step has waited for %s", waited)
			}
			return nil
		})
		if pods := r.objects(t, "/api/v1/namespaces/"+w.namespace+"/pods"); len(pods) != 0 {
			t.Errorf("a suspended RayJob has pods: %v", pods)
		}
		r.suspend(t, job, false)
		return r
	}, stepfn.Succeeded, `{"one":7}`).gone(t)
}

func (w *shared) neverAdmitted(t *testing.T) {
	withGrowingLimit(t, 10, func(seconds int) *run {
		return w.enqueue(t, limited(`{name: one, ray: {entrypoint: "echo never"}, pendingTimeout: LIMITs}`, seconds))
	}, stepfn.Failed, "Ray.PendingTimeout: Ray did not start the job within LIMIT s: RayJob Suspended; the queue team-a has not admitted it").gone(t)
}

// preempted checks that the step fails if Kueue preempts its cluster while the job runs. KubeRay would start the job again, but only the
// step's retry may do that.
func (w *shared) preempted(t *testing.T) {
	r, job := w.queued(t, `{name: one, ray: {entrypoint: "sleep 3600"}, pendingTimeout: 20m}`)
	r.suspend(t, job, false)
	r.awaitRayJob(t, "jobStatus", "RUNNING")
	r.until(t, "a poll by the state machine while the job runs", func() error {
		if !r.sawRunning(t) {
			return clustertest.ErrNotYet // until shows the history
		}
		return nil
	})
	r.suspend(t, job, true)
	r.want(t, stepfn.Failed, "Ray.HeadLost: the queue team-a evicted the cluster")
	r.gone(t)
}

// sawRunning reports whether the state machine knows that the job has started.
func (r *run) sawRunning(t *testing.T) bool {
	t.Helper()
	events, err := r.p.engine.History(r.ARN, engine.HistoryQuery{Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		for name, v := range e.AssignedVariables {
			if strings.HasPrefix(name, "ran") && v != "0" {
				return true
			}
		}
	}
	return false
}
