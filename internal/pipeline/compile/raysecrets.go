package compile

import (
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
	"github.com/rayorch/rayorch/internal/value"
)

// Ray stores the environment variables of a job in the job's record, which its API and dashboard show. To avoid this, the pods of a cluster
// that is created for the step get secrets in their environment, and the user can do the same for a permanent cluster (inRayPods). The
// submitter passes only the other secrets to Ray.

// secretsOf returns the secrets that the submitter of a job passes to Ray, and those that it only redacts in the job's log.
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

// submitterSecrets returns the variables of the submitter's pod that contain secrets. The pod starts even if secrets are missing that it
// only redacts.
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

// wantSecrets returns a command that first fails if Ray's pods do not have a secret.
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

// shownByRay returns the secrets of a job that Ray's record of the job would contain.
func (c *compiler) shownByRay(names []string) []string {
	if c.at.ownCluster() {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		s, _ := c.p.Secrets.Get(name)
		return s.InRayPods
	})
}

// noteRaySecrets adds a note about the secrets that Ray shows.
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
		c.note("Ray's API and dashboard show the values of %s in its job records: to avoid this, add them to the environment of Ray's pods, and set "+
			"inRayPods: true", strings.Join(shown, ", "))
	}
}

// withSecrets adds secrets to the first container, which is Ray's, of each pod in a rayClusterSpec. Existing variables take precedence.
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

// missingFrom returns the variables whose names env does not contain.
func missingFrom(env, variables []any) []any {
	return slices.DeleteFunc(slices.Clone(variables), func(v any) bool {
		return slices.ContainsFunc(env, func(have any) bool { return at(have, "name") == at(v, "name") })
	})
}
