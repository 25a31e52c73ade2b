package modes_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// TestQuota runs steps in a namespace whose quota does not allow them. It needs no Ray, because no pod is created that could use it.
func TestQuota(t *testing.T) {
	needsFull(t)
	const rayStep = `{name: one, ray: {entrypoint: "echo never"}, pendingTimeout: LIMITs}`
	const plainStep = `{name: one, job: {shell: "echo never", memory: 64Mi}, pendingTimeout: LIMITs}`
	for name, c := range map[string]struct {
		hard       map[string]any
		mode, step string
		want       []string
	}{
		"submitter":       {map[string]any{"requests.memory": "16Mi"}, "job", rayStep, []string{"Ray.PendingTimeout: no pod of the job started within LIMIT s", "exceeded quota: small", "requested: requests.memory=64Mi", "limited: requests.memory=16Mi"}},
		"plain job":       {map[string]any{"requests.memory": "16Mi"}, "job", plainStep, []string{"Job.StartFailed: no pod of the job started within LIMIT s", "exceeded quota: small", "limited: requests.memory=16Mi"}},
		"no pods":         {map[string]any{"pods": "0"}, "job", plainStep, []string{"Job.StartFailed: ", "exceeded quota: small", "limited: pods=0"}},
		"no Jobs":         {map[string]any{"count/jobs.batch": "0"}, "job", plainStep, []string{"Job.StartFailed: ", "exceeded quota: small", "limited: count/jobs.batch=0"}},
		"no Jobs, by job": {map[string]any{"count/jobs.batch": "0"}, "job", rayStep, []string{"Ray.SubmitFailed: ", "exceeded quota: small", "limited: count/jobs.batch=0"}},
		"own cluster":     {map[string]any{"pods": "0"}, "rayjob", rayStep, []string{"Ray.PendingTimeout: ", "exceeded quota: small", "limited: pods=0"}},
		"no RayJobs":      {map[string]any{"count/rayjobs.ray.io": "0"}, "rayjob", rayStep, []string{"Ray.SubmitFailed: ", "exceeded quota: small", "limited: count/rayjobs.ray.io=0"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &shared{Cluster: clustertest.Start(t)}
			w.namespace, w.image = w.Restricted(t), w.RayImage(t)
			w.quota(t, c.hard)
			p, begin := w.open(t), time.Now()
			r := withGrowingLimit(t, 8, func(seconds int) *run {
				return p.start(t, w.ownCluster(c.mode, w.clusterSpec())+"steps: ["+limited(c.step, seconds)+"]\n", t.TempDir(), c.mode, "{}")
			}, stepfn.Failed, c.want...)
			cause := r.end(t).Cause
			if strings.Contains(cause, "ResponseBody") || strings.Count(cause, "exceeded quota") > 1 {
				t.Errorf("the cause contains raw JSON, or the quota more than once: %s", cause)
			}
			t.Logf("after %s: %s", time.Since(begin).Round(time.Second), cause)
			r.gone(t)
		})
	}
}

// quota creates a ResourceQuota in the namespace, and waits until it is enforced.
func (w *shared) quota(t *testing.T, hard map[string]any) {
	t.Helper()
	o := clustertest.Object("v1", "ResourceQuota", w.namespace, "small", kube.Object{"spec": map[string]any{"hard": hard}})
	w.Apply(t, o)
	clustertest.Until(clustertest.Context(t), t, "the quota", func() error {
		o, err := w.Client.Get(t.Context(), o)
		if _, ok := kube.Field(o, "status", "used").(map[string]any); err == nil && !ok {
			err = fmt.Errorf("the status of the quota is %v", o["status"])
		}
		return err
	})
}

// ownCluster returns the head of a pipeline without a claim for the submission mode. In mode rayjob, each step has its own cluster.
func (w *shared) ownCluster(mode, spec string) string {
	of := "{cluster: ray}"
	if mode == "rayjob" {
		of = "{clusterSpec: " + spec + "}"
	}
	return strings.NewReplacer("{cluster: ray}", of, ", claim: data", "", "kind: kubernetes,", "kind: kubernetes, submit: "+mode+",").Replace(head)
}
