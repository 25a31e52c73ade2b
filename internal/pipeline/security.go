package pipeline

import (
	"maps"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/rayorch/rayorch/internal/value"
)

// SecurityContext is a Kubernetes security context: fields of a pod's and of a container's security context, as Kubernetes
// documents them. It replaces the default security context as a whole.
type SecurityContext struct{ Fields *value.Object }

// PodSecurityFields are the fields that only a pod's security context has. All others go to the container.
var PodSecurityFields = []string{"fsGroup", "fsGroupChangePolicy", "supplementalGroups", "supplementalGroupsPolicy", "sysctls",
	"seLinuxChangePolicy"}

// securityFields are the fields of both kinds of security context, with their JSON Schema types.
var securityFields = map[string]string{
	"fsGroup": "integer", "fsGroupChangePolicy": "string", "supplementalGroups": "array", "supplementalGroupsPolicy": "string",
	"sysctls": "array", "seLinuxChangePolicy": "string",
	"runAsUser": "integer", "runAsGroup": "integer", "runAsNonRoot": "boolean", "seccompProfile": "object",
	"appArmorProfile": "object", "seLinuxOptions": "object", "windowsOptions": "object",
	"allowPrivilegeEscalation": "boolean", "capabilities": "object", "privileged": "boolean", "readOnlyRootFilesystem": "boolean",
	"procMount": "string",
}

func (s *SecurityContext) decodeNode(d *decoder, n *yaml.Node, path string) {
	o, ok := d.json(n, path, func(_ *yaml.Node, _, text string) any { return text }).(*value.Object)
	if !ok {
		d.fail(n, path, "expected %s, got %s", s.expected(), describe(n))
		return
	}
	s.Fields = o
	known := slices.Sorted(maps.Keys(securityFields))
	for i := range o.Len() {
		key, v := o.At(i)
		switch want := securityFields[key]; {
		case want == "":
			d.report(join(path, key), "unknown field%s", orOneOf(key, known))
		case !isType(v, want):
			d.report(join(path, key), "expected %s, got %s", securityTypes[want], value.Text(v))
		}
	}
}

// securityTypes describe the JSON Schema types in messages.
var securityTypes = map[string]string{"integer": "an integer that is at least 0", "string": "a string", "boolean": "true or false",
	"array": "a list", "object": "a map"}

// isType reports whether a JSON value has a JSON Schema type. Integers must be at least 0.
func isType(v any, want string) bool {
	switch v := v.(type) {
	case string:
		return want == "string"
	case bool:
		return want == "boolean"
	case value.Number:
		_, err := strconv.ParseUint(string(v), 10, 63)
		return want == "integer" && err == nil
	case []any:
		return want == "array"
	case *value.Object:
		return want == "object"
	}
	return false
}

func (s *SecurityContext) expected() string { return "a map with the fields of a security context" }

func (s *SecurityContext) schema() *value.Object {
	properties := &value.Object{}
	for _, name := range slices.Sorted(maps.Keys(securityFields)) {
		field := value.Obj("type", securityFields[name])
		if securityFields[name] == "integer" {
			field.Set("minimum", value.Int(0))
		}
		properties.Set(name, field)
	}
	return value.Obj("type", "object", "properties", properties, "additionalProperties", false)
}
