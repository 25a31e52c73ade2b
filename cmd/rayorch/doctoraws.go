package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/compile"
	"github.com/rayorch/rayorch/internal/deploy"
	"github.com/rayorch/rayorch/internal/kube"
	"github.com/rayorch/rayorch/internal/pipeline"
)

// awsDoctor looks at what a deployment on AWS needs to run, by its record. It changes nothing.
type awsDoctor struct {
	d      *deploy.Deployer
	found  deploy.Deployment
	c      *kube.Client
	checks []check
}

// doctorAWS looks at a deployment: what is deployed is looked at, not what the pipeline file says now.
func (a *app) doctorAWS(ctx context.Context, o awsOptions) error {
	d, found, err := a.deployment(ctx, o)
	if err != nil {
		return err
	}
	w := &awsDoctor{d: d, found: found}
	w.add("deployment", true, true, "", "state machine %s, as %s", found.Record.Machine, found.Caller.ARN)
	w.cluster(ctx)
	if o.path != "" && w.c != nil {
		src, err := a.load(sourceOptions{path: o.path})
		if err != nil {
			return err
		}
		w.secrets(ctx, src.pipeline)
	}
	return a.showChecks(w.checks)
}

// secrets looks for those of the pipeline file: the record has none.
func (w *awsDoctor) secrets(ctx context.Context, p *pipeline.Pipeline) {
	for _, e := range p.Secrets.Entries {
		s := e.Value.KubernetesSecret
		if steps := secretUsers(p.Steps)[e.Key]; s != nil && len(steps) > 0 {
			w.checks = append(w.checks, checkSecret(ctx, w.c, w.found.Record.Namespace, compile.SecretKey{Name: s.Name, Key: s.Key}, steps))
		}
	}
}

func (w *awsDoctor) add(name string, needed, ok bool, advice, format string, args ...any) {
	if ok {
		advice = ""
	}
	w.checks = append(w.checks, check{Name: name, OK: ok, Needed: needed, Found: fmt.Sprintf(format, args...), Advice: advice})
}

// cluster makes the checks in the cluster. What cannot be reached ends them: the error says what would let one in.
func (w *awsDoctor) cluster(ctx context.Context) {
	r := w.found.Record
	var err error
	if w.c, err = w.d.Cluster(ctx, w.found); err != nil {
		w.add("cluster", true, false, "the admin role of the deployment is "+r.AdminRole, "%v", err)
		return
	}
	w.add("cluster", true, true, "", "%s, as %s", r.Cluster, r.AdminRole)
	w.account(ctx)
	w.rayPods(ctx)
}

// account looks for the service account by whose role pods reach the bucket.
func (w *awsDoctor) account(ctx context.Context) {
	r, role := w.found.Record, w.found.Outputs["EksServiceAccountRoleArn"]
	res, err := w.c.Do(ctx, kube.Request{Path: kube.ObjectPath("v1", r.Namespace, "serviceaccounts", r.User)})
	var o kube.Object
	if err == nil {
		err = json.Unmarshal(res.Body, &o)
	}
	if err != nil {
		w.add("service account", true, false, "run rayorch deploy again: it makes it", "%v", err)
		return
	}
	has, _ := kube.Field(o, "metadata", "annotations", "eks.amazonaws.com/role-arn").(string)
	w.add("service account", true, has == role, "run rayorch deploy again: it sets the role "+role, "%s with the role %s", r.User, orDash(has))
}

// rayPods tells under which account Ray's own pods run. Steps that submit to Ray compute there, so that their access to the
// bucket is that of Ray's pods, which deploy makes none of.
func (w *awsDoctor) rayPods(ctx context.Context) {
	r := w.found.Record
	var list struct {
		Items []struct {
			Spec struct{ ServiceAccountName string }
		}
	}
	res, err := w.c.Do(ctx, kube.Request{Path: kube.CollectionPath("v1", r.Namespace, "pods"), Query: url.Values{"labelSelector": {"ray.io/cluster"}}})
	if err == nil {
		err = json.Unmarshal(res.Body, &list)
	}
	advice := "to reach the data bucket Ray's pods must run as " + r.User + ": set serviceAccountName: " + r.User + " in the pod templates of the RayCluster's head and workers"
	if err != nil || len(list.Items) == 0 {
		w.add("ray pods", false, false, advice, "%s", orError("KubeRay has none in namespace "+r.Namespace, err))
		return
	}
	var others []string
	for _, p := range list.Items {
		if name := p.Spec.ServiceAccountName; name != r.User && !slices.Contains(others, name) {
			others = append(others, name)
		}
	}
	slices.Sort(others)
	if len(others) > 0 {
		w.add("ray pods", false, false, advice, "some of %d run as %s", len(list.Items), strings.Join(others, ", "))
		return
	}
	w.add("ray pods", false, true, "", "all %d run as %s", len(list.Items), r.User)
}
