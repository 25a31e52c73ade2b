package doctor

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
)

// permissions checks that the user has all permissions that the definition needs. The advice is the command that grants them,
// which another user has to run: Kubernetes only lets users grant permissions that they have.
func (c *Cluster) permissions(ctx context.Context) []Finding {
	var rules []kube.Rule
	for _, a := range c.Compiled.Access {
		rules = append(rules, singleRules(a, c.Compiled.Namespace)...)
	}
	return c.ask(ctx, rules, "a user who is allowed to grant them must run: "+c.Apply(c.whoAmI(ctx)))
}

// putFiles checks the permissions to upload the pipeline's files. They are advisory: the role that apply creates does not
// contain them, because apply uploads the files itself.
func (c *Cluster) putFiles(ctx context.Context) []Finding {
	if len(c.Compiled.Files) == 0 {
		return nil
	}
	return c.ask(ctx, []kube.Rule{
		{Verb: "create", Resource: "configmaps", Namespace: c.Compiled.Namespace},
		{Verb: "patch", Resource: "configmaps", Namespace: c.Compiled.Namespace},
	}, "after each change of the pipeline's files, a user with these permissions must run: "+c.Apply(""))
}

// whoAmI returns the user of the client as a value of the flag --runner of apply, so that the advised command can be pasted. It
// returns a placeholder if the cluster does not support SelfSubjectReview.
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

// ask asks the API server which of the rules are allowed. The API server evaluates all sources of permissions: roles, groups and
// webhooks.
func (c *Cluster) ask(ctx context.Context, rules []kube.Rule, advice string) []Finding {
	namespace := c.Compiled.Namespace
	answers, err := c.client.Can(ctx, rules)
	if err != nil {
		return failed("to list your permissions, run: kubectl auth can-i --list -n "+namespace, "%v", err)
	}
	var missing []kube.Rule
	for _, a := range answers {
		if !a.Allowed {
			missing = append(missing, a.Rule)
		}
	}
	if len(missing) > 0 {
		return failed(advice, "%d of %d are missing in namespace %s: %s", len(missing), len(rules), namespace, rulesText(missing))
	}
	return found(true, "all %d are granted", len(rules))
}

// rulesText formats rules with one phrase for each resource, such as "get, list pods; create jobs.batch".
func rulesText(rules []kube.Rule) string {
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

// singleRules splits a rule of a Role into rules with one verb, resource and name each.
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
