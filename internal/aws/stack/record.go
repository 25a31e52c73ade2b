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

// Record describes a deployment for later commands, such as doctor and destroy, so that these need no parameters. It is
// metadata of the state machine in the template, so it is stored before the resources that it describes exist.
type Record struct {
	Version     int               `json:"version"`
	Pipeline    string            `json:"pipeline"`
	Namespace   string            `json:"namespace"`
	User        string            `json:"user"`
	Cluster     string            `json:"cluster"`
	Endpoint    string            `json:"endpoint"`
	CA          string            `json:"-"` // stored as the default of the template's parameter
	AdminRole   string            `json:"adminRole"`
	HandlerRole string            `json:"handlerRole"`
	Access      string            `json:"access"`
	Labels      map[string]string `json:"labels"`
	Machine     string            `json:"stateMachine"`
	Clean       string            `json:"cleanUpStateMachine,omitempty"`
	LogGroup    string            `json:"logGroup"`
	// The names of the roles, without the suffix of a hyphen and the region.
	MachineRole string `json:"stateMachineRole"`
	PodRole     string `json:"podRole"`
}

const recordVersion = 1

// record returns the record of the deployment. It contains the actual kind of access instead of auto, because the
// authentication mode of the cluster may change before the stack is destroyed.
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
		Machine: b.n.Machine, LogGroup: b.n.LogGroup,
		MachineRole: strings.TrimSuffix(b.n.MachineRole, regionSuffix), PodRole: strings.TrimSuffix(b.n.PodRole, regionSuffix),
	}
	if b.clean != "" {
		r.Clean = b.n.Clean
	}
	return r
}

func (r Record) value() *value.Object {
	data, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("stack: marshal a record: %v", err))
	}
	o, err := value.ParseObject(data)
	if err != nil {
		panic(fmt.Sprintf("stack: parse a marshaled record: %v", err))
	}
	return o
}

// ReadRecord reads the record in a template. ok is false if rayorch did not create the template.
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
	if found.Version != recordVersion { // an older rayorch would leave resources behind that it does not know
		return r, false, fmt.Errorf("the stack was deployed by a newer version of rayorch (record version %d): use that version", found.Version)
	}
	found.CA = t.Parameters[paramCA].Default
	return *found, true, nil
}

// KeepLogs returns the template changed so that CloudFormation retains the log group, and the key that encrypts it, when the
// stack is deleted.
func KeepLogs(template []byte) ([]byte, error) {
	t, err := value.ParseObject(template)
	if err != nil {
		return nil, fmt.Errorf("read the stack's template: %w", err)
	}
	resources, _ := t.Get("Resources")
	all, ok := resources.(*value.Object)
	if !ok {
		return nil, fmt.Errorf("read the stack's template: it has no resources")
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

// keep sets the policies for deleting the stack and for replacing the resource in an update. It also changes the metadata,
// because CloudFormation does not treat a changed DeletionPolicy alone as an update.
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

// annotations returns the annotations of Kubernetes objects: all tags in one annotation, because the key of a tag need not be
// a valid key of an annotation, while the value of an annotation can be any text.
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
