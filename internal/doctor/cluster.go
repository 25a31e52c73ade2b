package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
)

// Cluster has the checks of a target of kind kubernetes in one of its clusters. They use the credentials of the kubeconfig, which
// often have few permissions: if an object cannot be read (403), the result is a note instead of a failure, unless a run needs
// the same permission.
type Cluster struct {
	// Context is the context of the kubeconfig; "" for the current one.
	Context string
	// Open returns a client for the context.
	Open func() (*kube.Client, error)

	Pipeline *pipeline.Pipeline
	Target   pipeline.Target
	Compiled *compile.Result
	// UsesRay reports whether Ray steps run in a context. It takes the name because Context may be "".
	UsesRay func(context string) bool
	// Files are the ConfigMaps of Compiled.
	Files []kube.Object
	// Apply returns the command that creates missing objects. If runner is not "", the command also grants that subject the
	// permissions to run the pipeline.
	Apply func(runner string) string

	client *kube.Client
	space  kube.Object // the Namespace object; nil if it cannot be read
	head   *kube.Head  // nil if there is none, or none is needed
}

// Examine runs the checks and sets the name of the context in each result. It uses the name that the client resolved, because
// Context may be "".
func (c *Cluster) Examine(ctx context.Context) []Result {
	results := Run(ctx, c.Checks())
	name := c.Context
	if c.client != nil {
		name = c.client.Context()
	}
	for i := range results {
		results[i].Context = name
	}
	return results
}

// Checks returns the checks in the order of their dependencies: reach sets the client, namespace sets the Namespace object, and
// rayHead sets the head for the other checks of Ray. Without a connection or a namespace, all later checks would fail, too, so
// these two checks are gates.
func (c *Cluster) Checks() []Check {
	r := c.Compiled
	checks := []Check{
		{Name: "context", Severity: Required, Gate: true, Run: c.reach},
		{Name: "namespace", Severity: Required, Gate: true, Run: c.namespace},
		{Name: "pod security", Severity: Required, Run: c.podSecurity,
			Fix: "change or remove securityContext in the pipeline file; the namespace admits pods with the default securityContext"},
		{Name: "permissions", Severity: Required, Run: c.permissions},
		{Name: "to put files", Label: "upload files", Severity: Advisory, Run: c.putFiles},
		{Name: "ray head", Severity: Required, Run: c.rayHead,
			Fix: "create a RayCluster in the namespace, or set ray.cluster or ray.service in the target to an existing one"},
		{Name: "ray version", Severity: Advisory, Run: c.rayVersion},
		{Name: "ray token", Severity: Required, Run: c.rayToken},
		{Name: "ray storage", Severity: Required, Run: c.rayStorage,
			Fix: "mount the claim in the pod templates of the RayCluster (see examples/kubernetes/ray.yaml), or remove storage.claim from the pipeline file"},
		{Name: "kuberay", Severity: Required, Run: c.kubeRay, Fix: "install the KubeRay operator, or use another submission mode: --submit job"},
		{Name: "kueue queue", Severity: Required, Run: c.queue, Fix: "install Kueue and create a LocalQueue of that name, or remove queue from the target"},
		{Name: "claim", Severity: Required, Run: c.claim,
			Fix: "to find out why it is not bound, run: kubectl describe pvc " + r.Claim + " -n " + r.Namespace},
	}
	for _, k := range r.Secrets {
		checks = append(checks, secretCheck(func() *kube.Client { return c.client }, r.Namespace, k, clusterUsers(c.Pipeline, k)))
	}
	return append(checks,
		Check{Name: "service account", Severity: Required, Run: c.account, Fix: "to create it, run: " + c.Apply("")},
		Check{Name: "quota", Severity: Advisory, Run: c.quota, Fix: "pods of the pipeline may have to wait: raise the quota, or stop workloads that use it"},
		Check{Name: "files", Severity: Advisory, Run: c.files, Fix: "a user who is allowed to create ConfigMaps must run: " + c.Apply("")})
}

// get reads an object, or any other JSON, at an API path.
func (c *Cluster) get(ctx context.Context, path string) (kube.Object, error) {
	res, err := c.client.Do(ctx, kube.Request{Path: path})
	if err != nil {
		return nil, err
	}
	var o kube.Object
	return o, errors.Join(json.Unmarshal(res.Body, &o))
}

