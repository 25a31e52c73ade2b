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

// Mapping is one role in aws-auth.
type Mapping struct {
	Role     string   `yaml:"rolearn"`
	Username string   `yaml:"username"`
	Groups   []string `yaml:"groups"`
}

// AddMapping puts a role into the text of mapRoles, or sets it right where it is there, and drops roles that are stale.
// All other entries stay as they are, in their order, with comments and fields that nobody here knows; a text that says
// all of it already stays the same.
func AddMapping(text string, m Mapping, stale ...string) (string, error) {
	return editMappings(text, func(items []*yaml.Node) ([]*yaml.Node, error) {
		if said(items, m, stale) {
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

// said says whether the entries hold the mapping, once, and none of the stale roles.
func said(items []*yaml.Node, m Mapping, stale []string) bool {
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

// DropMapping takes roles out of the text of mapRoles.
func DropMapping(text string, roles ...string) (string, error) {
	return editMappings(text, func(items []*yaml.Node) ([]*yaml.Node, error) { return without(items, roles...) })
}

// without are the entries that are not of these roles.
func without(items []*yaml.Node, roles ...string) ([]*yaml.Node, error) {
	var kept []*yaml.Node
	for _, item := range items {
		var m Mapping
		if err := item.Decode(&m); err != nil {
			return nil, fmt.Errorf("mapRoles holds an entry that is none: %w", err)
		}
		if !slices.Contains(roles, m.Role) {
			kept = append(kept, item)
		}
	}
	return kept, nil
}

func editMappings(text string, edit func([]*yaml.Node) ([]*yaml.Node, error)) (string, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return "", fmt.Errorf("mapRoles is no YAML: %w", err)
	}
	list := &yaml.Node{Kind: yaml.SequenceNode}
	if len(doc.Content) > 0 && doc.Content[0].ShortTag() != "!!null" {
		list = doc.Content[0]
	}
	if list.Kind != yaml.SequenceNode {
		return "", errors.New("mapRoles is no list")
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
	list.Style = 0 // a list on one line could not take another entry and stay readable
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(list); err != nil {
		return "", err
	}
	return out.String(), enc.Close()
}

const awsAuthPath = "/api/v1/namespaces/kube-system/configmaps/aws-auth"

// MapRoles edits aws-auth in the cluster: it reads, changes what edit changes, and writes only what nobody else has
// written meanwhile, else it begins anew.
func MapRoles(ctx context.Context, k *kube.Client, edit func(text string) (string, error)) (changed bool, err error) {
	for range 10 {
		changed, err = mapOnce(ctx, k, edit)
		if kube.Code(err) != http.StatusConflict {
			return changed, err
		}
	}
	return false, fmt.Errorf("edit aws-auth: others keep writing it: %w", err)
}

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
