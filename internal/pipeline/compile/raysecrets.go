package compile

import (
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
	"github.com/rayorch/rayorch/internal/value"
)

// Ray keeps the environment variables of a job in the job's record, which its API and dashboard show. So the pods of a
// job's own cluster get secrets in their environment, and the user can do the same for a permanent cluster (inRayPods). The submitter
// passes only the other secrets.

// secretsOf are the secrets that the submitter of a job passes on, and those that it only redacts in the job's log.
func (c *compiler) secretsOf(names []string) (passed, hidden []string) {
	for _, e := range c.p.Secrets.Entries {
		switch {
		case e.Value.KubernetesSecret == nil || !c.secrets[e.Key]:
		case slices.Contains(names, e.Key) && !e.Value.InRayPods:
			passed = append(passed, e.Key)
		default:
			hidden = append(hidden, e.Key)
		}
	}
	return passed, hidden
}

// submitterSecrets are variables of the submitter's pod, which starts even if those that it only redacts are missing.
func (c *compiler) submitterSecrets(names []string) []any {
	var out []any
	passed, hidden := c.secretsOf(names)
	for _, name := range append(passed, hidden...) {
		s, _ := c.p.Secrets.Get(name)
		ref := value.Obj("name", query.Plain(s.KubernetesSecret.Name), "key", query.Plain(s.KubernetesSecret.Key))
		if !slices.Contains(passed, name) {
			ref.Set("optional", true)
		}
		out = append(out, value.Obj("name", "RAYORCH_SECRET_"+name, "valueFrom", value.Obj("secretKeyRef", ref)))
	}
	return out
}

// wantSecrets is a command that fails, before it does anything, if Ray's pods lack a secret.
func (c *compiler) wantSecrets(names []string, command query.Expr) query.Expr {
	var check strings.Builder
	for _, name := range names {
		if s, _ := c.p.Secrets.Get(name); s.InRayPods {
			check.WriteString(`[ -n "${` + name + `+x}" ] || { echo "rayorch: error: Ray's pods have no environment variable ` + name +
				`, which inRayPods requires" >&2; exit 120; }` + "\n")
		}
	}
	if check.Len() == 0 {
		return command
	}
	return query.Concat(query.Str(check.String()), command)
}

// shownByRay are the secrets of a job that Ray's record would contain.
func (c *compiler) shownByRay(names []string) []string {
	if c.at.ownCluster() {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		s, _ := c.p.Secrets.Get(name)
		return s.InRayPods
	})
}

// noteRaySecrets reports which secrets Ray shows.
func (c *compiler) noteRaySecrets() {
	var shown []string
	for _, e := range c.p.Secrets.Entries {
		c.eachBody(func(w wanted) {
			if w.ray != nil && slices.Contains(c.shownByRay(w.ray.Secrets), e.Key) && !slices.Contains(shown, e.Key) {
				shown = append(shown, e.Key)
			}
		})
	}
	if len(shown) > 0 {
		c.note("Ray keeps the values of %s in its job records, which its API and dashboard show: give them to Ray's pods, and set inRayPods: true", strings.Join(shown, ", "))
	}
}

// withSecrets adds secrets to the first container of each pod of a rayClusterSpec, which is Ray's. Existing variables take precedence.
func (c *compiler) withSecrets(spec any, names []string) {
	o, _ := spec.(*value.Object)
	variables := c.secretVariables(names)
	if o == nil || len(variables) == 0 {
		return
	}
	head, _ := o.Get("headGroupSpec")
	workers, _ := o.Get("workerGroupSpecs")
	groups, _ := workers.([]any)
	for _, group := range append([]any{head}, groups...) {
		containers, _ := at(group, "template", "spec", "containers").([]any)
		if len(containers) == 0 {
			continue
		}
		if first, ok := containers[0].(*value.Object); ok {
			env, _ := at(first, "env").([]any)
			first.Set("env", append(slices.Clip(env), missingFrom(env, variables)...))
		}
	}
}

// missingFrom are the variables whose names env does not have.
func missingFrom(env, variables []any) []any {
	return slices.DeleteFunc(slices.Clone(variables), func(v any) bool {
		return slices.ContainsFunc(env, func(have any) bool { return at(have, "name") == at(v, "name") })
	})
}
