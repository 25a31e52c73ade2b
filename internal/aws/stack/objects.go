package stack

import (
	"maps"
	"slices"

	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/value"
)

// Labels of the Kubernetes objects that deploy creates. destroy finds the objects by these labels.
const (
	LabelManaged = "app.kubernetes.io/managed-by"
	LabelStack   = "rayorch.dev/stack"
)

// objects returns the Kubernetes objects of the deployment: the pods' ServiceAccount, the Role and RoleBinding of the state
// machine's user, and the ConfigMaps with the pipeline's files. The first three have the same names as in the published
// module, so that applying them takes over its objects.
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

// rbac returns a Role with the permissions that the definition needs, and its RoleBinding. The subject is a group, because
// both an access entry and aws-auth can assign groups.
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

// object returns an object with the labels of the deployment and its tags in an annotation. Tags cannot be labels, whose
// values allow fewer characters.
func (b *builder) object(version, kind, name string) *value.Object {
	meta := value.Obj("name", name, "namespace", b.p.Namespace, "labels", value.Obj(
		LabelManaged, "rayorch", "app.kubernetes.io/name", kubeName(b.in.Pipeline), LabelStack, kubeName(b.n.Stack)))
	if a := annotations(b.tagMap()); a.Len() > 0 {
		meta.Set("annotations", a)
	}
	return value.Obj("apiVersion", version, "kind", kind, "metadata", meta)
}
