// Package manifest builds the Kubernetes objects that a compiled pipeline needs in its namespace: service accounts, a Role with
// the minimum permissions of the submission mode and its RoleBinding, and the ConfigMaps that pods mount. It is deterministic and
// does no I/O: commands and deployments apply the objects.
package manifest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"strings"

	"github.com/rayorch/rayorch/internal/pipeline/compile"
)

// Labels of all objects that rayorch creates, by which it finds them.
const (
	ManagedByLabel = "app.kubernetes.io/managed-by"
	NameLabel      = "app.kubernetes.io/name"
	PipelineLabel  = "rayorch.dev/pipeline"
	// Manager is the value of ManagedByLabel, and the field manager of server-side apply.
	Manager = "rayorch"
)

// Object is a Kubernetes object, as decoded from JSON.
type Object = map[string]any

// Subject is the identity that runs the definition.
type Subject struct {
	Kind, Name string // Kind is ServiceAccount, User or Group
	Namespace  string // of a ServiceAccount; defaults to the pipeline's
}

// Options are settings that are not part of the compiled pipeline.
type Options struct {
	// Pipeline is the pipeline's name.
	Pipeline string
	// Namespace includes the Namespace object.
	Namespace bool
	// Runner is the identity that runs the definition. Defaults to a service account for the pipeline, which is then included.
	Runner *Subject
	// Labels and Annotations are added to every object. The labels of rayorch take precedence.
	Labels, Annotations map[string]string
}

// Objects returns all objects of a pipeline, in an order in which they can be applied.
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

// Files returns only the ConfigMaps. Each name contains a hash of the content: ConfigMaps are immutable, and each version of a pipeline
// has its own.
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

// Name returns the name of the pipeline's Role, RoleBinding and service account. Names in Kubernetes are in lower case, so that a hash is
// appended to names with upper-case letters: otherwise, pipelines whose names differ only in case would share these objects.
func Name(pipeline string) string {
	lower := strings.ToLower(pipeline)
	if lower != pipeline {
		sum := sha256.Sum256([]byte(pipeline))
		lower += "-" + hex.EncodeToString(sum[:3])
	}
	return Manager + "-" + lower
}

// Selector returns the label selector of all objects of a pipeline.
func Selector(pipeline string) string {
	return ManagedByLabel + "=" + Manager + "," + PipelineLabel + "=" + pipeline
}

type maker struct {
	r       *compile.Result
	o       Options
	objects []Object
}

// add adds an object in the pipeline's namespace. A Namespace object is not in a namespace, and does not have the labels of the pipeline,
// because other pipelines can use it.
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

// podAccount adds the service account that the target names for its pods. By default, pods do not call the API server, so they get no token
// for it. A service account can have other purposes, such as an IAM role in its annotations.
func (m *maker) podAccount() {
	if m.r.ServiceAccount != "" && m.r.ServiceAccount != "default" {
		m.add("v1", "ServiceAccount", m.r.ServiceAccount, Object{"automountServiceAccountToken": false})
	}
}

// access adds the Role and its RoleBinding, unless the pipeline needs no permissions.
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

// subject returns a subject of the RoleBinding.
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
