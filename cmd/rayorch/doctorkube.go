package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/compile"
	"github.com/rayorch/rayorch/internal/kube"
	"github.com/rayorch/rayorch/internal/manifest"
	"github.com/rayorch/rayorch/internal/pipeline"
)

// clusterDoctor looks at what one target of kind kubernetes needs in one of its clusters. It changes nothing.
type clusterDoctor struct {
	src    *source
	name   string // the context's; "" for the current one
	own    bool   // it is the target's, where steps run that name none
	r      *compile.Result
	target pipeline.Target
	c      *kube.Client
	checks []check
}

// doctorClusters makes the checks in every cluster that a target's steps run in.
func (a *app) doctorClusters(ctx context.Context, src *source, r *compile.Result) []check {
	var all []check
	for i, name := range contextsOf(r) {
		if i > 0 && name == all[0].Context {
			continue // a step named the current one
		}
		d := &clusterDoctor{src: src, r: r, name: name, own: i == 0}
		d.target, _ = src.pipeline.Targets.Get(r.Target)
		d.examine(ctx, a)
		all = append(all, d.checks...)
	}
	return all
}

// examine makes the checks in one cluster. What cannot be reached ends them early: the rest would only repeat it.
func (d *clusterDoctor) examine(ctx context.Context, a *app) {
	if !d.reach(ctx, a) || !d.namespace(ctx) {
		return
	}
	d.permissions(ctx)
	d.head(ctx)
	d.kubeRay(ctx)
	d.queue(ctx)
	d.claim(ctx)
	d.secrets(ctx)
	d.accounts(ctx)
	d.quota(ctx)
	d.files(ctx)
}

func (d *clusterDoctor) add(name string, needed, ok bool, advice, format string, args ...any) {
	if ok {
		advice = ""
	}
	context := d.name
	if d.c != nil {
		context = d.c.Context()
	}
	d.checks = append(d.checks, check{Context: context, Name: name, OK: ok, Needed: needed, Found: fmt.Sprintf(format, args...), Advice: advice})
}

// usesRay says whether Ray steps run in this cluster.
func (d *clusterDoctor) usesRay() bool { return d.src.usesRayIn(d.c.Context(), d.own) }

// get reads an object or anything else under a path.
func (d *clusterDoctor) get(ctx context.Context, path string) (kube.Object, error) {
	res, err := d.c.Do(ctx, kube.Request{Path: path})
	if err != nil {
		return nil, err
	}
	var o kube.Object
	return o, errors.Join(json.Unmarshal(res.Body, &o))
}

func (d *clusterDoctor) reach(ctx context.Context, a *app) bool {
	var err error
	if d.c, err = a.cluster(d.name, d.r.Namespace); err != nil {
		d.add("context", true, false, "kubectl config get-contexts shows what there is; --context or the target's context names one", "%v", err)
		return false
	}
	res, err := d.c.Do(ctx, kube.Request{Path: "/version"})
	if err != nil {
		d.add("context", true, false, "kubectl version tells whether it is the cluster or rayorch", "%v", err)
		return false
	}
	var v struct{ GitVersion string }
	_ = json.Unmarshal(res.Body, &v) // any answer shows that it is there
	d.add("context", true, true, "", "%s: kubernetes %s at %s", cmp.Or(d.c.Context(), "this pod's"), cmp.Or(v.GitVersion, "of an unknown version"), d.c.Server())
	return true
}

func (d *clusterDoctor) namespace(ctx context.Context) bool {
	o, err := d.get(ctx, kube.CollectionPath("v1", "", "namespaces")+"/"+d.r.Namespace)
	switch {
	case err == nil, kube.Code(err) == http.StatusForbidden: // few may read namespaces
		d.add("namespace", true, true, "", "%s", d.r.Namespace)
		d.podSecurity(o)
	case kube.NotFound(err):
		d.add("namespace", true, false, d.src.command("apply")+" makes it", "there is no namespace %s", d.r.Namespace)
		return false
	default:
		d.add("namespace", true, false, "", "%v", err)
		return false
	}
	return true
}

