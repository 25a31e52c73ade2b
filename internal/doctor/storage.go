package doctor

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/backend/kube"
)

// claim checks the storage claim. Steps on several nodes need a claim that several nodes can mount. On a cluster of one node,
// ReadWriteOnce works, too, so it is a note.
func (c *Cluster) claim(ctx context.Context) []Finding {
	name, namespace := c.Compiled.Claim, c.Compiled.Namespace
	if name == "" {
		return nil
	}
	o, err := c.get(ctx, kube.ObjectPath("v1", namespace, "persistentvolumeclaims", name))
	switch {
	case kube.Code(err) == http.StatusForbidden:
		return noted("kubectl get pvc "+name+" -n "+namespace, "%s: you may not read it", name)
	case err != nil:
		return failed("make a PersistentVolumeClaim "+name+" there, or name another by storage.claim", "%v", err)
	}
	phase, _ := kube.Field(o, "status", "phase").(string)
	modes, _ := kube.Field(o, "spec", "accessModes").([]any)
	class, _ := kube.Field(o, "spec", "storageClassName").(string)
	switch {
	case phase == "Bound" && !slices.Contains(modes, any("ReadWriteMany")):
		return noted("steps on several nodes need a claim with ReadWriteMany", "%s is Bound with %v", name, modes)
	case phase != "Bound" && c.bindsLate(ctx, class):
		return noted("its storage class binds it with the first pod that mounts it: Ray's own pods are to", "%s is %s", name, phase)
	}
	return found(phase == "Bound", "%s is %s with %v", name, cmp.Or(phase, "of unknown state"), modes)
}

// bindsLate reports whether a storage class binds a claim only when the first pod uses it.
func (c *Cluster) bindsLate(ctx context.Context, class string) bool {
	o, err := c.get(ctx, kube.ObjectPath("storage.k8s.io/v1", "", "storageclasses", class))
	return err == nil && class != "" && o["volumeBindingMode"] == "WaitForFirstConsumer"
}

// rayStorage looks whether Ray's pods mount the claim where the steps expect it: each step's job runs in them.
func (c *Cluster) rayStorage(ctx context.Context) []Finding {
	r := c.Compiled
	if c.head == nil {
		return nil
	}
	cluster := c.head.Cluster
	o, err := c.get(ctx, kube.ObjectPath("ray.io/v1", r.Namespace, "rayclusters", cluster))
	if err != nil || r.Claim == "" {
		return nil // if it cannot be read, a step without the storage says so
	}
	if without := groupsWithout(o, r.Claim, r.Storage); len(without) > 0 {
		return found(false, "of %s these do not mount the claim %s at %s: %s", cluster, r.Claim, r.Storage, strings.Join(without, ", "))
	}
	return found(true, "all of %s's pods mount %s at %s", cluster, r.Claim, r.Storage)
}

// groupsWithout are the groups of a RayCluster's pods that do not mount the claim at the path.
func groupsWithout(cluster kube.Object, claim, path string) []string {
	groups := map[string]any{"head": kube.Field(cluster, "spec", "headGroupSpec")}
	workers, _ := kube.Field(cluster, "spec", "workerGroupSpecs").([]any)
	for _, w := range workers {
		group, _ := w.(map[string]any)
		groups["the workers "+fmt.Sprint(group["groupName"])] = group
	}
	var without []string
	for name, group := range groups {
		if !mountsClaim(group, claim, path) {
			without = append(without, name)
		}
	}
	slices.Sort(without)
	return without
}

// mountsClaim reports whether a container of a group's pods has the claim at the path, or above it.
func mountsClaim(group any, claim, path string) bool {
	o, _ := group.(map[string]any)
	spec, _ := kube.Field(o, "template", "spec").(map[string]any)
	volumes := map[any]bool{}
	for _, v := range list(spec["volumes"]) {
		volumes[v["name"]] = kube.Field(v, "persistentVolumeClaim", "claimName") == claim
	}
	for _, c := range list(spec["containers"]) {
		for _, m := range list(c["volumeMounts"]) {
			at, _ := m["mountPath"].(string)
			if volumes[m["name"]] && at != "" && strings.HasPrefix(path+"/", strings.TrimSuffix(at, "/")+"/") {
				return true
			}
		}
	}
	return false
}

// list are the objects of a list.
func list(v any) []kube.Object {
	items, _ := v.([]any)
	var out []kube.Object
	for _, item := range items {
		if o, ok := item.(map[string]any); ok {
			out = append(out, o)
		}
	}
	return out
}
