package kube

import (
	"context"
	"fmt"
	"net/url"
	"strings"
)

// Object is any Kubernetes object, as decoded JSON.
type Object = map[string]any

// The label, and its value, of objects that rayorch creates. Delete only deletes objects with this label.
const (
	ManagedBy = "app.kubernetes.io/managed-by"
	Manager   = "rayorch"
)

// Name returns the name of an object.
func Name(o Object) string { return text(o, "metadata", "name") }

// NamespaceOf returns the namespace of an object, "" if it has none.
func NamespaceOf(o Object) string { return text(o, "metadata", "namespace") }

// Kind returns the kind of an object.
func Kind(o Object) string { return text(o, "kind") }

// Field returns a nested field of an object, nil if it does not exist.
func Field(o Object, path ...string) any {
	var at any = o
	for _, key := range path {
		m, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = m[key]
	}
	return at
}

// text returns a nested string of an object, "" if it does not exist.
func text(o Object, path ...string) string {
	s, _ := Field(o, path...).(string)
	return s
}

// Title returns a description of an object for messages, such as "ConfigMap a in namespace ml".
func Title(o Object) string {
	name := Kind(o) + " " + Name(o)
	if ns := NamespaceOf(o); ns != "" {
		return name + " in namespace " + ns
	}
	return name
}

// route describes the API resource of a kind.
type route struct {
	Name       string   `json:"name"`
	Kind       string   `json:"kind"`
	Namespaced bool     `json:"namespaced"`
	Verbs      []string `json:"verbs"`
}

// route returns the API resource of a kind. It asks the server once for each group and version, so it also finds custom resources.
func (c *Client) route(ctx context.Context, apiVersion, kind string) (route, error) {
	c.mu.Lock()
	known := c.routes[apiVersion]
	c.mu.Unlock()
	if r, ok := known[kind]; ok {
		return r, nil
	}
	var list struct {
		Resources []route `json:"resources"`
	}
	err := c.get(ctx, groupPath(apiVersion), nil, &list)
	if NotFound(err) {
		return route{}, fmt.Errorf("the cluster does not have the API %s of the kind %s: install the operator or the CRD that provides it", apiVersion, kind)
	}
	if err != nil {
		return route{}, err
	}
	known = map[string]route{}
	for _, r := range list.Resources {
		if !strings.Contains(r.Name, "/") { // not a subresource
			known[r.Kind] = r
		}
	}
	c.mu.Lock()
	c.routes[apiVersion] = known
	c.mu.Unlock()
	r, ok := known[kind]
	if !ok {
		return route{}, fmt.Errorf("the API %s of the cluster has no kind %s: update the operator or the CRD that provides it", apiVersion, kind)
	}
	return r, nil
}

// groupPath returns the API path of a group and version.
func groupPath(apiVersion string) string {
	if strings.Contains(apiVersion, "/") {
		return "/apis/" + apiVersion
	}
	return "/api/" + apiVersion
}

// CollectionPath returns the API path of a resource. apiVersion is a group and version such as batch/v1, resource is the plural
// name, and namespace is "" for a resource without a namespace or for all namespaces.
func CollectionPath(apiVersion, namespace, resource string) string {
	path := groupPath(apiVersion)
	if namespace != "" {
		path += "/namespaces/" + url.PathEscape(namespace)
	}
	return path + "/" + resource
}

// ObjectPath returns the API path of an object.
func ObjectPath(apiVersion, namespace, resource, name string) string {
	return CollectionPath(apiVersion, namespace, resource) + "/" + url.PathEscape(name)
}

// path returns the API path of an object. If the object has no namespace but its kind needs one, it uses that of the client.
func (c *Client) path(ctx context.Context, o Object) (string, error) {
	version, kind, name := text(o, "apiVersion"), Kind(o), Name(o)
	if version == "" || kind == "" || name == "" {
		return "", fmt.Errorf("an object needs apiVersion, kind and metadata.name, got %q, %q and %q", version, kind, name)
	}
	r, err := c.route(ctx, version, kind)
	if err != nil {
		return "", err
	}
	ns := ""
	if r.Namespaced {
		ns = orElse(NamespaceOf(o), c.namespace)
	}
	return ObjectPath(version, ns, r.Name, name), nil
}

// Get reads the current object with the kind, namespace and name of o.
func (c *Client) Get(ctx context.Context, o Object) (Object, error) {
	path, err := c.path(ctx, o)
	if err != nil {
		return nil, err
	}
	var live Object
	err = c.get(ctx, path, nil, &live)
	return live, err
}
