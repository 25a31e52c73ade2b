package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/aws/deploy"
	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
)

// Deployment has the checks of what rayorch deploy created on AWS, by the record that it left in the stack: what is deployed counts,
// not what the pipeline file says now.
type Deployment struct {
	Found deploy.Deployment
	// Connect opens its cluster as its admin role.
	Connect func(context.Context) (*kube.Client, error)

	client *kube.Client
}

// Checks are of the deployment itself. That its record was found is the first result, not a check that can fail: without one there is
// nothing to check, and the command says so.
func (d *Deployment) Checks() []Check {
	r, role := d.Found.Record, d.Found.Outputs["EksServiceAccountRoleArn"]
	return []Check{
		{Name: "deployment", Severity: Required, Look: d.deployed},
		{Name: "cluster", Severity: Required, Gate: true, Look: d.cluster, Fix: "the admin role of the deployment is " + r.AdminRole},
		{Name: "service account", Severity: Required, Look: d.account, Fix: "run rayorch deploy again: it sets the role " + role},
		{Name: "ray pods", Severity: Advisory, Look: d.rayPods, Fix: "to reach the data bucket Ray's pods must run as " + r.User +
			": set serviceAccountName: " + r.User + " in the pod templates of the RayCluster's head and workers"},
	}
}

// Reached reports whether Checks connected to the cluster.
func (d *Deployment) Reached() bool { return d.client != nil }

// Secrets are the checks of the secrets in the pipeline file: the record has none. They need a cluster that was reached.
func (d *Deployment) Secrets(p *pipeline.Pipeline) []Check {
	users := pipeline.SecretUsers(p.Steps)
	var checks []Check
	for _, e := range p.Secrets.Entries {
		if s, steps := e.Value.KubernetesSecret, users[e.Key]; s != nil && len(steps) > 0 {
			key := compile.SecretKey{Name: s.Name, Key: s.Key}
			checks = append(checks, secretCheck(func() *kube.Client { return d.client }, d.Found.Record.Namespace, key, steps))
		}
	}
	return checks
}

func (d *Deployment) deployed(context.Context) []Finding {
	return found(true, "state machine %s, as %s", d.Found.Record.Machine, d.Found.Caller.ARN)
}

func (d *Deployment) cluster(ctx context.Context) []Finding {
	client, err := d.Connect(ctx)
	if err != nil {
		return found(false, "%v", err)
	}
	d.client = client
	return found(true, "%s, as %s", d.Found.Record.Cluster, d.Found.Record.AdminRole)
}

// account looks for the service account by whose role pods reach the bucket. EKS takes the role from an annotation; if somebody
// applied the object without it, pods start and cannot read the bucket.
func (d *Deployment) account(ctx context.Context) []Finding {
	r := d.Found.Record
	res, err := d.client.Do(ctx, kube.Request{Path: kube.ObjectPath("v1", r.Namespace, "serviceaccounts", r.User)})
	var o kube.Object
	if err == nil {
		err = json.Unmarshal(res.Body, &o)
	}
	if err != nil {
		return failed("run rayorch deploy again: it makes it", "%v", err)
	}
	has, _ := kube.Field(o, "metadata", "annotations", "eks.amazonaws.com/role-arn").(string)
	return found(has == d.Found.Outputs["EksServiceAccountRoleArn"], "%s with the role %s", r.User, cmp.Or(has, "-"))
}

// rayPods looks under which account Ray's own pods run. Steps that submit to Ray compute in these pods, so they have the pods'
// access to the bucket; deploy creates no such pods.
func (d *Deployment) rayPods(ctx context.Context) []Finding {
	r := d.Found.Record
	var list struct {
		Items []struct {
			Spec struct{ ServiceAccountName string }
		}
	}
	res, err := d.client.Do(ctx, kube.Request{Path: kube.CollectionPath("v1", r.Namespace, "pods"), Query: url.Values{"labelSelector": {"ray.io/cluster"}}})
	if err == nil {
		err = json.Unmarshal(res.Body, &list)
	}
	switch {
	case err != nil:
		return found(false, "%v", err)
	case len(list.Items) == 0:
		return found(false, "KubeRay has none in namespace %s", r.Namespace)
	}
	var others []string
	for _, p := range list.Items {
		if name := p.Spec.ServiceAccountName; name != r.User && !slices.Contains(others, name) {
			others = append(others, name)
		}
	}
	slices.Sort(others)
	if len(others) > 0 {
		return found(false, "some of %d run as %s", len(list.Items), strings.Join(others, ", "))
	}
	return found(true, "all %d run as %s", len(list.Items), r.User)
}
