package stack

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// Record is what a deploy writes down for the deploys and the destroy after it: it stands in the template, as metadata
// of the state machine, and so exists before anything that it tells of. A destroy needs no parameters but it.
type Record struct {
	Version     int               `json:"version"`
	Pipeline    string            `json:"pipeline"`
	Namespace   string            `json:"namespace"`
	User        string            `json:"user"`
	Cluster     string            `json:"cluster"`
	Endpoint    string            `json:"endpoint"`
	CA          string            `json:"-"` // the template's parameter
	AdminRole   string            `json:"adminRole"`
	HandlerRole string            `json:"handlerRole"`
	Access      string            `json:"access"`
	Labels      map[string]string `json:"labels"`
	Machine     string            `json:"stateMachine"`
	Clean       string            `json:"cleanUpStateMachine,omitempty"`
	LogGroup    string            `json:"logGroup"`
	// The names of the roles go on with a dash and the region.
	MachineRole string `json:"stateMachineRole"`
	PodRole     string `json:"podRole"`
}

const recordVersion = 1

// record is written with what auto came to: the cluster's authentication mode may be another when the stack is destroyed.
func (b *builder) record() Record {
	access := b.p.Access
	if access == "auto" {
		access = "entry"
	}
	r := Record{
		Version: recordVersion, Pipeline: b.in.Pipeline, Namespace: b.p.Namespace, User: b.n.User,
		Cluster: b.p.ClusterName, Endpoint: b.p.ClusterEndpoint, CA: b.p.CertificateAuthority,
		AdminRole: b.p.AdminRoleARN, HandlerRole: b.p.HandlerRoleARN, Access: access,
		Labels:  map[string]string{LabelManaged: "rayorch", LabelStack: kubeName(b.n.Stack)},
		Machine: b.n.Machine, LogGroup: b.n.LogGroup, MachineRole: strings.TrimSuffix(b.n.MachineRole, regionSuffix), PodRole: strings.TrimSuffix(b.n.PodRole, regionSuffix),
	}
	if b.clean != "" {
		r.Clean = b.n.Clean
	}
	return r
}

func (r Record) value() *value.Object {
	data, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("stack: a record of texts: %v", err))
	}
	o, err := value.ParseObject(data)
	if err != nil {
		panic(fmt.Sprintf("stack: json made no JSON: %v", err))
	}
	return o
}

// ReadRecord finds the record in a template; ok is false for a template that is none of ours.
func ReadRecord(template []byte) (r Record, ok bool, err error) {
	var t struct {
		Parameters map[string]struct{ Default string }
		Resources  map[string]struct {
			Metadata struct{ Rayorch *Record }
		}
	}
	if err := json.Unmarshal(template, &t); err != nil {
		return r, false, fmt.Errorf("read the stack's template: %w", err)
	}
	found := t.Resources[idMachine].Metadata.Rayorch
	if found == nil {
		return r, false, nil
	}
	if found.Version != recordVersion { // what is not known of it would be left behind
		return r, false, fmt.Errorf("the stack was deployed by a newer rayorch (record version %d): use that one", found.Version)
	}
	found.CA = t.Parameters[paramCA].Default
	return *found, true, nil
}

// KeepLogs is the template with the log group, and what encrypts it, left behind when the stack is deleted. CloudFormation
// takes over a changed DeletionPolicy only with a change of a resource, so the metadata says it too.
func KeepLogs(template []byte) ([]byte, error) {
	t, err := value.ParseObject(template)
	if err != nil {
		return nil, fmt.Errorf("read the stack's template: %w", err)
	}
	resources, _ := t.Get("Resources")
	all, ok := resources.(*value.Object)
	if !ok {
		return nil, fmt.Errorf("the stack's template has no resources")
	}
	kept := all.Clone()
	for _, id := range []string{idLogs, idKey} {
		v, _ := all.Get(id)
		if r, ok := v.(*value.Object); ok {
			kept.Set(id, keep(r))
		}
	}
	return append(value.Bytes(t.With("Resources", kept)), '\n'), nil
}

// keep changes both policies: one counts when the stack is deleted, the other when an update replaces the resource.
func keep(r *value.Object) *value.Object {
	meta := value.Obj()
	if v, ok := r.Get("Metadata"); ok {
		if o, isObject := v.(*value.Object); isObject {
			meta = o
		}
	}
	return r.With("DeletionPolicy", "Retain").With("UpdateReplacePolicy", "Retain").
		With("Metadata", meta.With("Rayorch", value.Obj("kept", "destroy --keep-logs")))
}

// annotations are the tags on Kubernetes' objects, in one annotation: a tag's key may be none of Kubernetes', but its text
// may hold anything.
func annotations(tags map[string]string) *value.Object {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		all = append(all, k+"="+tags[k])
	}
	if len(all) == 0 {
		return &value.Object{}
	}
	return value.Obj("rayorch.dev/tags", strings.Join(all, ","))
}

func base64Text(data []byte) string { return base64.StdEncoding.EncodeToString(data) }