// head looks for the Ray cluster, unless each step makes one of its own.
func (d *clusterDoctor) head(ctx context.Context) {
	if !d.usesRay() || d.target.Ray.ClusterSpec != nil {
		return
	}
	h, err := d.c.FindHead(ctx, d.r.Namespace, d.r.RayCluster)
	if err != nil {
		_, other := d.get(ctx, kube.ObjectPath("v1", d.r.Namespace, "services", d.r.Service))
		switch {
		case other == nil:
			d.add("ray head", true, true, "", "service %s", d.r.Service)
			return
		case kube.Code(err) == http.StatusForbidden && kube.Code(other) == http.StatusForbidden:
			// What apply grants holds no right to look at services: a run needs none.
			d.add("ray head", false, false, fmt.Sprintf("kubectl get service %s -n %s, by somebody who may", d.r.Service, d.r.Namespace),
				"you may not look at services: whether %s is there is not known", d.r.Service)
			return
		}
		d.add("ray head", true, false, "create a RayCluster there, or name another by the target's ray.cluster or ray.service", "%v", err)
		return
	}
	defer d.mounts(ctx, h.Cluster)
	if !h.Ready {
		d.add("ray head", true, false, fmt.Sprintf("kubectl describe raycluster %s -n %s; kubectl get pods -n %s", h.Cluster, d.r.Namespace, d.r.Namespace),
			"%s is not ready: %s", h.Cluster, h.Why)
		return
	}
	d.add("ray head", true, true, "", "%s, service %s", h.Cluster, h.Service)
	d.version(ctx, h)
	if h.Auth && d.target.Ray.Token == nil {
		d.add("ray token", true, d.r.Way == pipeline.SubmitRayJob, "set the target's ray.token: {name: "+h.Cluster+", key: auth_token}, and submit by job",
			"the cluster wants a token, and the target names none")
	}
}

// version compares what Ray says it is with what its RayCluster says. The submitter speaks to any release.
func (d *clusterDoctor) version(ctx context.Context, h kube.Head) {
	path := kube.ObjectPath("v1", d.r.Namespace, "services", fmt.Sprintf("%s:%d", h.Service, d.r.Port)) + "/proxy/api/version"
	o, err := d.get(ctx, path)
	running, _ := o["ray_version"].(string)
	switch {
	case err != nil:
		d.add("ray version", false, h.RayVersion != "", "", "%s, as the RayCluster says", cmp.Or(h.RayVersion, "unknown"))
	case h.RayVersion != "" && h.RayVersion != running:
		d.add("ray version", false, false, "KubeRay's own submitter takes its commands from spec.rayVersion: make it the image's", "%s, but the RayCluster says %s", running, h.RayVersion)
	default:
		d.add("ray version", false, true, "", "%s", running)
	}
}

// kubeRay looks for the operator's kinds where RayJobs are made.
func (d *clusterDoctor) kubeRay(ctx context.Context) {
	if d.r.Way != pipeline.SubmitRayJob || !d.usesRay() {
		return
	}
	_, err := d.get(ctx, "/apis/ray.io/v1")
	d.add("kuberay", true, err == nil, "install the KubeRay operator, or submit by job: --submit job", "%s", orError("ray.io/v1 is served", err))
}

func (d *clusterDoctor) queue(ctx context.Context) {
	if d.target.Queue == "" {
		return
	}
	_, err := d.get(ctx, kube.ObjectPath("kueue.x-k8s.io/v1beta1", d.r.Namespace, "localqueues", d.target.Queue))
	d.add("kueue queue", true, err == nil, "install Kueue and make a LocalQueue of that name, or leave the target's queue out", "%s", orError(d.target.Queue, err))
}

func orError(text string, err error) string {
	if err != nil {
		return err.Error()
	}
	return text
}

// claim looks at the storage. Only what several nodes may mount serves steps on several nodes.
func (d *clusterDoctor) claim(ctx context.Context) {
	if d.r.Claim == "" {
		return
	}
	o, err := d.get(ctx, kube.ObjectPath("v1", d.r.Namespace, "persistentvolumeclaims", d.r.Claim))
	switch {
	case kube.Code(err) == http.StatusForbidden:
		d.add("claim", false, false, "kubectl get pvc "+d.r.Claim+" -n "+d.r.Namespace, "%s: you may not read it", d.r.Claim)
		return
	case err != nil:
		d.add("claim", true, false, "make a PersistentVolumeClaim "+d.r.Claim+" there, or name another by storage.claim", "%v", err)
		return
	}
	phase, _ := kube.Field(o, "status", "phase").(string)
	modes, _ := kube.Field(o, "spec", "accessModes").([]any)
	if phase == "Bound" && !slices.Contains(modes, any("ReadWriteMany")) {
		d.add("claim", false, false, "steps on several nodes need a claim with ReadWriteMany", "%s is Bound with %v", d.r.Claim, modes)
		return
	}
	advice := "kubectl describe pvc " + d.r.Claim + " -n " + d.r.Namespace + " says what it waits for"
	class, _ := kube.Field(o, "spec", "storageClassName").(string)
	if phase != "Bound" && d.bindsLate(ctx, class) {
		d.add("claim", false, false, "its storage class binds it with the first pod that mounts it: Ray's own pods are to", "%s is %s", d.r.Claim, phase)
		return
	}
	d.add("claim", true, phase == "Bound", advice, "%s is %s with %v", d.r.Claim, cmp.Or(phase, "of unknown state"), modes)
}

