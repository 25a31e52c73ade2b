package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/pipeline/manifest"
)

// The kinds of targets that the commands distinguish; see also kindAWS.
const (
	kindLocal      = pipeline.TargetLocal
	kindKubernetes = pipeline.TargetKubernetes
)

// kubeOptions are flags that take precedence over the settings of a target of kind kubernetes.
type kubeOptions struct {
	context   string // of the kubeconfig
	namespace string
	submit    string // the submission mode: job, proxy or rayjob
}

func (o *kubeOptions) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.context, "context", "", "kubeconfig context for a target of kind kubernetes (default: the target's, else the current context)")
	c.Flags().StringVar(&o.namespace, "namespace", "", "namespace for a target of kind kubernetes (default: the target's, else the context's)")
	c.Flags().StringVar(&o.submit, "submit", "", "submission mode of Ray steps for a target of kind kubernetes: job, proxy or rayjob (default: the target's)")
}

// first returns the first of the flags that is set, or "".
func (o *kubeOptions) first() string {
	switch {
	case o.context != "":
		return "--context"
	case o.namespace != "":
		return "--namespace"
	case o.submit != "":
		return "--submit"
	}
	return ""
}

// cluster returns a client for a kubeconfig context, "" for the current one. It sends no request.
func (a *app) cluster(context, namespace string) (*kube.Client, error) {
	return kube.Open(kube.Config{Kubeconfig: a.kubeconfig, Context: context, Namespace: namespace, UserAgent: "rayorch/" + version})
}

// clusters returns clients for all clusters in which a target's steps run, the target's own cluster first. A context that does not exist is
// an error before anything is changed in another cluster.
func (a *app) clusters(r *compile.Result) ([]*kube.Client, error) {
	var all []*kube.Client
	for _, context := range contextsOf(r) {
		c, err := a.cluster(context, r.Namespace)
		if err != nil {
			return nil, err
		}
		same := func(other *kube.Client) bool { return other.Context() == c.Context() } // a step may name the current context
		if !slices.ContainsFunc(all, same) {
			all = append(all, c)
		}
	}
	return all, nil
}

// contextsOf returns the kubeconfig contexts in which a target's steps run, the target's own first ("" for the current context).
func contextsOf(r *compile.Result) []string { return append([]string{r.Cluster}, r.Contexts...) }

// inCluster sets the compiler's options for a target in a cluster that depend on flags and on the kubeconfig.
func (s *source) inCluster(o *compile.Options, t pipeline.Target) {
	o.Submit, o.Context = s.kube.submit, s.kube.context
	o.Namespace = cmp.Or(s.kube.namespace, t.Namespace)
	if o.Namespace == "" && t.Kind == kindKubernetes {
		// As in kubectl, the default is the namespace of the context. Without a kubeconfig there is none: the pipeline compiles anyway.
		if c, err := s.app.cluster(cmp.Or(s.kube.context, t.Context), ""); err == nil {
			o.Namespace = c.Namespace()
		}
	}
	o.Pack = s.app.files.PackDirectory
}

// manifestOptions returns the options for the objects of a target: the labels and annotations that it sets on pods.
func (s *source) manifestOptions(r *compile.Result) manifest.Options {
	o := manifest.Options{Pipeline: s.pipeline.Name, Labels: map[string]string{}, Annotations: map[string]string{}}
	t, _ := s.pipeline.Targets.Get(r.Target)
	if t.Pods == nil {
		return o
	}
	for _, e := range t.Pods.Labels.Entries {
		o.Labels[e.Key] = e.Value
	}
	for _, e := range t.Pods.Annotations.Entries {
		o.Annotations[e.Key] = e.Value
	}
	return o
}

// placeFiles creates the ConfigMaps with the files that the definition's pods mount, and uploads working directories. The names contain a
// hash of the content, so that nothing that exists is changed.
func (a *app) placeFiles(ctx context.Context, src *source, r *compile.Result, say func(string, ...any)) error {
	if r.Kind != kindKubernetes {
		return nil
	}
	if err := a.upload(ctx, r.Uploads, say); err != nil {
		return err
	}
	clusters, err := a.clusters(r)
	if err != nil {
		return err
	}
	for _, c := range clusters {
		if err := placeFilesIn(ctx, c, src, r, say); err != nil {
			return err
		}
	}
	return nil
}

// placeFilesIn creates the ConfigMaps in one cluster. If the caller lacks the permission, it prints a message and returns no error.
func placeFilesIn(ctx context.Context, c *kube.Client, src *source, r *compile.Result, say func(string, ...any)) error {
	done, err := c.Apply(ctx, manifest.Files(r, src.manifestOptions(r)), kube.ApplyOptions{})
	n := 0
	for _, d := range done {
		if d.Action == kube.Created {
			n++
		}
	}
	if n > 0 {
		say("created %d ConfigMaps in namespace %s", n, r.Namespace)
	}
	switch {
	case err == nil:
		return nil
	case kube.Code(err) == http.StatusForbidden:
		// The Role of a pipeline's runner does not allow it: apply, which created the Role, has created the ConfigMaps as well.
		say("you are not allowed to create ConfigMaps in namespace %s: the run uses those that %s created", r.Namespace, src.command("apply"))
		return nil
	}
	return &failure{code: exitError, err: fmt.Errorf("create the ConfigMaps with the pipeline's files: %w", err), hint: src.applyHint(err)}
}

// applyHint returns what to do if the ConfigMaps cannot be created.
func (s *source) applyHint(err error) string {
	if kube.NotFound(err) {
		return "to create the namespace and the pipeline's objects: " + s.command("apply")
	}
	return "to check the prerequisites: " + s.command("doctor")
}

// command returns a command line for this pipeline and target that can be pasted into a shell.
func (s *source) command(name string) string {
	text := "rayorch " + name + " " + shellWord(cmp.Or(s.path, "."))
	for _, f := range [][2]string{{"target", s.target}, {"context", s.kube.context}, {"namespace", s.kube.namespace}, {"submit", s.kube.submit}} {
		if f[1] != "" {
			text += " --" + f[0] + " " + shellWord(f[1])
		}
	}
	return text
}

// shellWord quotes text unless a shell reads it as one plain word.
func shellWord(text string) string {
	for _, c := range text {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' || c == '/' || c == ':' || c == '@') {
			return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
		}
	}
	return text
}
