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

// Kinds of targets.
const (
	kindLocal      = pipeline.TargetLocal
	kindKubernetes = pipeline.TargetKubernetes
)

// kubeOptions go before what a target of kind kubernetes says.
type kubeOptions struct {
	context   string
	namespace string
	submit    string
}

func (o *kubeOptions) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.context, "context", "", "kubeconfig context of a target of kind kubernetes (default: the target's, else the current one)")
	c.Flags().StringVar(&o.namespace, "namespace", "", "namespace there (default: the target's, else the context's)")
	c.Flags().StringVar(&o.submit, "submit", "", "how Ray steps are submitted there: job, proxy or rayjob (default: the target's)")
}

// cluster opens the cluster of a kubeconfig context, "" for the current one.
func (a *app) cluster(context, namespace string) (*kube.Client, error) {
	return kube.Open(kube.Config{Kubeconfig: a.kubeconfig, Context: context, Namespace: namespace, UserAgent: "rayorch/" + version})
}

// clusters opens all that a target's steps run in, the target's own first. None is touched before all are known.
func (a *app) clusters(r *compile.Result) ([]*kube.Client, error) {
	var all []*kube.Client
	for _, context := range contextsOf(r) {
		c, err := a.cluster(context, r.Namespace)
		if err != nil {
			return nil, err
		}
		same := func(other *kube.Client) bool { return other.Context() == c.Context() } // a step may name the current one
		if !slices.ContainsFunc(all, same) {
			all = append(all, c)
		}
	}
	return all, nil
}

// contextsOf are the kubeconfig's contexts that a target's steps run in, the target's own first.
func contextsOf(r *compile.Result) []string { return append([]string{r.Cluster}, r.Contexts...) }

// inCluster adds to the compiler's options what only the command knows of a target in a cluster.
func (s *source) inCluster(o *compile.Options, t pipeline.Target) {
	o.Submit, o.Context = s.kube.submit, s.kube.context
	o.Namespace = cmp.Or(s.kube.namespace, t.Namespace)
	if o.Namespace == "" && t.Kind == kindKubernetes {
		// As for kubectl, the context's own namespace. Compiling works without a kubeconfig, too.
		if c, err := s.app.cluster(cmp.Or(s.kube.context, t.Context), ""); err == nil {
			o.Namespace = c.Namespace()
		}
	}
	o.Pack = s.app.packDirectory
}

// manifestOptions are those of the source's target.
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

// placeFiles puts the files into the cluster that the definition's pods mount. Their names carry a hash, so that this
// changes nothing that is there: it is for the user what uploading a working directory is elsewhere.
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

func placeFilesIn(ctx context.Context, c *kube.Client, src *source, r *compile.Result, say func(string, ...any)) error {
	done, err := c.Apply(ctx, manifest.Files(r, src.manifestOptions(r)), kube.ApplyOptions{})
	n := 0
	for _, d := range done {
		if d.Action == kube.Created {
			n++
		}
	}
	if n > 0 {
		say("put %d files into namespace %s", n, r.Namespace)
	}
	switch {
	case err == nil:
		return nil
	case kube.Code(err) == http.StatusForbidden:
		// The role that a pipeline's runner gets does not hold it: whoever applies the role puts the files, too.
		say("you may not put files into namespace %s: this relies on those that %s has put there", r.Namespace, src.command("apply"))
		return nil
	}
	return &failure{code: exitError, err: fmt.Errorf("put the pipeline's files into the cluster: %w", err), hint: src.applyHint(err)}
}

// applyHint is the next command after an error.
func (s *source) applyHint(err error) string {
	if kube.NotFound(err) {
		return "make the namespace and what the pipeline needs in it: " + s.command("apply")
	}
	return s.command("doctor") + " shows what is missing"
}

// command is a command line for this pipeline and target that can be pasted.
func (s *source) command(name string) string {
	text := "rayorch " + name + " " + shellWord(cmp.Or(s.path, "."))
	for _, f := range [][2]string{{"target", s.target}, {"context", s.kube.context}, {"namespace", s.kube.namespace}, {"submit", s.kube.submit}} {
		if f[1] != "" {
			text += " --" + f[0] + " " + shellWord(f[1])
		}
	}
	return text
}

// shellWord quotes where a shell would read more than a word.
func shellWord(text string) string {
	for _, c := range text {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' || c == '/' || c == ':' || c == '@') {
			return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
		}
	}
	return text
}
