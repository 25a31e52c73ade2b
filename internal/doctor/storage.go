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

// claim checks that the storage claim exists and is bound. Steps on several nodes need ReadWriteMany. With a single node,
// ReadWriteOnce works, too, so it is only a note.
func (c *Cluster) claim(ctx context.Context) []Finding {
	name, namespace := c.Compiled.Claim, c.Compiled.Namespace
	if name == "" {
		return nil
	}
	o, err := c.get(ctx, kube.ObjectPath("v1", namespace, "persistentvolumeclaims", name))
	switch {
	case kube.Code(err) == http.StatusForbidden:
		return noted("a user who is allowed to read it can check it with: kubectl get pvc "+name+" -n "+namespace, "%s: not allowed to read it", name)
	case err != nil:
		return failed("create the PersistentVolumeClaim "+name+" in namespace "+namespace+", or set storage.claim to an existing one", "%v", err)
	}
	phase, _ := kube.Field(o, "status", "phase").(string)
	modes, _ := kube.Field(o, "spec", "accessModes").([]any)
	class, _ := kube.Field(o, "spec", "storageClassName").(string)
	switch {
	case phase == "Bound" && !slices.Contains(modes, any("ReadWriteMany")):
		return noted("if steps run on several nodes, use a claim with ReadWriteMany", "%s is Bound, access modes: %v", name, modes)
	case phase != "Bound" && c.bindsLate(ctx, class):
		return noted("its storage class binds it when the first pod mounts it: mount it in the pods of the Ray cluster", "%s is %s", name, phase)
	}
	return found(phase == "Bound", "%s is %s, access modes: %v", name, cmp.Or(phase, "in an unknown phase"), modes)
}

// bindsLate reports whether a storage class binds a claim only when the first pod mounts it.
func (c *Cluster) bindsLate(ctx context.Context, class string) bool {
	o, err := c.get(ctx, kube.ObjectPath("storage.k8s.io/v1", "", "storageclasses", class))
	return err == nil && class != "" && o["volumeBindingMode"] == "WaitForFirstConsumer"
}

// rayStorage checks that the pods of the Ray cluster, in which Ray jobs run, mount the claim at the path that the steps expect.
func (c *Cluster) rayStorage(ctx context.Context) []Finding {
	r := c.Compiled
	if c.head == nil {
		return nil
	}
	cluster := c.head.Cluster
	o, err := c.get(ctx, kube.ObjectPath("ray.io/v1", r.Namespace, "rayclusters", cluster))
	if err != nil || r.Claim == "" {
		return nil // not readable, or no claim; a step whose storage is missing fails with a clear error
	}
	if without := groupsWithout(o, r.Claim, r.Storage); len(without) > 0 {
		return found(false, "these pods of %s do not mount the claim %s at %s: %s", cluster, r.Claim, r.Storage, strings.Join(without, ", "))
	}
	return found(true, "all pods of %s mount %s at %s", cluster, r.Claim, r.Storage)
}

// groupsWithout returns the groups of pods in a RayCluster that do not mount the claim at the path, sorted.
func groupsWithout(cluster kube.Object, claim, path string) []string {
	groups := map[string]any{"head": kube.Field(cluster, "spec", "headGroupSpec")}
	workers, _ := kube.Field(cluster, "spec", "workerGroupSpecs").([]any)
	for _, w := range workers {
		group, _ := w.(map[string]any)
		groups["worker group "+fmt.Sprint(group["groupName"])] = group
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

// mountsClaim reports whether a container in a group's pod template mounts the claim at the path, or at one of its parents.
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

// list returns the elements of a JSON list that are objects.
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
