package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/pipeline/manifest"
)

func (a *app) unapplyCommand() *cobra.Command {
	var o sourceOptions
	var force bool
	c := &cobra.Command{
		Use:   "unapply [PIPELINE]",
		Short: "remove from the cluster just what apply and run put there for a pipeline",
		Long: "unapply removes the objects that carry the pipeline's labels and that rayorch applied: files of all versions,\n" +
			"service accounts, role and binding. What others made or applied stays, and so do the namespace, claims and Ray\n" +
			"clusters; each line says what was done or why it was left. While Jobs of the pipeline run, it refuses.",
		Example: "  rayorch unapply examples/shakespeare --target kubernetes",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.path = first(args)
			return a.unapply(c.Context(), o, force)
		},
	}
	o.flags(c)
	c.Flags().BoolVar(&force, "force", false, "also while Jobs of the pipeline run, which may then fail")
	return c
}

func (a *app) unapply(ctx context.Context, o sourceOptions, force bool) error {
	src, r, err := a.compiled(o)
	if err != nil {
		return err
	}
	clusters, err := a.clusters(r)
	if err != nil {
		return err
	}
	for _, c := range clusters { // before anything is removed anywhere
		active, err := lastJobs(ctx, c, r.Namespace, src.pipeline.Name, force)
		if err != nil || len(active) > 0 && !force {
			return inContext(clusters, c, errors.Join(err, stillRunning(active)))
		}
	}
	var lines []applied
	for _, c := range clusters {
		p := applyPlan{c: c}
		err = errors.Join(err, inContext(clusters, c, p.remove(ctx, src, r)))
		lines = append(lines, p.lines...)
	}
	return errors.Join(a.showApplied(lines, len(clusters) > 1, false), err)
}

func stillRunning(jobs []string) error {
	if len(jobs) == 0 {
		return nil
	}
	return fail(exitError, "stop the runs by rayorch stop, or add --force", "jobs of the pipeline are running: %s", strings.Join(jobs, ", "))
}

// A run may be over some seconds before Kubernetes has noted the end of its last Job.
const (
	noteWait = 5 * time.Second
	notePoll = 200 * time.Millisecond
)

// lastJobs are the Jobs that still run when those that are about to end have ended.
func lastJobs(ctx context.Context, c *kube.Client, namespace, pipeline string, now bool) ([]string, error) {
	for deadline := time.Now().Add(noteWait); ; {
		active, err := activeJobs(ctx, c, namespace, pipeline)
		if err != nil || len(active) == 0 || now || time.Now().After(deadline) {
			return active, err
		}
		if err := pause(ctx, notePoll); err != nil {
			return nil, err
		}
	}
}

// activeJobs are the pipeline's Jobs that have not ended.
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

func listObjects(ctx context.Context, c *kube.Client, path, selector string, into any) error {
	res, err := c.Do(ctx, kube.Request{Path: path, Query: url.Values{"labelSelector": {selector}}})
	if err != nil {
		return err
	}
	return json.Unmarshal(res.Body, into)
}

// appliedKinds are those that manifest makes in a namespace.
var appliedKinds = []struct{ version, kind, resource string }{
	{"v1", "ServiceAccount", "serviceaccounts"},
	{"rbac.authorization.k8s.io/v1", "Role", "roles"},
	{"rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings"},
	{"v1", "ConfigMap", "configmaps"},
}

// remove deletes what carries the pipeline's labels and rayorch has applied; the labels alone may be copied by others.
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
	p.othersStay(ctx, src, r)
	return err
}

// othersStay tells of what the pipeline uses and others made, and of the namespace.
func (p *applyPlan) othersStay(ctx context.Context, src *source, r *compile.Result) {
	o := src.manifestOptions(r)
	o.Namespace = true
	for _, object := range manifest.Objects(r, o) {
		kind := kube.Kind(object)
		if kind != "ServiceAccount" && kind != "Namespace" {
			continue
		}
		there, err := p.c.Get(ctx, object)
		if err != nil {
			continue // gone, or not ours to read
		}
		switch {
		case kube.Field(there, "metadata", "labels", manifest.ManagedByLabel) != manifest.Manager:
			p.add(object, "left as it is", "somebody else made it")
		case kind == "Namespace":
			p.add(object, "left as it is", "others may use it: kubectl delete namespace "+r.Namespace+" removes all that is in it")
		}
	}
}

// appliedByUs says whether rayorch is among the field managers that applied the object.
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