// bindsLate tells of a storage class that waits for a pod.
func (d *clusterDoctor) bindsLate(ctx context.Context, class string) bool {
	o, err := d.get(ctx, kube.ObjectPath("storage.k8s.io/v1", "", "storageclasses", class))
	return err == nil && class != "" && o["volumeBindingMode"] == "WaitForFirstConsumer"
}

// mounts looks whether Ray's pods have the claim where the steps look for it: each step's job runs in them.
func (d *clusterDoctor) mounts(ctx context.Context, cluster string) {
	o, err := d.get(ctx, kube.ObjectPath("ray.io/v1", d.r.Namespace, "rayclusters", cluster))
	if err != nil || d.r.Claim == "" {
		return // who may not read it meets a step that says so
	}
	groups := map[string]any{"head": kube.Field(o, "spec", "headGroupSpec")}
	workers, _ := kube.Field(o, "spec", "workerGroupSpecs").([]any)
	for _, w := range workers {
		group, _ := w.(map[string]any)
		groups["the workers "+fmt.Sprint(group["groupName"])] = group
	}
	var without []string
	for name, group := range groups {
		if !mountsClaim(group, d.r.Claim, d.r.Storage) {
			without = append(without, name)
		}
	}
	slices.Sort(without)
	d.add("ray storage", true, len(without) == 0, "mount it in the RayCluster's pod templates, as examples/kubernetes/ray.yaml does, or leave storage.claim out",
		"%s", cmp.Or(strings.Join(without, ", "), "all of "+cluster+"'s pods mount "+d.r.Claim+" at "+d.r.Storage))
	if len(without) > 0 {
		d.checks[len(d.checks)-1].Found = fmt.Sprintf("of %s these do not mount the claim %s at %s: %s", cluster, d.r.Claim, d.r.Storage, strings.Join(without, ", "))
	}
}

// mountsClaim says whether a container of a group's pods has the claim at the path, or above it.
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

func (d *clusterDoctor) secrets(ctx context.Context) {
	for _, k := range d.r.Secrets {
		c := checkSecret(ctx, d.c, d.r.Namespace, k, clusterUsers(d.src.pipeline, k))
		c.Context = d.c.Context()
		d.checks = append(d.checks, c)
	}
}

// accounts looks for the pods' service account, without which no pod is made.
func (d *clusterDoctor) accounts(ctx context.Context) {
	if d.r.ServiceAccount == "" {
		return
	}
	_, err := d.get(ctx, kube.ObjectPath("v1", d.r.Namespace, "serviceaccounts", d.r.ServiceAccount))
	if kube.Code(err) == http.StatusForbidden {
		return
	}
	d.add("service account", true, err == nil, d.src.command("apply")+" makes it", "%s", orError(d.r.ServiceAccount, err))
}

// files tells whether this version's files are there.
func (d *clusterDoctor) files(ctx context.Context) {
	missing, unknown := 0, 0
	for _, f := range manifest.Files(d.r, d.src.manifestOptions(d.r)) {
		switch _, err := d.c.Get(ctx, f); {
		case kube.NotFound(err):
			missing++
		case err != nil:
			unknown++
		}
	}
	switch {
	case len(d.r.Files) == 0:
	case unknown > 0:
		d.add("files", false, false, d.src.command("apply")+", by somebody who may, puts them",
			"you may not read config maps: whether this version's %d are there is not known", len(d.r.Files))
	case missing == 0:
		d.add("files", false, true, "", "this version's %d are there", len(d.r.Files))
	default:
		d.add("files", false, true, "", "%d of this version's %d are not there yet: run, register and apply put them", missing, len(d.r.Files))
	}
}
