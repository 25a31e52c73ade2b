package doctor

import (
	"cmp"
	"context"
	"fmt"
	"net/http"

	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/pipeline"
)

// rayHead looks for the Ray cluster, unless each step creates one of its own. A Ray without KubeRay has no RayCluster: its service
// is sufficient, but the other checks of Ray do not apply.
func (c *Cluster) rayHead(ctx context.Context) []Finding {
	r := c.Compiled
	if !c.UsesRay(c.client.Context()) || c.Target.Ray.ClusterSpec != nil {
		return nil
	}
	h, err := c.client.FindHead(ctx, r.Namespace, r.RayCluster)
	if err != nil {
		return c.headService(ctx, err)
	}
	c.head = &h
	if !h.Ready {
		return failed(fmt.Sprintf("kubectl describe raycluster %s -n %s; kubectl get pods -n %s", h.Cluster, r.Namespace, r.Namespace),
			"%s is not ready: %s", h.Cluster, h.Why)
	}
	return found(true, "%s, service %s", h.Cluster, h.Service)
}

// headService looks for the head's service if no head was found, by the error notFound.
func (c *Cluster) headService(ctx context.Context, notFound error) []Finding {
	r := c.Compiled
	_, err := c.get(ctx, kube.ObjectPath("v1", r.Namespace, "services", r.Service))
	switch {
	case err == nil:
		return found(true, "service %s", r.Service)
	case kube.Code(notFound) == http.StatusForbidden && kube.Code(err) == http.StatusForbidden:
		// The role that apply creates does not allow reading services: a run needs none.
		return noted(fmt.Sprintf("kubectl get service %s -n %s, by somebody who may", r.Service, r.Namespace),
			"you may not look at services: whether %s is there is not known", r.Service)
	}
	return found(false, "%v", notFound)
}

// headIsReady reports whether there is a head to ask.
func (c *Cluster) headIsReady() bool { return c.head != nil && c.head.Ready }

// rayVersion compares the version that Ray reports with that of its RayCluster. Our submitter works with any release; KubeRay's own, which
// rayjob may use, takes its commands from the RayCluster's.
func (c *Cluster) rayVersion(ctx context.Context) []Finding {
	if !c.headIsReady() {
		return nil
	}
	service := fmt.Sprintf("%s:%d", c.head.Service, c.Compiled.Port)
	o, err := c.get(ctx, kube.ObjectPath("v1", c.Compiled.Namespace, "services", service)+"/proxy/api/version")
	running, _ := o["ray_version"].(string)
	says := c.head.RayVersion
	switch {
	case err != nil:
		return found(says != "", "%s, as the RayCluster says", cmp.Or(says, "unknown"))
	case says != "" && says != running:
		return failed("KubeRay's own submitter takes its commands from spec.rayVersion: make it the image's", "%s, but the RayCluster says %s", running, says)
	}
	return found(true, "%s", running)
}

// rayToken looks whether the target names the token that the cluster requires. KubeRay's submitter, which rayjob uses, finds it itself.
func (c *Cluster) rayToken(context.Context) []Finding {
	if !c.headIsReady() || !c.head.Auth || c.Target.Ray.Token != nil {
		return nil
	}
	f := found(c.Compiled.Mode == pipeline.SubmitRayJob, "the cluster wants a token, and the target names none")
	if !f[0].OK {
		f[0].Advice = "set the target's ray.token: {name: " + c.head.Cluster + ", key: auth_token}, and submit by job"
	}
	return f
}

// kubeRay looks for the operator's kinds if runs create RayJobs. The other modes need a Ray, not its operator.
func (c *Cluster) kubeRay(ctx context.Context) []Finding {
	if c.Compiled.Mode != pipeline.SubmitRayJob || !c.UsesRay(c.client.Context()) {
		return nil
	}
	_, err := c.get(ctx, "/apis/ray.io/v1")
	return readable("ray.io/v1 is served", err)
}
