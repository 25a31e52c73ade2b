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

// Deployment has the checks of a deployment on AWS. They use the record in its stack, because the pipeline file may have changed
// since it was deployed.
type Deployment struct {
	Found deploy.Deployment
	// Connect connects to the cluster of the deployment with its admin role.
	Connect func(context.Context) (*kube.Client, error)

	client *kube.Client
}

// Checks returns the checks of the deployment itself. The first result is that the deployment was found; it always passes, because
// the command fails earlier if there is no deployment.
func (d *Deployment) Checks() []Check {
	r, role := d.Found.Record, d.Found.Outputs["EksServiceAccountRoleArn"]
	return []Check{
		{Name: "deployment", Severity: Required, Run: d.deployed},
		{Name: "cluster", Severity: Required, Gate: true, Run: d.cluster, Fix: "the deployment uses the admin role " + r.AdminRole},
		{Name: "service account", Severity: Required, Run: d.account, Fix: "to set the role " + role + ", run rayorch deploy again with the same parameters"},
		{Name: "ray pods", Severity: Advisory, Run: d.rayPods, Fix: "to give Ray's pods access to the data bucket, set serviceAccountName: " + r.User +
			" in the pod templates of the RayCluster's head and workers"},
	}
}

// Reached reports whether a check has connected to the cluster.
func (d *Deployment) Reached() bool { return d.client != nil }

// Secrets returns the checks of the secrets in the pipeline file, because the record does not contain them. Run them only if
// Reached is true.
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

// account checks the service account and its role. EKS takes the role from an annotation; without it, pods start but have no
// access to the bucket.
func (d *Deployment) account(ctx context.Context) []Finding {
	r := d.Found.Record
	res, err := d.client.Do(ctx, kube.Request{Path: kube.ObjectPath("v1", r.Namespace, "serviceaccounts", r.User)})
	var o kube.Object
	if err == nil {
		err = json.Unmarshal(res.Body, &o)
	}
	if err != nil {
		return failed("to create it, run rayorch deploy again with the same parameters", "%v", err)
	}
	has, _ := kube.Field(o, "metadata", "annotations", "eks.amazonaws.com/role-arn").(string)
	return found(has == d.Found.Outputs["EksServiceAccountRoleArn"], "%s, role: %s", r.User, cmp.Or(has, "none"))
}

// rayPods checks the service account of the Ray cluster's pods. Ray jobs run in these pods, which deploy does not create, so that
// their service account determines the access to the bucket.
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
		return found(false, "no pods of a RayCluster in namespace %s", r.Namespace)
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
