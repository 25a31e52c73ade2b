package modes_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// TestToken runs a pipeline on a Ray that requires a token, in the submission modes that support tokens. The compiler rejects mode proxy.
func TestToken(t *testing.T) {
	needsFull(t)
	w := &shared{Cluster: clustertest.Start(t)}
	w.namespace, w.image = w.Restricted(t), w.RayImage(t)
	w.RayCluster(t, w.namespace, clustertest.RayOptions{Name: "ray", Token: true, NoWorker: true})
	text := strings.NewReplacer("{cluster: ray}", "{cluster: ray, token: {name: ray, key: auth_token}}", ", claim: data", "").Replace(head) + `
params: {text: {type: string, default: "$HOME ' \" $RAYORCH_PARAM_TEXT"}}
steps:
- name: one
  ray:
    entrypoint: printf '%s' ${{ params.text }} | python3 -c 'import json, sys, os; json.dump(sys.stdin.read(), open(os.environ["RAYORCH_OUTPUT"], "w"))'
- {name: two, ray: {entrypoint: "echo the reason; exit 3"}}
`
	for _, mode := range []string{"job", "rayjob"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			r := w.open(t).start(t, text, t.TempDir(), mode, "{}")
			r.want(t, stepfn.Failed, "Ray.JobFailed")
			if got, want := string(r.stepOutput(t, "one")), `{"one":"$HOME ' \" $RAYORCH_PARAM_TEXT"}`; got != want {
				r.dump(t)
				t.Errorf("the first step returned %s, want %s", got, want)
			}
		})
	}
}

// stepOutput returns the output of a step.
func (r *run) stepOutput(t *testing.T, step string) []byte {
	t.Helper()
	events, err := r.p.engine.History(r.ARN, engine.HistoryQuery{Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if e.Name == step && strings.HasSuffix(string(e.Type), "Exited") {
			return e.Output
		}
	}
	return nil
}

// clusterSpec returns a ray.clusterSpec with one small head, for a step with its own cluster.
func (w *shared) clusterSpec() string {
	return fmt.Sprintf(`{rayVersion: %s, headGroupSpec: {rayStartParams: {dashboard-host: 0.0.0.0, num-cpus: "1", object-store-memory: "100000000"}, template: {spec: {securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}, containers: [{name: ray, image: %q, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}, resources: {requests: {cpu: 100m, memory: 512Mi}, limits: {memory: 1000Gi}}}]}}}}`,
		clustertest.RayVersion, w.image)
}

// TestOwnCluster runs steps with their own Ray clusters, which must be deleted after the step.
func TestOwnCluster(t *testing.T) {
	needsFull(t)
	w := &shared{Cluster: clustertest.Start(t)}
	w.namespace, w.image = w.Restricted(t), w.RayImage(t)
	spec := w.clusterSpec()
	for name, c := range map[string]struct {
		limit      int
		spec, step string
		status     stepfn.Status
		want       string
	}{
		"output":        {0, spec, `{name: one, ray: {entrypoint: "echo 7 >$RAYORCH_OUTPUT"}}`, stepfn.Succeeded, `{"one":7}`},
		"unschedulable": {10, strings.Replace(spec, "memory: 512Mi", "memory: 900Gi", 1), `{name: one, ray: {entrypoint: "echo"}, pendingTimeout: LIMITs}`, stepfn.Failed, "Unschedulable: 0/1 nodes are available"},
		"no image":      {20, strings.Replace(spec, w.image, "nobody.invalid/has:1", 1), `{name: one, ray: {entrypoint: "echo"}, pendingTimeout: LIMITs}`, stepfn.Failed, "nobody.invalid/has:1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := w.open(t)
			withGrowingLimit(t, c.limit, func(seconds int) *run {
				return p.start(t, w.ownCluster("rayjob", c.spec)+"steps: ["+limited(c.step, seconds)+"]\n", t.TempDir(), "rayjob", "{}")
			}, c.status, c.want).gone(t)
		})
	}
}
