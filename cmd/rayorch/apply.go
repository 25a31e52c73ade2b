package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/pipeline/manifest"
)

// applyOptions are the flags of apply.
type applyOptions struct {
	source sourceOptions
	runner string // the subject of the RoleBinding: see parseRunner
	dryRun bool
	diff   bool
	force  bool // take over fields of other field managers
}

func applyCommand(a *app) *cobra.Command {
	var o applyOptions
	c := &cobra.Command{
		Use:   "apply [PIPELINE]",
		Short: "create the Kubernetes objects that a pipeline needs",
		Long: "apply creates or updates, with server-side apply, the objects that the pipeline's target of kind kubernetes needs: the " +
			"namespace if it does not exist, service accounts, a Role with only the permissions that the submission mode requires, its " +
			"RoleBinding, and the ConfigMaps with the files that pods mount. If you are allowed to create Jobs in the namespace, rayorch " +
			"run needs only the ConfigMaps, and creates them itself. apply does not change service accounts and namespaces that it did " +
			"not create. If steps name other contexts, apply acts in all of these clusters.",
		Example: "  rayorch apply examples/shakespeare --target kubernetes --diff",
		Args:    atMostOneArg,
		RunE: func(c *cobra.Command, args []string) error {
			o.source.path = first(args)
			return a.apply(c.Context(), o)
		},
	}
	o.source.flags(c)
	f := c.Flags()
	f.StringVar(&o.runner, "runner", "", "the subject that runs the definition and is bound to the Role: serviceaccount:[NAMESPACE/]NAME, user:NAME "+
		"or group:NAME (default: the service account rayorch-PIPELINE)")
	f.BoolVar(&o.dryRun, "dry-run", false, "show what would be done, after a server-side dry run; change nothing")
	f.BoolVar(&o.diff, "diff", false, "show each change as a diff; change nothing")
	f.BoolVar(&o.force, "force", false, "take over fields that other field managers own")
	return c
}

// applied is an object, and what apply or unapply did with it. The JSON is documented in docs/cli.md.
type applied struct {
	Context   string `json:"context"`
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
	Action    string `json:"action"`
	Note      string `json:"note,omitempty"`
	Diff      string `json:"diff,omitempty"`
}

// apply applies or compares the objects in all clusters of a target. An error in one cluster does not keep it from the others: the result
// shows what was done in each, and the errors are returned together.
func (a *app) apply(ctx context.Context, o applyOptions) error {
	runner, err := parseRunner(o.runner)
	if err != nil {
		return err
	}
	src, r, err := a.compiled(o.source)
	if err != nil {
		return err
	}
	clusters, err := a.clusters(r)
	if err != nil {
		return err
	}
	if !o.dryRun && !o.diff {
		if err := a.upload(ctx, r.Uploads, a.out.sayf); err != nil {
			return err
		}
	}
	opts := src.manifestOptions(r)
	opts.Runner = runner
	var lines []applied
	for _, c := range clusters {
		p := applyPlan{c: c, force: o.force}
		err = errors.Join(err, inContext(clusters, c, p.act(ctx, r, opts, o)))
		lines = append(lines, p.lines...)
	}
	return errors.Join(printApplied(a.out, lines, len(clusters) > 1, o.diff), err)
}

// inContext adds the context to an error if there is more than one cluster.
func inContext(clusters []*kube.Client, c *kube.Client, err error) error {
	if err == nil || len(clusters) == 1 {
		return err
	}
	return fmt.Errorf("context %s: %w", c.Context(), err)
}

// act applies or compares the objects in one cluster, depending on the options.
func (p *applyPlan) act(ctx context.Context, r *compile.Result, opts manifest.Options, o applyOptions) error {
	switch err := p.choose(ctx, r, opts); {
	case err != nil:
		return err
	case o.dryRun || o.diff:
		return p.compare(ctx, o.diff)
	}
	return p.apply(ctx)
}

// compiled loads a pipeline and compiles it for its target, which must be of kind kubernetes.
func (a *app) compiled(o sourceOptions) (*source, *compile.Result, error) {
	if a.onAWS(o) {
		return nil, nil, fail(exitUsage, "to apply them with the stack: rayorch deploy; to see the changes: rayorch diff",
			"the objects of a target of kind aws belong to its stack")
	}
	src, err := a.load(o)
	if err != nil {
		return nil, nil, err
	}
	r, err := src.compile("", "")
	if err != nil {
		return nil, nil, err
	}
	if r.Kind != kindKubernetes {
		return nil, nil, fail(exitUsage, "name a target of kind kubernetes with --target", "the target %s is of kind %s", r.Target, r.Kind)
	}
	return src, r, nil
}

