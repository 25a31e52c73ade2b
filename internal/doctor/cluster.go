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

// Cluster has the checks of a target of kind kubernetes in one of its clusters. They use the credentials of the kubeconfig, which often
// have few permissions: an object that cannot be read (403) is a note, not a failure, unless a run needs the same permission.
type Cluster struct {
	// Context is the kubeconfig's; "" for the current one.
	Context string
	// Open connects to it.
	Open func() (*kube.Client, error)

	Pipeline *pipeline.Pipeline
	Target   pipeline.Target
	Compiled *compile.Result
	// UsesRay reports whether Ray steps run in a context; its name is known once the cluster is reached.
	UsesRay func(context string) bool
	// Files are the ConfigMaps of Compiled.
	Files []kube.Object
	// Apply is the command line that creates what is missing; runner, unless it is "", is the subject that gets the permissions.
	Apply func(runner string) string

	client *kube.Client
	space  kube.Object // the namespace; nil if it cannot be read
	head   *kube.Head  // nil if it was not found, or is not needed
}

// Examine runs the checks and names the context in each result. The name is that of the client, because Context may be "", the
// current one.
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

// Checks are in the order in which they depend on each other: reach sets the client, namespace the labels, rayHead the head that
// the checks of Ray look at. Without a connection or a namespace, all others would fail, too: these two are gates.
func (c *Cluster) Checks() []Check {
	r := c.Compiled
	checks := []Check{
		{Name: "context", Severity: Required, Gate: true, Look: c.reach},
		{Name: "namespace", Severity: Required, Gate: true, Look: c.namespace},
		{Name: "pod security", Severity: Required, Look: c.podSecurity,
			Fix: "change or remove securityContext in the pipeline file: the default is admitted"},
		{Name: "permissions", Severity: Required, Look: c.permissions},
		{Name: "to put files", Severity: Advisory, Look: c.putFiles},
		{Name: "ray head", Severity: Required, Look: c.rayHead,
			Fix: "create a RayCluster there, or name another by the target's ray.cluster or ray.service"},
		{Name: "ray version", Severity: Advisory, Look: c.rayVersion},
		{Name: "ray token", Severity: Required, Look: c.rayToken},
		{Name: "ray storage", Severity: Required, Look: c.rayStorage,
			Fix: "mount it in the RayCluster's pod templates, as examples/kubernetes/ray.yaml does, or leave storage.claim out"},
		{Name: "kuberay", Severity: Required, Look: c.kubeRay, Fix: "install the KubeRay operator, or submit by job: --submit job"},
		{Name: "kueue queue", Severity: Required, Look: c.queue, Fix: "install Kueue and make a LocalQueue of that name, or leave the target's queue out"},
		{Name: "claim", Severity: Required, Look: c.claim,
			Fix: "kubectl describe pvc " + r.Claim + " -n " + r.Namespace + " says what it waits for"},
	}
	for _, k := range r.Secrets {
		checks = append(checks, secretCheck(func() *kube.Client { return c.client }, r.Namespace, k, clusterUsers(c.Pipeline, k)))
	}
	return append(checks,
		Check{Name: "service account", Severity: Required, Look: c.account, Fix: c.Apply("") + " makes it"},
		Check{Name: "quota", Severity: Advisory, Look: c.quota, Fix: "pods of the pipeline may have to wait: raise it, or end what uses it"},
		Check{Name: "files", Severity: Advisory, Look: c.files, Fix: c.Apply("") + ", by somebody who may, puts them"})
}

// get reads an object or anything else under a path.
func (c *Cluster) get(ctx context.Context, path string) (kube.Object, error) {
	res, err := c.client.Do(ctx, kube.Request{Path: path})
	if err != nil {
		return nil, err
	}
	var o kube.Object
	return o, errors.Join(json.Unmarshal(res.Body, &o))
}

// reach connects and asks for the version, which every user can read.
func (c *Cluster) reach(ctx context.Context) []Finding {
	client, err := c.Open()
	if err != nil {
		return failed("kubectl config get-contexts shows what there is; --context or the target's context names one", "%v", err)
	}
	c.client = client
	res, err := client.Do(ctx, kube.Request{Path: "/version"})
	if err != nil {
		return failed("kubectl version tells whether it is the cluster or rayorch", "%v", err)
	}
	var v struct{ GitVersion string }
	_ = json.Unmarshal(res.Body, &v) // any answer shows that the cluster can be reached
	return found(true, "%s: kubernetes %s at %s", cmp.Or(client.Context(), "this pod's"), cmp.Or(v.GitVersion, "of an unknown version"), client.Server())
}

// namespace keeps the object for podSecurity, if the user can read it.
func (c *Cluster) namespace(ctx context.Context) []Finding {
	name := c.Compiled.Namespace
	o, err := c.get(ctx, kube.CollectionPath("v1", "", "namespaces")+"/"+name)
	switch {
	case err == nil, kube.Code(err) == http.StatusForbidden: // few users can read namespaces
		c.space = o
		return found(true, "%s", name)
	case kube.NotFound(err):
		return failed(c.Apply("")+" makes it", "there is no namespace %s", name)
	}
	return failed("", "%v", err)
}

// podSecurity reports which pods the namespace refuses by the Pod Security Standard that it enforces. A namespace without the
// label, or one that cannot be read, says nothing.
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

// queue looks for the LocalQueue: Kueue never admits a RayJob of a queue that does not exist, and the step would wait.
func (c *Cluster) queue(ctx context.Context) []Finding {
	if c.Target.Queue == "" {
		return nil
	}
	_, err := c.get(ctx, kube.ObjectPath("kueue.x-k8s.io/v1beta1", c.Compiled.Namespace, "localqueues", c.Target.Queue))
	return readable(c.Target.Queue, err)
}

// account looks for the pods' service account, without which Kubernetes creates no pod. The role that apply creates does not
// allow reading service accounts: then there is no finding.
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

// files looks for this version's files. Missing ones are no failure: run, register and apply create them. The name of each has a
// hash of its content, so that one that exists has the right content.
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
		return found(false, "you may not read config maps: whether this version's %d are there is not known", n)
	case missing == 0:
		return found(true, "this version's %d are there", n)
	}
	return found(true, "%d of this version's %d are not there yet: run, register and apply put them", missing, n)
}
