package kube

import (
	"context"
	"fmt"
	"net/url"
	"strings"
)

// Object is any Kubernetes object, as decoded JSON.
type Object = map[string]any

// The label and its value that mark what rayorch made: only that is ever deleted.
const (
	ManagedBy = "app.kubernetes.io/managed-by"
	Manager   = "rayorch"
)

// Name is an object's.
func Name(o Object) string { return text(o, "metadata", "name") }

// NamespaceOf is an object's, "" when it has none.
func NamespaceOf(o Object) string { return text(o, "metadata", "namespace") }

// Kind is an object's.
func Kind(o Object) string { return text(o, "kind") }

// Field walks into an object; nil when something is missing on the way.
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

func text(o Object, path ...string) string {
	s, _ := Field(o, path...).(string)
	return s
}

// Title names an object for people.
func Title(o Object) string {
	name := Kind(o) + " " + Name(o)
	if ns := NamespaceOf(o); ns != "" {
		return name + " in namespace " + ns
	}
	return name
}

// route is where the API server keeps the objects of a kind.
type route struct {
	Name       string   `json:"name"`
	Kind       string   `json:"kind"`
	Namespaced bool     `json:"namespaced"`
	Verbs      []string `json:"verbs"`
}

// route asks the server, once for each group and version, so that custom resources are found like all others.
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
		return route{}, fmt.Errorf("the cluster does not know %s, of which %s is a kind: is what serves it installed?", apiVersion, kind)
	}
	if err != nil {
		return route{}, err
	}
	known = map[string]route{}
	for _, r := range list.Resources {
		if !strings.Contains(r.Name, "/") { // no subresource
			known[r.Kind] = r
		}
	}
	c.mu.Lock()
	c.routes[apiVersion] = known
	c.mu.Unlock()
	r, ok := known[kind]
	if !ok {
		return route{}, fmt.Errorf("the cluster's %s has no kind %s: is what serves it up to date?", apiVersion, kind)
	}
	return r, nil
}

func groupPath(apiVersion string) string {
	if strings.Contains(apiVersion, "/") {
		return "/apis/" + apiVersion
	}
	return "/api/" + apiVersion
}

// CollectionPath is where the objects of a resource are: group and version such as batch/v1, the resource in the plural,
// the namespace "" for what has none.
func CollectionPath(apiVersion, namespace, resource string) string {
	path := groupPath(apiVersion)
	if namespace != "" {
		path += "/namespaces/" + url.PathEscape(namespace)
	}
	return path + "/" + resource
}

// ObjectPath is where one object is.
func ObjectPath(apiVersion, namespace, resource, name string) string {
	return CollectionPath(apiVersion, namespace, resource) + "/" + url.PathEscape(name)
}

// path finds an object's. One without a namespace gets the client's, where its kind has one.
func (c *Client) path(ctx context.Context, o Object) (string, error) {
	version, kind, name := text(o, "apiVersion"), Kind(o), Name(o)
	if version == "" || kind == "" || name == "" {
		return "", fmt.Errorf("an object needs apiVersion, kind and metadata.name: it has %q, %q and %q", version, kind, name)
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

// Get reads the object that is there under the same kind and name.
func (c *Client) Get(ctx context.Context, o Object) (Object, error) {
	path, err := c.path(ctx, o)
	if err != nil {
		return nil, err
	}
	var there Object
	err = c.get(ctx, path, nil, &there)
	return there, err
}
