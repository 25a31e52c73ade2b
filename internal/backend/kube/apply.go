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

// ApplyOptions say how objects are applied.
type ApplyOptions struct {
	// FieldManager defaults to rayorch.
	FieldManager string
	// DryRun makes the server check and answer, but keep nothing.
	DryRun bool
	// Force takes fields over that another manager has set.
	Force bool
}

// What became of an object.
const (
	Created   = "created"
	Changed   = "configured"
	Unchanged = "unchanged"
	Deleted   = "deleted"
	Absent    = "not there"
	Foreign   = "not ours"
)

// Applied is what became of one object.
type Applied struct {
	Object Object // as it is now; as it was when it was deleted
	Action string // Created, Changed, ...
}

// applyOrder is what others need first. What it does not name comes last, in the order given.
var applyOrder = []string{
	"Namespace", "CustomResourceDefinition", "ServiceAccount", "ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding",
	"ConfigMap", "Secret", "PersistentVolume", "PersistentVolumeClaim", "Service",
}

func rank(o Object) int {
	if i := slices.Index(applyOrder, Kind(o)); i >= 0 {
		return i
	}
	return len(applyOrder)
}

func sorted(objects []Object) []Object {
	return slices.SortedStableFunc(slices.Values(objects), func(a, b Object) int { return cmp.Compare(rank(a), rank(b)) })
}

// Apply makes the objects what they are to be, by server-side apply, and stops at the first that fails. What was done
// before is returned beside the error.
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
	if err != nil && Code(err) != http.StatusForbidden { // who may apply may perhaps not read
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
	case o.DryRun && sameContent(before, after): // the version says nothing of what a dry run would change
		applied.Action = Unchanged
	}
	return applied, nil
}

// live is nil for what is not there.
func (c *Client) live(ctx context.Context, path string) (Object, error) {
	var there Object
	err := c.get(ctx, path, nil, &there)
	if NotFound(err) {
		return nil, nil
	}
	return there, err
}

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

// explainConflict says what to do about fields that somebody else has set.
func explainConflict(err error) error {
	if Code(err) == http.StatusConflict && StatusReason(err) == "Conflict" {
		return fmt.Errorf("%w: take the fields over by force, or leave them out", err)
	}
	return err
}

// Delete removes the objects that carry rayorch's label, the last applied first, and waits for none of them. The others
// stay, and are said to be Foreign.
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
	there, err := c.live(ctx, path)
	switch {
	case err != nil:
		return Applied{}, err
	case there == nil:
		return Applied{Object: object, Action: Absent}, nil
	case text(there, "metadata", "labels", ManagedBy) != Manager:
		return Applied{Object: there, Action: Foreign}, nil
	}
	err = c.Remove(ctx, path, text(there, "metadata", "uid"))
	if err != nil && !NotFound(err) {
		return Applied{}, err
	}
	return Applied{Object: there, Action: Deleted}, nil
}

// Remove deletes what is at a path, and in the background what belongs to it. With a uid it deletes only that very object:
// another one of the same name answers 409.
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
