package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
)

// ApplyOptions are the options of a server-side apply.
type ApplyOptions struct {
	// FieldManager defaults to rayorch.
	FieldManager string
	// DryRun makes the server validate the request and return the result without storing it.
	DryRun bool
	// Force takes over fields that another field manager owns.
	Force bool
}

// The actions in the results of Apply, Diff and Delete. JSON output contains them, so they do not change; ActionText is for people.
const (
	Created   = "created"
	Changed   = "configured"
	Unchanged = "unchanged"
	Deleted   = "deleted"
	Absent    = "not there"
	Foreign   = "not ours"
)

// ActionText returns the text that describes an action to people.
func ActionText(action string) string {
	switch action {
	case Absent:
		return "not found"
	case Foreign:
		return "not managed by rayorch"
	default:
		return action
	}
}

// Applied is the result for one object.
type Applied struct {
	Object Object // the object after the operation, or before it was deleted
	Action string // Created, Changed, ...
}

// applyOrder is the order of kinds, so that objects are applied before those that need them. All other kinds follow in the order
// given.
var applyOrder = []string{
	"Namespace", "CustomResourceDefinition", "ServiceAccount", "ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding",
	"ConfigMap", "Secret", "PersistentVolume", "PersistentVolumeClaim", "Service",
}

// rank returns the position of an object's kind in applyOrder.
func rank(o Object) int {
	if i := slices.Index(applyOrder, Kind(o)); i >= 0 {
		return i
	}
	return len(applyOrder)
}

// sorted returns the objects in the order in which to apply them.
func sorted(objects []Object) []Object {
	return slices.SortedStableFunc(slices.Values(objects), func(a, b Object) int { return cmp.Compare(rank(a), rank(b)) })
}

// Apply creates or updates objects with server-side apply. It stops at the first error, and then returns the results so far
// together with the error.
func (c *Client) Apply(ctx context.Context, objects []Object, o ApplyOptions) ([]Applied, error) {
	var done []Applied
	for _, object := range sorted(objects) {
		applied, err := c.applyOne(ctx, object, o)
		if err != nil {
			return done, fmt.Errorf("apply %s: %w", Title(object), err)
		}
		done = append(done, applied)
	}
	return done, nil
}

func (c *Client) applyOne(ctx context.Context, object Object, o ApplyOptions) (Applied, error) {
	path, err := c.path(ctx, object)
	if err != nil {
		return Applied{}, err
	}
	before, err := c.live(ctx, path)
	if err != nil && Code(err) != http.StatusForbidden { // the permission to apply does not include reading
		return Applied{}, err
	}
	after, err := c.patchApply(ctx, path, object, o)
	if err != nil {
		return Applied{}, explainConflict(err)
	}
	applied := Applied{Object: after, Action: Changed}
	switch {
	case before == nil:
		applied.Action = Created
	case !o.DryRun && text(before, "metadata", "resourceVersion") == text(after, "metadata", "resourceVersion"):
		applied.Action = Unchanged
	case o.DryRun && sameContent(before, after): // a dry run does not change the resource version
		applied.Action = Unchanged
	}
	return applied, nil
}

// live reads the object at a path. It returns nil if the object does not exist.
func (c *Client) live(ctx context.Context, path string) (Object, error) {
	var o Object
	err := c.get(ctx, path, nil, &o)
	if NotFound(err) {
		return nil, nil
	}
	return o, err
}

// patchApply sends a server-side apply and returns the resulting object. With strict validation, an unknown field is an error.
func (c *Client) patchApply(ctx context.Context, path string, object Object, o ApplyOptions) (Object, error) {
	body, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	query := url.Values{"fieldManager": {orElse(o.FieldManager, Manager)}, "fieldValidation": {"Strict"}}
	if o.DryRun {
		query.Set("dryRun", "All")
	}
	if o.Force {
		query.Set("force", "true")
	}
	res, err := c.Do(ctx, Request{
		Method: http.MethodPatch, Path: path, Query: query, Body: body, ContentType: "application/apply-patch+yaml",
	})
	if err != nil {
		return nil, err
	}
	var after Object
	err = json.Unmarshal(res.Body, &after)
	return after, err
}

// explainConflict adds to an error about fields of another field manager how to resolve the conflict.
func explainConflict(err error) error {
	if Code(err) == http.StatusConflict && StatusReason(err) == "Conflict" {
		return fmt.Errorf("%w: take over the fields with --force, or remove them", err)
	}
	return err
}

// Delete deletes objects in the reverse order of Apply, and does not wait until they are gone. It only deletes objects with
// rayorch's label; the action of the others is Foreign. It continues after an error and returns all errors joined.
func (c *Client) Delete(ctx context.Context, objects []Object) ([]Applied, error) {
	ordered := sorted(objects)
	slices.Reverse(ordered)
	var done []Applied
	var failed []error
	for _, object := range ordered {
		applied, err := c.deleteOne(ctx, object)
		if err != nil {
			failed = append(failed, fmt.Errorf("delete %s: %w", Title(object), err))
			continue
		}
		done = append(done, applied)
	}
	return done, errors.Join(failed...)
}

func (c *Client) deleteOne(ctx context.Context, object Object) (Applied, error) {
	path, err := c.path(ctx, object)
	if err != nil {
		return Applied{}, err
	}
	live, err := c.live(ctx, path)
	switch {
	case err != nil:
		return Applied{}, err
	case live == nil:
		return Applied{Object: object, Action: Absent}, nil
	case text(live, "metadata", "labels", ManagedBy) != Manager:
		return Applied{Object: live, Action: Foreign}, nil
	}
	err = c.Remove(ctx, path, text(live, "metadata", "uid"))
	if err != nil && !NotFound(err) {
		return Applied{}, err
	}
	return Applied{Object: live, Action: Deleted}, nil
}

// Remove deletes the object at a path; Kubernetes deletes its dependents in the background. If uid is not empty, Remove only
// deletes the object with that UID: for another object of the same name, the error has status 409.
func (c *Client) Remove(ctx context.Context, path, uid string) error {
	options := map[string]any{"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
	if uid != "" {
		options["preconditions"] = map[string]any{"uid": uid}
	}
	body, err := json.Marshal(options)
	if err != nil {
		return err
	}
	_, err = c.Do(ctx, Request{Method: http.MethodDelete, Path: path, Body: body})
	return err
}
