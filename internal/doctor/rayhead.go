package doctor

import (
	"context"
	"fmt"
	"net/http"

	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/pipeline"
)

// rayHead checks that the Ray cluster exists, unless each step creates its own. A Ray cluster that KubeRay does not manage has no
// RayCluster object: its Service is sufficient, but the other checks of Ray do not apply to it.
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
		return failed(fmt.Sprintf("to find out why, run: kubectl describe raycluster %s -n %s; kubectl get pods -n %s", h.Cluster, r.Namespace, r.Namespace),
			"%s is not ready: %s", h.Cluster, h.Why)
	}
	return found(true, "%s, service %s", h.Cluster, h.Service)
}

// headService checks that the Service of the head exists if no RayCluster was found. If there is no Service either, the finding
// is the error notFound.
func (c *Cluster) headService(ctx context.Context, notFound error) []Finding {
	r := c.Compiled
	_, err := c.get(ctx, kube.ObjectPath("v1", r.Namespace, "services", r.Service))
	switch {
	case err == nil:
		return found(true, "service %s", r.Service)
	case kube.Code(notFound) == http.StatusForbidden && kube.Code(err) == http.StatusForbidden:
		// The role that apply creates does not allow this, because runs do not need it.
		return noted(fmt.Sprintf("a user who is allowed to read Services can check it with: kubectl get service %s -n %s", r.Service, r.Namespace),
			"not allowed to read Services: cannot check whether %s exists", r.Service)
	}
	return found(false, "%v", notFound)
}

// headIsReady reports whether there is a head that can answer.
func (c *Cluster) headIsReady() bool { return c.head != nil && c.head.Ready }

// rayVersion compares the version that Ray reports with that of its RayCluster. rayorch's submitter works with any release, but
// KubeRay's submitter, which the mode rayjob may use, depends on the version in the RayCluster.
func (c *Cluster) rayVersion(ctx context.Context) []Finding {
	if !c.headIsReady() {
		return nil
	}
	service := fmt.Sprintf("%s:%d", c.head.Service, c.Compiled.Port)
	o, err := c.get(ctx, kube.ObjectPath("v1", c.Compiled.Namespace, "services", service)+"/proxy/api/version")
	running, _ := o["ray_version"].(string)
	declared := c.head.RayVersion
	switch {
	case err != nil && declared == "":
		return found(false, "unknown")
	case err != nil:
		return found(true, "%s, according to the RayCluster", declared)
	case declared != "" && declared != running:
		return failed("set spec.rayVersion of the RayCluster to "+running+", because KubeRay's submitter depends on it",
			"%s, but spec.rayVersion of the RayCluster is %s", running, declared)
	}
	return found(true, "%s", running)
}

// rayToken checks that the target specifies the token if the cluster requires one. KubeRay's submitter, which the mode rayjob
// uses, finds the token itself.
func (c *Cluster) rayToken(context.Context) []Finding {
	if !c.headIsReady() || !c.head.Auth || c.Target.Ray.Token != nil {
		return nil
	}
	f := found(c.Compiled.Mode == pipeline.SubmitRayJob, "the Ray cluster requires a token, but the target does not specify one")
	if !f[0].OK {
		f[0].Advice = "add ray.token: {name: " + c.head.Cluster + ", key: auth_token} to the target, and use --submit job"
	}
	return f
}

// kubeRay checks that the cluster has the API of KubeRay if runs create RayJobs. The other modes do not need the operator.
func (c *Cluster) kubeRay(ctx context.Context) []Finding {
	if c.Compiled.Mode != pipeline.SubmitRayJob || !c.UsesRay(c.client.Context()) {
		return nil
	}
	_, err := c.get(ctx, "/apis/ray.io/v1")
	return readable("the API ray.io/v1 is available", err)
}
