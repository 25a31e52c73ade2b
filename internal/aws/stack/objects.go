package stack

import (
	"maps"
	"slices"

	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/value"
)

// Label keys of the objects that a deploy makes; destroy finds them by these.
const (
	LabelManaged = "app.kubernetes.io/managed-by"
	LabelStack   = "rayorch.dev/stack"
)

// objects are those for Kubernetes: the pods' service account with its role, what the state machine's user may do, and
// the files. Service account, Role and RoleBinding have the published module's names, so that they take over its.
func (b *builder) objects(podRoleARN string) []*value.Object {
	account := b.object("v1", "ServiceAccount", b.n.User)
	meta, _ := account.Get("metadata")
	meta.(*value.Object).Set("annotations", value.Obj("eks.amazonaws.com/role-arn", podRoleARN))
	out := []*value.Object{account}
	out = append(out, b.rbac()...)
	for _, f := range b.in.Compiled.Files {
		out = append(out, b.configMap(f))
	}
	return out
}

// rbac is the Role and its binding to the state machine's user. The group of the same name is what an access entry and
// aws-auth both can give.
func (b *builder) rbac() []*value.Object {
	role := b.object("rbac.authorization.k8s.io/v1", "Role", b.n.User)
	rules := []any{}
	for _, r := range b.in.Compiled.Access {
		rule := value.Obj("apiGroups", anys(r.APIGroups), "resources", anys(r.Resources), "verbs", anys(r.Verbs))
		if len(r.Names) > 0 {
			rule.Set("resourceNames", anys(r.Names))
		}
		rules = append(rules, rule)
	}
	role.Set("rules", rules)
	binding := b.object("rbac.authorization.k8s.io/v1", "RoleBinding", b.n.User)
	const group = "rbac.authorization.k8s.io"
	binding.Set("roleRef", value.Obj("apiGroup", group, "kind", "Role", "name", b.n.User))
	binding.Set("subjects", list[any](value.Obj("apiGroup", group, "kind", "Group", "name", b.n.User)))
	return []*value.Object{role, binding}
}

func (b *builder) configMap(f compile.ConfigMap) *value.Object {
	o := b.object("v1", "ConfigMap", f.Name)
	o.Set("immutable", true)
	if len(f.Data) > 0 {
		data := &value.Object{}
		for _, k := range slices.Sorted(maps.Keys(f.Data)) {
			data.Set(k, f.Data[k])
		}
		o.Set("data", data)
	}
	if len(f.Binary) > 0 {
		data := &value.Object{}
		for _, k := range slices.Sorted(maps.Keys(f.Binary)) {
			data.Set(k, base64Text(f.Binary[k]))
		}
		o.Set("binaryData", data)
	}
	return o
}

// object is one object with the labels and, as Kubernetes allows nearly any text there, the tags as annotations.
func (b *builder) object(version, kind, name string) *value.Object {
	meta := value.Obj("name", name, "namespace", b.p.Namespace, "labels", value.Obj(
		LabelManaged, "rayorch", "app.kubernetes.io/name", kubeName(b.in.Pipeline), LabelStack, kubeName(b.n.Stack)))
	if a := annotations(b.tagMap()); a.Len() > 0 {
		meta.Set("annotations", a)
	}
	return value.Obj("apiVersion", version, "kind", kind, "metadata", meta)
}
