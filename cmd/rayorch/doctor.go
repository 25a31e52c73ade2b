package main

import (
	"cmp"
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/doctor"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/pipeline/manifest"
)

func doctorCommand(a *app) *cobra.Command {
	var o rayOptions
	var source sourceOptions
	var cloud awsOptions
	c := &cobra.Command{
		Use:   "doctor [PIPELINE]",
		Short: "check the prerequisites for running pipelines",
		Long: "doctor checks this machine: Python, Ray, the state directory, disk space and shared memory and, if PIPELINE is given, the " +
			"secrets of its steps. For a target of kind kubernetes, it checks the clusters instead: context, permissions, Ray head, " +
			"versions, PersistentVolumeClaim, secrets and quotas. For a target of kind aws, or with --aws, it checks what rayorch deploy " +
			"created.\n\n" +
			"doctor changes nothing. For each missing prerequisite, it shows how to fix it. The exit code is 1 if a required one is missing.",
		Example: "  rayorch doctor\n  rayorch doctor examples/shakespeare --target kubernetes",
		Args:    atMostOneArg,
		RunE: func(c *cobra.Command, args []string) error {
			source.path = first(args)
			if a.onAWS(source) {
				cloud.path = source.path
				return a.doctorAWS(c.Context(), cloud)
			}
			if source.path == "" && source.target == "" {
				return showChecks(a.out, doctor.Run(c.Context(), a.localChecks(o).Checks()))
			}
			return a.doctorTarget(c.Context(), source, o)
		},
	}
	o.flags(c)
	source.flags(c)
	c.Flags().StringVar(&cloud.stackName, "stack-name", "", deployedStack)
	markAWS(c, "stack-name")
	return c
}

// localChecks returns the checks of this machine, with the state directory and the Ray that a run would use.
func (a *app) localChecks(o rayOptions) doctor.Local {
	return doctor.Local{
		StateDir: a.stateDirectory,
		Resolver: func() (ray.Resolver, error) { return a.resolver(o, false, func(string) {}) },
		Hint:     hintFor,
	}
}

// doctorTarget checks the prerequisites of a pipeline's target.
func (a *app) doctorTarget(ctx context.Context, source sourceOptions, o rayOptions) error {
	src, err := a.load(source)
	if err != nil {
		return err
	}
	r, err := src.compile("", "")
	if err != nil {
		return err
	}
	local := a.localChecks(o)
	if r.Kind != kindKubernetes {
		return showChecks(a.out, doctor.Run(ctx, append(local.Checks(), doctor.Secrets(src.pipeline)...)))
	}
	results := doctor.Run(ctx, []doctor.Check{local.State()})
	for i, name := range contextsOf(r) {
		if i > 0 && name == results[1].Context {
			continue // a step names the current context, which was checked first
		}
		results = append(results, src.clusterChecks(r, name, i == 0).Examine(ctx)...)
	}
	return showChecks(a.out, results)
}

// clusterChecks returns the checks in one context. own reports whether it is the target's own context, in which steps run that name none.
func (s *source) clusterChecks(r *compile.Result, context string, own bool) *doctor.Cluster {
	target, _ := s.pipeline.Targets.Get(r.Target)
	return &doctor.Cluster{
		Context: context, Open: func() (*kube.Client, error) { return s.app.cluster(context, r.Namespace) },
		Pipeline: s.pipeline, Target: target, Compiled: r, Files: manifest.Files(r, s.manifestOptions(r)),
		UsesRay: func(context string) bool { return s.usesRayIn(context, own) },
		Apply: func(runner string) string {
			if runner == "" {
				return s.command("apply")
			}
			return s.command("apply") + " --runner " + shellWord(runner)
		},
	}
}

// doctorAWS checks a deployment and, if a pipeline file is named, its secrets in the deployment's cluster.
func (a *app) doctorAWS(ctx context.Context, o awsOptions) error {
	d, found, err := a.deployment(ctx, o)
	if err != nil {
		return err
	}
	checks := &doctor.Deployment{Found: found, Connect: func(ctx context.Context) (*kube.Client, error) { return d.Cluster(ctx, found) }}
	results := doctor.Run(ctx, checks.Checks())
	if o.path != "" && checks.Reached() {
		src, err := a.load(sourceOptions{path: o.path})
		if err != nil {
			return err
		}
		results = append(results, doctor.Run(ctx, checks.Secrets(src.pipeline))...)
	}
	return showChecks(a.out, results)
}

// showChecks prints the results; the command fails if a prerequisite is missing.
func showChecks(p *printer, results []doctor.Result) error {
	if err := p.result(results, func() { printChecks(p, results) }); err != nil {
		return err
	}
	if slices.ContainsFunc(results, func(r doctor.Result) bool { return r.Needed && !r.OK }) {
		return silent(exitError)
	}
	return nil
}

// printChecks prints one line for each check, and its advice in a second line. It names the contexts only if there are several.
func printChecks(p *printer, results []doctor.Result) {
	first := slices.IndexFunc(results, func(r doctor.Result) bool { return r.Context != "" })
	several := first >= 0 && slices.ContainsFunc(results, func(r doctor.Result) bool { return r.Context != "" && r.Context != results[first].Context })
	for i, r := range results {
		if several && r.Context != "" && (i == 0 || r.Context != results[i-1].Context) {
			p.printf("context %s:\n", r.Context)
		}
		mark := "ok  "
		switch {
		case !r.OK && r.Needed:
			mark = "FAIL"
		case !r.OK:
			mark = "note"
		}
		p.printf("%s  %-16s %s\n", mark, cmp.Or(r.Label, r.Name), r.Found)
		if r.Advice != "" {
			p.printf("%24s%s\n", "", r.Advice)
		}
	}
}
