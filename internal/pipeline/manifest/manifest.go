// Package manifest makes the Kubernetes objects that a compiled pipeline needs in its namespace: service accounts, a role
// as narrow as the submission mode allows with its binding, and the files that pods mount. It is pure, and the same
// pipeline gives the same bytes. It applies nothing: commands and deployments do.
package manifest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline/compile"
)

// Labels by which everything that rayorch made is found again.
const (
	ManagedByLabel = "app.kubernetes.io/managed-by"
	NameLabel      = "app.kubernetes.io/name"
	PipelineLabel  = "rayorch.dev/pipeline"
	// Manager is the value of ManagedByLabel, and the field manager of server-side apply.
	Manager = "rayorch"
)

// Object is one Kubernetes object, as its JSON decodes.
type Object = map[string]any

// Subject is who runs the definition: a ServiceAccount, a User or a Group.
type Subject struct {
	Kind, Name string
	Namespace  string // of a ServiceAccount; defaults to the pipeline's
}

// Options say what the compiled pipeline does not.
type Options struct {
	// Pipeline is its name.
	Pipeline string
	// Namespace asks for the namespace itself.
	Namespace bool
	// Runner is who runs the definition. Defaults to a service account of the pipeline's own, which is made.
	Runner *Subject
	// Labels and Annotations are on every object; labels of our own win.
	Labels, Annotations map[string]string
}

// Objects are all objects of a pipeline in the order in which they can be applied.
func Objects(r *compile.Result, o Options) []Object {
	m := maker{r: r, o: o}
	if o.Namespace {
		m.add("v1", "Namespace", r.Namespace, nil)
	}
	m.podAccount()
	m.access()
	m.objects = append(m.objects, Files(r, o)...)
	return m.objects
}

// Files are the ConfigMaps alone. Each name carries a hash of the content, so that they are immutable and those of other
// versions stay as they are.
func Files(r *compile.Result, o Options) []Object {
	m := maker{r: r, o: o}
	for _, f := range r.Files {
		body := Object{"immutable": true}
		if len(f.Data) > 0 {
			body["data"] = object(f.Data)
		}
		if len(f.Binary) > 0 {
			binary := Object{}
			for name, data := range f.Binary {
				binary[name] = base64.StdEncoding.EncodeToString(data)
			}
			body["binaryData"] = binary
		}
		m.add("v1", "ConfigMap", f.Name, body)
	}
	return m.objects
}

// Name is the name of the pipeline's role, binding and service account. Names in Kubernetes are lower case: a hash keeps
// pipelines apart that differ in case only.
func Name(pipeline string) string {
	lower := strings.ToLower(pipeline)
	if lower != pipeline {
		sum := sha256.Sum256([]byte(pipeline))
		lower += "-" + hex.EncodeToString(sum[:3])
	}
	return Manager + "-" + lower
}

// Selector is the label selector of everything that Objects makes for a pipeline.
func Selector(pipeline string) string {
	return ManagedByLabel + "=" + Manager + "," + PipelineLabel + "=" + pipeline
}

type maker struct {
	r       *compile.Result
	o       Options
	objects []Object
}

// add makes an object in the pipeline's namespace. A Namespace is in none, and is no pipeline's: others may live there.
func (m *maker) add(version, kind, name string, body Object) {
	labels := maps.Clone(m.o.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[ManagedByLabel], labels[NameLabel], labels[PipelineLabel] = Manager, m.o.Pipeline, m.o.Pipeline
	meta := Object{"name": name}
	if kind == "Namespace" {
		delete(labels, PipelineLabel)
		delete(labels, NameLabel)
	} else {
		meta["namespace"] = m.r.Namespace
	}
	meta["labels"] = object(labels)
	if len(m.o.Annotations) > 0 {
		meta["annotations"] = object(m.o.Annotations)
	}
	o := Object{"apiVersion": version, "kind": kind, "metadata": meta}
	maps.Copy(o, body)
	m.objects = append(m.objects, o)
}

// podAccount is the account that the target names for its pods. They call no API server, so they get no token for one;
// what an account is for elsewhere, such as an IAM role, hangs on its annotations.
func (m *maker) podAccount() {
	if m.r.ServiceAccount != "" && m.r.ServiceAccount != "default" {
		m.add("v1", "ServiceAccount", m.r.ServiceAccount, Object{"automountServiceAccountToken": false})
	}
}

// access is the role and whom it is given to. Without rules there is nothing to grant.
func (m *maker) access() {
	if len(m.r.Access) == 0 {
		return
	}
	name := Name(m.o.Pipeline)
	runner := Subject{Kind: "ServiceAccount", Name: name}
	if m.o.Runner != nil {
		runner = *m.o.Runner
	} else {
		m.add("v1", "ServiceAccount", name, nil)
	}
	m.add("rbac.authorization.k8s.io/v1", "Role", name, Object{"rules": rules(m.r.Access)})
	m.add("rbac.authorization.k8s.io/v1", "RoleBinding", name, Object{
		"roleRef":  Object{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
		"subjects": []any{m.subject(runner)},
	})
}

func (m *maker) subject(s Subject) Object {
	if s.Kind != "ServiceAccount" {
		return Object{"apiGroup": "rbac.authorization.k8s.io", "kind": s.Kind, "name": s.Name}
	}
	if s.Namespace == "" {
		s.Namespace = m.r.Namespace
	}
	return Object{"kind": s.Kind, "name": s.Name, "namespace": s.Namespace}
}

func rules(access []compile.Rule) []any {
	var out []any
	for _, a := range access {
		rule := Object{"apiGroups": list(a.APIGroups), "resources": list(a.Resources), "verbs": list(a.Verbs)}
		if len(a.Names) > 0 {
			rule["resourceNames"] = list(a.Names)
		}
		out = append(out, rule)
	}
	return out
}

func list(texts []string) []any {
	out := make([]any, len(texts))
	for i, t := range texts {
		out[i] = t
	}
	return out
}

func object(texts map[string]string) Object {
	out := Object{}
	for k, v := range texts {
		out[k] = v
	}
	return out
}
