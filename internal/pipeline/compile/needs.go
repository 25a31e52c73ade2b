package compile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// Permission is a permission in the cluster that a state needs for its call. It is recorded where the call is built, so that no call can
// be added without its permission. A test derives the permissions from the text of the definition and compares them.
type Permission struct {
	State                 string
	Verb, Group, Resource string
	Name                  string // name of the object; "" if it is known only at run time
}

// The kinds of objects that states read and write. Calls to Ray's API use proxies.
var (
	jobs    = Permission{Group: "batch", Resource: "jobs"}
	pods    = Permission{Resource: "pods"}
	podLogs = Permission{Resource: "pods/log"}
	events  = Permission{Resource: "events"}
	rayJobs = Permission{Group: "ray.io", Resource: "rayjobs"}
	proxies = Permission{Resource: "services/proxy"}
)

// to returns the permission with a verb.
func (p Permission) to(verb string) Permission { p.Verb = verb; return p }

// grantOrder is the order of the rules, and verbOrder that of the verbs in a rule: the same pipeline always has the same Role.
var (
	grantOrder = []Permission{jobs, pods, podLogs, events, rayJobs, proxies}
	verbOrder  = []string{"create", "get", "list", "delete", "watch"}
)

// methods are the HTTP methods of the verbs.
var methods = map[string]string{"create": "POST", "get": "GET", "list": "GET", "delete": "DELETE"}

// needing records the permissions of a state until the state has a name.
func (c *compiler) needing(state *value.Object, needs ...Permission) *value.Object {
	c.calls[state] = append(c.calls[state], needs...)
	return state
}

// named records the permissions of a state under its name.
func (c *compiler) named(name string, state *value.Object) {
	for _, n := range c.calls[state] {
		n.State = name
		c.needs = append(c.needs, n)
	}
}

// list returns a task that lists objects of a kind. list, create, get and remove act in the target's namespace.
func (c *compiler) list(kind Permission, parameters *value.Object) *value.Object {
	return c.call(kind.to("list"), c.pathOf(kind), parameters, nil)
}

// create returns a task that creates an object.
func (c *compiler) create(kind Permission, body any) *value.Object {
	return c.call(kind.to("create"), c.pathOf(kind), nil, body)
}

// get returns a task that reads an object.
func (c *compiler) get(kind Permission, name query.Expr, parameters *value.Object) *value.Object {
	return c.call(kind.to("get"), c.objectPath(kind, name).Value(), parameters, nil)
}

// remove returns a task that deletes an object. propagation is the deletion propagation policy.
func (c *compiler) remove(kind Permission, name query.Expr, propagation string) *value.Object {
	return c.call(kind.to("delete"), c.objectPath(kind, name).Value(), value.Obj("propagationPolicy", []any{propagation}), nil)
}

// pathOf returns the API path of all objects of a kind in the target's namespace.
func (c *compiler) pathOf(kind Permission) string {
	group, plural := "/api/v1", strings.Split(kind.Resource, "/")[0]
	if kind.Group != "" {
		group = "/apis/" + kind.Group + "/v1"
	}
	return group + "/namespaces/" + c.at.namespace + "/" + plural
}

// objectPath returns the API path of an object, or of its subresource.
func (c *compiler) objectPath(kind Permission, name query.Expr) query.Expr {
	path := query.Concat(query.Str(c.pathOf(kind)+"/"), name)
	if _, sub, ok := strings.Cut(kind.Resource, "/"); ok {
		path = query.Concat(path, query.Str("/"+sub))
	}
	return path
}

// rayAPI is Ray's API, accessed through the API server's proxy and the Service of the Ray head. Permission to post to it is permission to
// run code on Ray.
type rayAPI struct {
	need          Permission
	before, after string     // parts of the path before and after the Service's name
	service       query.Expr // the Service's name, if it is known only at run time
}

