package compile

import (
	"fmt"

	"github.com/rayorch/rayorch/internal/pipeline"
)

// access is what the identity needs that runs the definition and the clean-up machine: each rule is there for a call that
// one of them makes.
func (c *compiler) access() []Rule {
	at := c.at
	var rules []Rule
	jobs := c.job || c.submits()
	if jobs {
		verbs := []string{"create", "get", "list", "delete"}
		pods := []string{"get", "list"}
		if at.kind == pipeline.TargetKubernetes { // Step Functions asks again and again; rayorch watches
			verbs, pods = append(verbs, "watch"), append(pods, "watch")
		}
		rules = append(rules,
			Rule{APIGroups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: verbs},
			Rule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: pods},
			Rule{APIGroups: []string{""}, Resources: []string{"pods/log"}, Verbs: []string{"get"}},
			Rule{APIGroups: []string{""}, Resources: []string{"events"}, Verbs: []string{"list"}})
	}
	if c.ray && at.way == wayRayJob {
		if !jobs { // why a cluster's pods wait, and what a submitter's printed
			rules = append(rules, Rule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}})
			if at.ownCluster() { // why it has none
				rules = append(rules, Rule{APIGroups: []string{""}, Resources: []string{"events"}, Verbs: []string{"list"}})
			}
			if at.target.Ray.Token != nil {
				rules = append(rules, Rule{APIGroups: []string{""}, Resources: []string{"pods/log"}, Verbs: []string{"get"}})
			}
		}
		rules = append(rules, Rule{APIGroups: []string{"ray.io"}, Resources: []string{"rayjobs"},
			Verbs: []string{"create", "get", "list", "delete"}})
	}
	if c.ray && at.way != wayJob && at.target.Ray.Token == nil {
		rules = append(rules, c.proxyRule())
	}
	return rules
}

// proxyRule is for the head's service. Whoever may post to it runs code on Ray; of a cluster made for one run nobody knows
// the name before.
func (c *compiler) proxyRule() Rule {
	r := Rule{APIGroups: []string{""}, Resources: []string{"services/proxy"}, Verbs: []string{"get", "create"}}
	if !c.reachesRay() {
		r.Verbs = []string{"get"}
	}
	if !c.at.ownCluster() {
		r.Names = []string{c.serviceRef()}
	}
	return r
}

// serviceRef is the head's service as the API server's proxy takes it; RBAC compares it as it stands.
func (c *compiler) serviceRef() string { return fmt.Sprintf("%s:%d", c.at.service, c.at.port) }

// secretKeys are the keys of Secrets that pods read.
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