// reach connects to the cluster and reads its version, which every user can read.
func (c *Cluster) reach(ctx context.Context) []Finding {
	client, err := c.Open()
	if err != nil {
		return failed("choose a context with --context, or with context in the target; to list them, run: kubectl config get-contexts", "%v", err)
	}
	c.client = client
	res, err := client.Do(ctx, kube.Request{Path: "/version"})
	if err != nil {
		return failed("to test the connection without rayorch, run: kubectl version", "%v", err)
	}
	var v struct{ GitVersion string }
	_ = json.Unmarshal(res.Body, &v) // any response shows that the cluster is reachable
	return found(true, "%s: Kubernetes %s at %s", cmp.Or(client.Context(), "the cluster of this pod"), cmp.Or(v.GitVersion, "(unknown version)"), client.Server())
}

// namespace checks that the namespace exists, and keeps the object for podSecurity if the user can read it.
func (c *Cluster) namespace(ctx context.Context) []Finding {
	name := c.Compiled.Namespace
	o, err := c.get(ctx, kube.CollectionPath("v1", "", "namespaces")+"/"+name)
	switch {
	case err == nil, kube.Code(err) == http.StatusForbidden: // few users can read namespaces
		c.space = o
		return found(true, "%s", name)
	case kube.NotFound(err):
		return failed("to create it, run: "+c.Apply(""), "namespace %s not found", name)
	}
	return failed("", "%v", err)
}

// podSecurity checks which pods the namespace rejects because of the Pod Security Standard that it enforces. It has no finding
// for a namespace without the label, or one that cannot be read.
func (c *Cluster) podSecurity(context.Context) []Finding {
	labels, _ := kube.Field(c.space, "metadata", "labels").(map[string]any)
	level, _ := labels["pod-security.kubernetes.io/enforce"].(string)
	if level == "" {
		return nil
	}
	var refused []Finding
	for _, p := range c.Compiled.Pods {
		if why := p.Refused(level); len(why) > 0 {
			refused = append(refused, found(false, "the namespace enforces %s and rejects the pods of %s: %s", level, p.Of, strings.Join(why, ", "))...)
		}
	}
	if len(refused) == 0 {
		return found(true, "the namespace enforces %s and admits the pods", level)
	}
	return refused
}

// queue checks that the LocalQueue exists: Kueue never admits a RayJob whose queue does not exist, so the step would wait.
func (c *Cluster) queue(ctx context.Context) []Finding {
	if c.Target.Queue == "" {
		return nil
	}
	_, err := c.get(ctx, kube.ObjectPath("kueue.x-k8s.io/v1beta1", c.Compiled.Namespace, "localqueues", c.Target.Queue))
	return readable(c.Target.Queue, err)
}

// account checks that the service account of the pods exists, without which Kubernetes creates no pods. It has no finding if the
// user is not allowed to read service accounts, as with the role that apply creates.
func (c *Cluster) account(ctx context.Context) []Finding {
	name := c.Compiled.ServiceAccount
	if name == "" {
		return nil
	}
	_, err := c.get(ctx, kube.ObjectPath("v1", c.Compiled.Namespace, "serviceaccounts", name))
	if kube.Code(err) == http.StatusForbidden {
		return nil
	}
	return readable(name, err)
}

// files checks that the ConfigMaps with the pipeline's files exist. Missing ones are not a failure, because run, register and
// apply create them. Their names contain a hash of the content, so an existing one has the right content.
func (c *Cluster) files(ctx context.Context) []Finding {
	missing, unknown := 0, 0
	for _, f := range c.Files {
		switch _, err := c.client.Get(ctx, f); {
		case kube.NotFound(err):
			missing++
		case err != nil:
			unknown++
		}
	}
	n := len(c.Compiled.Files)
	switch {
	case n == 0:
		return nil
	case unknown > 0:
		return found(false, "not allowed to read ConfigMaps: cannot check the %d of this version", n)
	case missing == 0:
		return found(true, "all %d ConfigMaps of this version exist", n)
	}
	return found(true, "%d of %d ConfigMaps of this version do not exist yet: run, register and apply create them", missing, n)
}
