package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/api/client"
	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/pipeline/manifest"
)

func unapplyCommand(a *app) *cobra.Command {
	var o sourceOptions
	var force bool
	c := &cobra.Command{
		Use:   "unapply [PIPELINE]",
		Short: "remove the Kubernetes objects that apply and run created for a pipeline",
		Long: "unapply removes the objects that have the pipeline's labels and that rayorch applied: the ConfigMaps of all versions, " +
			"service accounts, the Role and its RoleBinding. It keeps objects that others created or applied, the namespace, " +
			"PersistentVolumeClaims and Ray clusters. It prints what it did with each object, or why it kept it. While Jobs of the pipeline " +
			"run, unapply fails, unless --force is given.",
		Example: "  rayorch unapply examples/shakespeare --target kubernetes",
		Args:    atMostOneArg,
		RunE: func(c *cobra.Command, args []string) error {
			o.path = first(args)
			return a.unapply(c.Context(), o, force)
		},
	}
	o.flags(c)
	c.Flags().BoolVar(&force, "force", false, "remove the objects even while Jobs of the pipeline run; these Jobs may fail")
	return c
}

// unapply removes the objects of a pipeline from all clusters of a target.
func (a *app) unapply(ctx context.Context, o sourceOptions, force bool) error {
	src, r, err := a.compiled(o)
	if err != nil {
		return err
	}
	clusters, err := a.clusters(r)
	if err != nil {
		return err
	}
	for _, c := range clusters { // check all of them before anything is removed
		active, err := lastJobs(ctx, c, r.Namespace, src.pipeline.Name, force)
		if err != nil || len(active) > 0 && !force { // a Job would lose its service account or its files
			return inContext(clusters, c, errors.Join(err, stillRunning(active)))
		}
	}
	var lines []applied
	for _, c := range clusters {
		p := applyPlan{c: c}
		err = errors.Join(err, inContext(clusters, c, p.remove(ctx, src, r)))
		lines = append(lines, p.lines...)
	}
	return errors.Join(printApplied(a.out, lines, len(clusters) > 1, false), err)
}

// stillRunning returns an error that names the jobs, or nil if there are none.
func stillRunning(jobs []string) error {
	if len(jobs) == 0 {
		return nil
	}
	return fail(exitError, "stop the runs with rayorch stop, or add --force",
		"Jobs of the pipeline are still running: %s", strings.Join(jobs, ", "))
}

// A run can end some seconds before Kubernetes sets the status of its last Job: lastJobs waits that long, and looks this often.
const (
	noteWait = 5 * time.Second
	notePoll = 200 * time.Millisecond
)

// lastJobs returns the Jobs of a pipeline that are still active after noteWait; with now it does not wait.
func lastJobs(ctx context.Context, c *kube.Client, namespace, pipeline string, now bool) ([]string, error) {
	for deadline := time.Now().Add(noteWait); ; {
		active, err := activeJobs(ctx, c, namespace, pipeline)
		if err != nil || len(active) == 0 || now || time.Now().After(deadline) {
			return active, err
		}
		if err := client.Sleep(ctx, notePoll); err != nil {
			return nil, err
		}
	}
}

// activeJobs returns the names of the pipeline's Jobs that have not ended.
func activeJobs(ctx context.Context, c *kube.Client, namespace, pipeline string) ([]string, error) {
	var list struct{ Items []kube.Job }
	if err := listObjects(ctx, c, kube.JobsPath(namespace), manifest.Selector(pipeline), &list); err != nil {
		return nil, err
	}
	var names []string
	for _, j := range list.Items {
		if j.Ended() == nil {
			names = append(names, j.Metadata.Name)
		}
	}
	return names, nil
}

// listObjects decodes the list of the objects that a label selector matches.
func listObjects(ctx context.Context, c *kube.Client, path, selector string, into any) error {
	res, err := c.Do(ctx, kube.Request{Path: path, Query: url.Values{"labelSelector": {selector}}})
	if err != nil {
		return err
	}
	return json.Unmarshal(res.Body, into)
}

// appliedKinds are the kinds of namespaced objects that package manifest creates.
var appliedKinds = []struct{ version, kind, resource string }{
	{"v1", "ServiceAccount", "serviceaccounts"},
	{"rbac.authorization.k8s.io/v1", "Role", "roles"},
	{"rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings"},
	{"v1", "ConfigMap", "configmaps"},
}

// remove deletes the objects that have the pipeline's labels and that rayorch applied. The labels alone are not enough: someone may
// have copied them to another object.
func (p *applyPlan) remove(ctx context.Context, src *source, r *compile.Result) error {
	var ours []kube.Object
	for _, k := range appliedKinds {
		var list struct{ Items []kube.Object }
		if err := listObjects(ctx, p.c, kube.CollectionPath(k.version, r.Namespace, k.resource), manifest.Selector(src.pipeline.Name), &list); err != nil {
			return err
		}
		for _, o := range list.Items {
			o["apiVersion"], o["kind"] = k.version, k.kind
			if !appliedByUs(o) {
				p.add(o, "left as it is", "it has the pipeline's labels, but rayorch did not apply it")
				continue
			}
			ours = append(ours, o)
		}
	}
	done, err := p.c.Delete(ctx, ours)
	for _, d := range done {
		p.add(d.Object, d.Action, "")
	}
	p.addKept(ctx, src, r)
	return err
}

// addKept adds a line for the namespace and for service accounts that the pipeline uses and rayorch did not create.
func (p *applyPlan) addKept(ctx context.Context, src *source, r *compile.Result) {
	o := src.manifestOptions(r)
	o.Namespace = true
	for _, object := range manifest.Objects(r, o) {
		kind := kube.Kind(object)
		if kind != "ServiceAccount" && kind != "Namespace" {
			continue
		}
		there, err := p.c.Get(ctx, object)
		if err != nil {
			continue // deleted, or not ours to read
		}
		switch {
		case kube.Field(there, "metadata", "labels", manifest.ManagedByLabel) != manifest.Manager:
			p.add(object, "left as it is", "rayorch did not create it")
		case kind == "Namespace":
			p.add(object, "left as it is", "others may use it; to remove it with everything in it: kubectl delete namespace "+r.Namespace)
		}
	}
}

// appliedByUs reports whether rayorch is among the field managers that applied the object.
func appliedByUs(o kube.Object) bool {
	fields, _ := kube.Field(o, "metadata", "managedFields").([]any)
	for _, f := range fields {
		m, _ := f.(map[string]any)
		if m["manager"] == manifest.Manager && m["operation"] == "Apply" {
			return true
		}
	}
	return false
}
