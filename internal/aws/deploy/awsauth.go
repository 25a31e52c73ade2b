package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/rayorch/rayorch/internal/backend/kube"
)

// Mapping is an entry of mapRoles in the ConfigMap aws-auth: it maps an IAM role to a Kubernetes user and groups.
type Mapping struct {
	Role     string   `yaml:"rolearn"`
	Username string   `yaml:"username"`
	Groups   []string `yaml:"groups"`
}

// AddMapping adds a mapping to the YAML text of mapRoles, or replaces that of the same role, and removes the mappings of stale
// roles. All other entries keep their order, comments and unknown fields. If there is nothing to change, it returns the
// same text.
func AddMapping(text string, m Mapping, stale ...string) (string, error) {
	return editMappings(text, func(items []*yaml.Node) ([]*yaml.Node, error) {
		if upToDate(items, m, stale) {
			return items, nil
		}
		kept, err := without(items, append([]string{m.Role}, stale...)...)
		if err != nil {
			return nil, err
		}
		var node yaml.Node
		if err := node.Encode(m); err != nil {
			return nil, err
		}
		return append(kept, &node), nil
	})
}

// upToDate reports whether the entries contain the mapping exactly once, and none of the stale roles.
func upToDate(items []*yaml.Node, m Mapping, stale []string) bool {
	found := 0
	for _, item := range items {
		var there Mapping
		if item.Decode(&there) != nil || slices.Contains(stale, there.Role) {
			return false
		}
		switch {
		case there.Role != m.Role:
		case there.Username != m.Username || !slices.Equal(there.Groups, m.Groups):
			return false
		default:
			found++
		}
	}
	return found == 1
}

// DropMapping removes the mappings of roles from the YAML text of mapRoles.
func DropMapping(text string, roles ...string) (string, error) {
	return editMappings(text, func(items []*yaml.Node) ([]*yaml.Node, error) { return without(items, roles...) })
}

// without returns the entries except those of the given roles.
func without(items []*yaml.Node, roles ...string) ([]*yaml.Node, error) {
	var kept []*yaml.Node
	for _, item := range items {
		var m Mapping
		if err := item.Decode(&m); err != nil {
			return nil, fmt.Errorf("mapRoles contains an invalid entry: %w", err)
		}
		if !slices.Contains(roles, m.Role) {
			kept = append(kept, item)
		}
	}
	return kept, nil
}

// editMappings parses the text of mapRoles, edits its entries, and formats them again if they changed.
func editMappings(text string, edit func([]*yaml.Node) ([]*yaml.Node, error)) (string, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return "", fmt.Errorf("mapRoles is not valid YAML: %w", err)
	}
	list := &yaml.Node{Kind: yaml.SequenceNode}
	if len(doc.Content) > 0 && doc.Content[0].ShortTag() != "!!null" {
		list = doc.Content[0]
	}
	if list.Kind != yaml.SequenceNode {
		return "", errors.New("mapRoles is not a list")
	}
	before := list.Content
	items, err := edit(before)
	if err != nil {
		return "", err
	}
	if slices.Equal(before, items) {
		return text, nil
	}
	list.Content = items
	list.Style = 0 // change a list on one line, [...], to one with a line for each entry
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(list); err != nil {
		return "", err
	}
	return out.String(), enc.Close()
}

const awsAuthPath = "/api/v1/namespaces/kube-system/configmaps/aws-auth"

// MapRoles edits mapRoles of aws-auth in the cluster and reports whether that changed it. The write fails if the ConfigMap
// was changed since it was read; MapRoles then starts again, up to ten times, so
// concurrent edits are never lost.
func MapRoles(ctx context.Context, k *kube.Client, edit func(text string) (string, error)) (changed bool, err error) {
	for range 10 {
		changed, err = mapOnce(ctx, k, edit)
		if kube.Code(err) != http.StatusConflict {
			return changed, err
		}
	}
	return false, fmt.Errorf("edit aws-auth: conflicts with other changes: %w", err)
}

// mapOnce makes one attempt of MapRoles. The resource version in the object makes the API server reject a conflicting write.
func mapOnce(ctx context.Context, k *kube.Client, edit func(text string) (string, error)) (bool, error) {
	method, path := http.MethodPut, awsAuthPath
	object := kube.Object{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "aws-auth", "namespace": "kube-system"}}
	res, err := k.Do(ctx, kube.Request{Path: awsAuthPath})
	switch {
	case kube.NotFound(err):
		method, path = http.MethodPost, strings.TrimSuffix(awsAuthPath, "/aws-auth")
	case err != nil:
		return false, fmt.Errorf("read aws-auth: %w", err)
	default:
		if err := json.Unmarshal(res.Body, &object); err != nil {
			return false, fmt.Errorf("read aws-auth: %w", err)
		}
	}
	data, _ := object["data"].(map[string]any)
	if data == nil {
		data = map[string]any{}
		object["data"] = data
	}
	before, _ := data["mapRoles"].(string)
	after, err := edit(before)
	if err != nil {
		return false, fmt.Errorf("edit aws-auth: %w", err)
	}
	if after == before {
		return false, nil
	}
	data["mapRoles"] = after
	body, err := json.Marshal(object)
	if err != nil {
		return false, err
	}
	if _, err := k.Do(ctx, kube.Request{Method: method, Path: path, Body: body, ContentType: "application/json"}); err != nil {
		return false, err
	}
	return true, nil
}
