package compile

import (
	"slices"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/value"
)

// PodContext is the security context of some of a pipeline's pods.
type PodContext struct {
	// Of is the name of the pods in messages: "the submitters", "step infer".
	Of             string
	pod, container *value.Object
}

// podContexts returns the security contexts of all pods that a run creates.
func (c *compiler) podContexts() []PodContext {
	var out []PodContext
	add := func(of string, own *pipeline.SecurityContext) {
		pod, container := security(own)
		out = append(out, PodContext{Of: of, pod: pod, container: container})
	}
	if c.submits() || c.ray && c.at.mode == pipeline.SubmitRayJob && c.at.target.Ray.Token != nil {
		add("the submitters", c.at.pods.SecurityContext)
	}
	c.eachBody(func(w wanted) {
		if w.job != nil {
			add(w.of, c.securityOf(w.job))
		}
	})
	return out
}

// baselineCapabilities are the capabilities that the Pod Security Standard "baseline" allows a container to add.
var baselineCapabilities = []string{"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE",
	"SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}

// Refused returns the fields that violate a Pod Security Standard: baseline or restricted
// (https://kubernetes.io/docs/concepts/security/pod-security-standards/). A namespace that enforces the standard rejects the pods. The
// fields have the names that the API server uses in its messages. Sysctls and the options of SELinux and AppArmor are not checked.
func (p PodContext) Refused(level string) []string {
	var out []string
	rule := func(levels []string, refused bool, what string) {
		if refused && slices.Contains(levels, level) {
			out = append(out, what)
		}
	}
	both, restricted := []string{"baseline", "restricted"}, []string{"restricted"}
	added, dropped := textsAt(p.container, "capabilities", "add"), textsAt(p.container, "capabilities", "drop")
	seccomp := p.effective("seccompProfile", "type")
	user := at(p.container, "runAsUser")
	rule(both, at(p.container, "privileged") == true, "privileged")
	rule(both, notOneOf(at(p.container, "procMount"), nil, "Default"), "procMount")
	rule(both, seccomp == "Unconfined", "seccompProfile")
	rule([]string{"baseline"}, slices.ContainsFunc(added, func(name string) bool { return !slices.Contains(baselineCapabilities, name) }),
		"non-default capabilities")
	rule(restricted, at(p.container, "allowPrivilegeEscalation") != false, "allowPrivilegeEscalation != false")
	rule(restricted, !slices.Contains(dropped, "ALL") || slices.ContainsFunc(added, func(name string) bool { return name != "NET_BIND_SERVICE" }),
		"unrestricted capabilities")
	rule(restricted, p.effective("runAsNonRoot") != true, "runAsNonRoot != true")
	rule(restricted, user == value.Int(0), "runAsUser=0")
	rule(restricted, notOneOf(seccomp, "Unconfined", "RuntimeDefault", "Localhost"), "seccompProfile")
	return out
}

// effective returns a field of the container, or that of the pod if the container does not have it.
func (p PodContext) effective(path ...string) any {
	if v := at(p.container, path...); v != nil {
		return v
	}
	return at(p.pod, path...)
}

func notOneOf(v any, others ...any) bool { return !slices.Contains(others, v) }

// at returns the value at a path of objects, or nil.
func at(v any, path ...string) any {
	for _, key := range path {
		o, ok := v.(*value.Object)
		if !ok {
			return nil
		}
		v, _ = o.Get(key)
	}
	return v
}

// textsAt returns the strings in the list at a path of objects.
func textsAt(o *value.Object, path ...string) []string {
	list, _ := at(o, path...).([]any)
	var out []string
	for _, v := range list {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}
