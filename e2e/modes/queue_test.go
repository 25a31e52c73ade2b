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

// TestQueue runs steps whose clusters wait in a queue of Kueue. Kueue itself is not here: the test stands in for it, and
// does what it does to a RayJob, which is to set spec.suspend. KubeRay is real.
func TestQueue(t *testing.T) {
	full(t)
	w := &shared{Cluster: clustertest.Start(t)}
	w.namespace, w.image = w.Restricted(t), w.RayImage(t)
	for name, test := range map[string]func(*testing.T){"admitted": w.admitted, "never admitted": w.neverAdmitted, "preempted": w.preempted} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// enqueue starts a step that is queued.
func (w *shared) enqueue(t *testing.T, step string) *run {
	t.Helper()
	text := strings.Replace(w.ownCluster("rayjob", w.clusterSpec()), "kind: kubernetes,", "kind: kubernetes, queue: team-a,", 1) +
		"steps: [" + step + "]\n"
	return w.open(t).start(t, text, t.TempDir(), "rayjob", "{}")
}

// queued starts a step that is queued, and waits until KubeRay holds it.
func (w *shared) queued(t *testing.T, step string) (r *run, job string) {
	t.Helper()
	r = w.enqueue(t, step)
	r.awaitRayJob(t, "jobDeploymentStatus", "Suspended")
	if q := r.rayJob(t, "metadata", "labels", "kueue.x-k8s.io/queue-name"); q != "team-a" {
		t.Errorf("the RayJob's queue is %v", q)
	}
	if s := r.rayJob(t, "spec", "suspend"); s != true {
		t.Errorf("the RayJob's spec.suspend is %v", s)
	}
	name, _ := r.rayJob(t, "metadata", "name").(string)
	return r, name
}

// rayJob is a field of the execution's RayJob; nil where there is none.
func (r *run) rayJob(t *testing.T, path ...string) any {
	t.Helper()
	for _, o := range r.list(t, "/apis/ray.io/v1/namespaces/"+r.p.namespace+"/rayjobs") {
		return kube.Field(o, path...)
	}
	return nil
}

// awaitRayJob waits until the execution's RayJob has something in its status.
func (r *run) awaitRayJob(t *testing.T, field, want string) {
	t.Helper()
	r.until(t, "a RayJob that is "+want, func() error {
		if status, _ := r.rayJob(t, "status").(map[string]any); status[field] != want {
			return fmt.Errorf("its status is %v", status)
		}
		return nil
	})
}

// suspend is what Kueue does when it takes a workload out of its queue, or puts it back.
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

// admitted: the time in the queue counts for pendingTimeout alone, so that a step waits longer than it may run.
func (w *shared) admitted(t *testing.T) {
	patiently(t, 12, func(seconds int) *run {
		r, job := w.queued(t, limited(`{name: one, ray: {entrypoint: "echo 7 >$RAYORCH_OUTPUT"}, timeout: LIMITs, pendingTimeout: 20m}`, seconds))
		r.until(t, "a wait that is longer than it may run", func() error {
			if waited := time.Since(r.Started); waited < time.Duration(seconds+3)*time.Second {
				return fmt.Errorf("it has waited for %s", waited)
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
	patiently(t, 10, func(seconds int) *run {
		return w.enqueue(t, limited(`{name: one, ray: {entrypoint: "echo never"}, pendingTimeout: LIMITs}`, seconds))
	}, stepfn.Failed, "Ray.PendingTimeout: ray did not start the job within LIMIT s: RayJob Suspended; the queue team-a has not admitted it").gone(t)
}

// preempted: Kueue takes a cluster away from a job that runs. It would run again from its start, which only retry may say.
func (w *shared) preempted(t *testing.T) {
	r, job := w.queued(t, `{name: one, ray: {entrypoint: "sleep 3600"}, pendingTimeout: 20m}`)
	r.suspend(t, job, false)
	r.awaitRayJob(t, "jobStatus", "RUNNING")
	r.until(t, "the state machine's look at a job that runs", func() error {
		if !r.sawRunning(t) {
			return clustertest.ErrNotYet // the history, which is shown, has what it saw
		}
		return nil
	})
	r.suspend(t, job, true)
	r.want(t, stepfn.Failed, "Ray.HeadLost: the queue team-a evicted the cluster")
	r.gone(t)
}

// sawRunning tells whether the state machine knows that the job began.
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