// parseRunner parses --runner. It returns nil for the default.
func parseRunner(text string) (*manifest.Subject, error) {
	if text == "" {
		return nil, nil
	}
	kind, name, _ := strings.Cut(text, ":")
	kinds := map[string]string{"serviceaccount": "ServiceAccount", "user": "User", "group": "Group"}
	s := &manifest.Subject{Kind: kinds[strings.ToLower(kind)], Name: name}
	if s.Kind == "" || name == "" {
		return nil, fail(exitUsage, "", "--runner %s: expected serviceaccount:[NAMESPACE/]NAME, user:NAME or group:NAME", text)
	}
	if ns, name, ok := strings.Cut(name, "/"); ok && s.Kind == "ServiceAccount" {
		s.Namespace, s.Name = ns, name
	}
	return s, nil
}

// applyPlan is what apply or unapply does in one cluster: the objects to apply, and a line for each object that was considered.
type applyPlan struct {
	c       *kube.Client
	force   bool
	objects []manifest.Object
	lines   []applied
}

// choose selects the objects to apply. It leaves out a namespace and service accounts that rayorch did not create: to apply them would
// label them as ours, and unapply would remove them.
func (p *applyPlan) choose(ctx context.Context, r *compile.Result, o manifest.Options) error {
	_, err := p.c.Get(ctx, kube.Object{"apiVersion": "v1", "kind": "Namespace", "metadata": kube.Object{"name": r.Namespace}})
	o.Namespace = kube.NotFound(err)
	if err != nil && kube.Code(err) == 0 {
		return err // the API is unreachable. Any status is fine: not every user is allowed to read namespaces
	}
	for _, object := range manifest.Objects(r, o) {
		if kube.Kind(object) == "ServiceAccount" && !o.Namespace {
			there, err := p.c.Get(ctx, object)
			if err == nil && kube.Field(there, "metadata", "labels", manifest.ManagedByLabel) != manifest.Manager {
				p.add(object, "left as it is", "rayorch did not create it")
				continue
			}
		}
		p.objects = append(p.objects, object)
	}
	return nil
}

// add adds a line to the result.
func (p *applyPlan) add(o kube.Object, action, note string) {
	p.lines = append(p.lines, applied{
		Context: p.c.Context(), Kind: kube.Kind(o), Name: kube.Name(o), Namespace: kube.NamespaceOf(o), Action: action, Note: note,
	})
}

// apply applies the objects. After an error, the lines show the objects that were applied before.
func (p *applyPlan) apply(ctx context.Context) error {
	done, err := p.c.Apply(ctx, p.objects, kube.ApplyOptions{Force: p.force})
	for _, d := range done {
		p.add(d.Object, d.Action, "")
	}
	return err
}

// compare finds the changes with a server-side dry run; with text, the lines also have diffs.
func (p *applyPlan) compare(ctx context.Context, text bool) error {
	differences, err := p.c.Diff(ctx, p.objects, kube.ApplyOptions{Force: p.force})
	for _, d := range differences {
		note := "dry run"
		p.add(d.Object, d.Action, note)
		if text {
			p.lines[len(p.lines)-1].Diff = d.Text
		}
	}
	return err
}

// printApplied prints one line for each object, or its diff. With several contexts, it prints them as headings.
func printApplied(p *printer, lines []applied, several, diff bool) error {
	return p.result(lines, func() {
		for i, l := range lines {
			if several && (i == 0 || l.Context != lines[i-1].Context) {
				p.printf("context %s:\n", l.Context)
			}
			if diff && l.Diff != "" {
				p.printf("%s", l.Diff)
			} else {
				p.printf("%s\n", l)
			}
		}
	})
}

// String returns the line that apply and unapply print.
func (l applied) String() string {
	text := l.Kind + " " + l.Name
	if l.Namespace != "" {
		text = l.Kind + " " + l.Namespace + "/" + l.Name
	}
	text += " " + kube.ActionText(l.Action)
	if l.Note != "" {
		text += " (" + l.Note + ")"
	}
	return text
}
