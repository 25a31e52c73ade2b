package doctor

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
)

// permissions checks every rule that the definition needs, for the user who runs it. The advice is the command that grants them:
// only a user who has the permissions can grant them.
func (c *Cluster) permissions(ctx context.Context) []Finding {
	var rules []kube.Rule
	for _, a := range c.Compiled.Access {
		rules = append(rules, singleRules(a, c.Compiled.Namespace)...)
	}
	return c.ask(ctx, rules, "somebody who may grant them runs: "+c.Apply(c.whoAmI(ctx)))
}

// putFiles asks for what uploading the pipeline's files needs. It is advisory: the role that apply creates does not contain it, and
// apply uploads the files, too.
func (c *Cluster) putFiles(ctx context.Context) []Finding {
	if len(c.Compiled.Files) == 0 {
		return nil
	}
	return c.ask(ctx, []kube.Rule{
		{Verb: "create", Resource: "configmaps", Namespace: c.Compiled.Namespace},
		{Verb: "patch", Resource: "configmaps", Namespace: c.Compiled.Namespace},
	}, "somebody who may runs, after each change of the pipeline's files: "+c.Apply(""))
}

// whoAmI is the client as apply's --runner takes it, so that what doctor advises can be pasted.
func (c *Cluster) whoAmI(ctx context.Context) string {
	res, err := c.client.Do(ctx, kube.Request{
		Method: http.MethodPost, Path: "/apis/authentication.k8s.io/v1/selfsubjectreviews",
		Body: []byte(`{"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}`),
	})
	var review struct {
		Status struct{ UserInfo struct{ Username string } }
	}
	if err != nil || json.Unmarshal(res.Body, &review) != nil || review.Status.UserInfo.Username == "" {
		return "user:YOU"
	}
	name := review.Status.UserInfo.Username
	if account, ok := strings.CutPrefix(name, "system:serviceaccount:"); ok {
		return "serviceaccount:" + strings.Replace(account, ":", "/", 1)
	}
	return "user:" + name
}

// ask asks the API server, which evaluates all sources of a permission: roles, groups, webhooks.
func (c *Cluster) ask(ctx context.Context, rules []kube.Rule, advice string) []Finding {
	namespace := c.Compiled.Namespace
	answers, err := c.client.Can(ctx, rules)
	if err != nil {
		return failed("kubectl auth can-i --list -n "+namespace+" shows what you may do there", "%v", err)
	}
	var missing []kube.Rule
	for _, a := range answers {
		if !a.Allowed {
			missing = append(missing, a.Rule)
		}
	}
	if len(missing) > 0 {
		return failed(advice, "%d of %d are missing in namespace %s: %s", len(missing), len(rules), namespace, together(missing))
	}
	return found(true, "all %d are granted", len(rules))
}

// together is rules as text, one phrase for each resource: get, list pods; create jobs.batch.
func together(rules []kube.Rule) string {
	verbs := map[string][]string{}
	var resources []string
	for _, r := range rules {
		verb := r.Verb
		r.Verb, r.Namespace = "", ""
		resource := r.String()
		if verbs[resource] == nil {
			resources = append(resources, resource)
		}
		verbs[resource] = append(verbs[resource], verb)
	}
	for i, resource := range resources {
		resources[i] = strings.Join(verbs[resource], ", ") + resource
	}
	return strings.Join(resources, "; ")
}

// singleRules are a rule of a Role as single permissions, each of one verb and resource.
func singleRules(r compile.Rule, namespace string) []kube.Rule {
	names := r.Names
	if len(names) == 0 {
		names = []string{""}
	}
	var out []kube.Rule
	for _, group := range r.APIGroups {
		for _, resource := range r.Resources {
			for _, name := range names {
				for _, verb := range r.Verbs {
					out = append(out, kube.Rule{Verb: verb, Group: group, Resource: resource, Namespace: namespace, Name: name})
				}
			}
		}
	}
	return out
}