// head returns the API of the target's Ray. RBAC compares its resource name with the text in the path, which includes the port.
func (c *compiler) head() rayAPI {
	need := proxies
	need.Name = fmt.Sprintf("%s:%d", c.at.service, c.at.port)
	return rayAPI{need: need, before: c.pathOf(proxies) + "/" + need.Name + "/proxy"}
}

// ownHead returns the API of a cluster that KubeRay creates for one RayJob: the name of its Service starts with that of the cluster.
func (c *compiler) ownHead(cluster query.Expr) rayAPI {
	return rayAPI{proxies, c.pathOf(proxies) + "/", fmt.Sprintf("-head-svc:%d/proxy", c.at.port), cluster}
}

// path returns a path of the API as a field's value: a constant text, followed by values of the run.
func (r rayAPI) path(text string, more ...query.Expr) string {
	switch {
	case !r.service.IsZero():
		return query.Concat(append([]query.Expr{query.Str(r.before), r.service, query.Str(r.after + text)}, more...)...).Value()
	case len(more) == 0:
		return r.before + text
	}
	return query.Concat(append([]query.Expr{query.Str(r.before + text)}, more...)...).Value()
}

// call returns a task that calls the Kubernetes API. need is the permission that the call requires, and path is a field's value. parameters
// and body may be nil.
func (c *compiler) call(need Permission, path string, parameters *value.Object, body any) *value.Object {
	args := c.eksArguments("Method", methods[need.Verb], "Path", path)
	if parameters != nil {
		args.Set("QueryParameters", parameters)
	}
	if body != nil {
		args.Set("RequestBody", body)
	}
	// The output is empty, because responses are large and would otherwise be passed from state to state.
	return c.needing(value.Obj("Type", "Task", "Resource", stepfn.EKSCall, "Arguments", args, "Output", &value.Object{}), need)
}

// runJob returns a task that creates a Job and waits for its end. The permissions are those of the integration eks:runJob.sync,
// according to the Step Functions documentation. The engine needs watch in addition, because it watches instead of polling.
func (c *compiler) runJob(job *value.Object, more ...any) *value.Object {
	needs := []Permission{jobs.to("create"), jobs.to("get"), pods.to("get"), pods.to("list"), podLogs.to("get")}
	if c.at.kind == pipeline.TargetKubernetes {
		needs = append(needs, jobs.to("watch"), pods.to("watch"))
	}
	args := c.eksArguments(append([]any{"Namespace", c.at.namespace, "Job", job}, more...)...)
	return c.needing(value.Obj("Type", "Task", "Resource", stepfn.EKSRunJob, "Arguments", args), needs...)
}

// access returns the rules that grant exactly the recorded permissions: one for each kind of object and each known name.
func (c *compiler) access() []Rule {
	var rules []Rule
	for _, kind := range grantOrder {
		verbs := map[string][]string{} // by name
		var names []string
		for _, n := range c.needs {
			if n.Group != kind.Group || n.Resource != kind.Resource {
				continue
			}
			if _, ok := verbs[n.Name]; !ok {
				names = append(names, n.Name)
			}
			verbs[n.Name] = append(verbs[n.Name], n.Verb)
		}
		for _, name := range names {
			r := Rule{APIGroups: []string{kind.Group}, Resources: []string{kind.Resource}}
			if name != "" {
				r.Names = []string{name}
			}
			for _, verb := range verbOrder {
				if slices.Contains(verbs[name], verb) {
					r.Verbs = append(r.Verbs, verb)
				}
			}
			rules = append(rules, r)
		}
	}
	return rules
}

// secretKeys returns the keys of Secrets that pods read.
func (c *compiler) secretKeys() []SecretKey {
	var out []SecretKey
	if t := c.at.target.Ray.Token; t != nil && c.ray {
		out = append(out, SecretKey{t.Name, t.Key})
	}
	for _, e := range c.p.Secrets.Entries {
		if k := e.Value.KubernetesSecret; k != nil && c.secrets[e.Key] {
			out = append(out, SecretKey{k.Name, k.Key})
		}
	}
	return out
}
