package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/examples"
	"github.com/rayorch/rayorch/internal/aws/stack"
	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/pipeline/manifest"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

const kindAWS = pipeline.TargetAWS

// awsOptions say what to deploy: every parameter is a flag, too.
type awsOptions struct {
	path       string
	paramsFile string
	stackName  string
	command    *cobra.Command
}

// flags adds the parameters that the command has no flag for yet: some are known to other targets by the same name.
func (o *awsOptions) flags(c *cobra.Command) {
	o.command = c
	c.Flags().StringVar(&o.paramsFile, "params-file", "", "YAML or JSON file with parameters (aws)")
	c.Flags().StringVar(&o.stackName, "stack-name", "", "the stack's name (aws; default Seed-Farmer's names, else rayorch- and the pipeline's)")
	for _, p := range stack.All() {
		if c.Flags().Lookup(p.Flag()) == nil && p.Name != "pipeline" {
			doc := strings.ReplaceAll(strings.TrimSuffix(p.Doc, "."), "`", "") // which would be taken for the value's name
			c.Flags().String(p.Flag(), "", doc+"; "+p.Want+" (aws)")
		}
	}
}

// awsStack is a stack with what it was made of.
type awsStack struct {
	*stack.Stack
	params   stack.Params
	pipeline string
	compiled *compile.Result
}

// lookup finds parameters that nobody gave; nil looks for none.
type lookup func(ctx context.Context, given func(name string) string) (map[string]any, error)

// awsStack reads the parameters, compiles the pipeline for them and makes the stack.
func (a *app) awsStack(ctx context.Context, o awsOptions, find lookup) (*awsStack, error) {
	sources, err := o.sources()
	if err != nil {
		return nil, err
	}
	src, done, err := a.awsSource(sources)
	if err != nil {
		return nil, err
	}
	defer done()
	target, err := stack.TargetName(src.pipeline, first1(sources, "target"))
	if err != nil {
		return nil, fail(exitUsage, "", "%w", err)
	}
	sources = append(sources, stack.TargetSource(src.pipeline, target))
	if find != nil {
		found, err := find(ctx, func(name string) string { return first1(sources, name) })
		if err != nil {
			return nil, err
		}
		sources = append(sources, stack.Source{Name: func(stack.Param) string { return "what EKS answers" }, Values: found})
	}
	params, err := stack.Read(sources...)
	if err != nil {
		return nil, err
	}
	return a.makeStack(o, src, target, params)
}

// makeStack compiles and builds.
func (a *app) makeStack(o awsOptions, src *source, target string, params stack.Params) (*awsStack, error) {
	names := stack.NewNames(identity(o, src.pipeline.Name), params.Machine)
	p, options := stack.Prepare(src.pipeline, target, params, names)
	options.BaseDir, options.Pack, options.Files = filepath.Dir(src.file), a.packDirectory, localFiles{a}
	compiled, err := compile.Compile(p, options)
	if err != nil {
		return nil, err
	}
	if problems := stack.Check(compiled); len(problems) > 0 {
		return nil, errors.New(strings.Join(problems, "\n"))
	}
	s, err := stack.Build(stack.Input{Params: params, Names: names, Pipeline: p.Name, Compiled: compiled})
	if err != nil {
		return nil, err
	}
	return &awsStack{Stack: s, params: params, pipeline: p.Name, compiled: compiled}, nil
}

// identity is what Seed-Farmer calls the deployment, where it deploys.
func identity(o awsOptions, pipeline string) stack.Identity {
	return stack.Identity{Project: os.Getenv("SEEDFARMER_PROJECT_NAME"), Deployment: os.Getenv("SEEDFARMER_DEPLOYMENT_NAME"),
		Module: os.Getenv("SEEDFARMER_MODULE_NAME"), Pipeline: pipeline, Stack: o.stackName}
}

// sources are flags, file and environment, in this order.
func (o awsOptions) sources() ([]stack.Source, error) {
	flags := stack.Source{Name: func(p stack.Param) string { return "--" + p.Flag() }, Values: map[string]any{}}
	env := stack.Source{Name: stack.Param.Env, Values: map[string]any{}}
	for _, p := range stack.All() {
		if f := o.command.Flags().Lookup(p.Flag()); f != nil && f.Changed {
			flags.Values[p.Name] = f.Value.String()
		}
		if v := os.Getenv(p.Env()); v != "" {
			env.Values[p.Name] = v
		}
	}
	if o.path != "" {
		flags.Values["pipeline"] = o.path
	}
	file, err := o.file()
	return []stack.Source{flags, file, env}, err
}

// file is the parameter file, whose unknown keys are mistakes.
func (o awsOptions) file() (stack.Source, error) {
	s := stack.Source{Name: func(p stack.Param) string { return p.Name + " in " + o.paramsFile }, Values: map[string]any{}, Strict: true}
	if o.paramsFile == "" {
		return s, nil
	}
	given, err := readValues(o.paramsFile)
	if err != nil {
		return s, err
	}
	d := json.NewDecoder(bytes.NewReader(value.Bytes(given)))
	d.UseNumber()
	return s, d.Decode(&s.Values)
}

// first1 is the text that the first source has for a parameter, before all are read and checked.
func first1(sources []stack.Source, name string) string {
	for _, s := range sources {
		if v, ok := s.Values[name].(string); ok && v != "" {
			return v
		}
	}
	return ""
}

// awsSource is the pipeline to deploy: the parameter's, else the workload that rayorch carries in itself, written to a
// directory for as long as it is compiled.
func (a *app) awsSource(sources []stack.Source) (*source, func(), error) {
	if path := first1(sources, "pipeline"); path != "" {
		src, err := a.load(sourceOptions{path: path})
		return src, func() {}, err
	}
	dir, err := os.MkdirTemp("", "rayorch-published")
	if err != nil {
		return nil, nil, err
	}
	done := func() { _ = os.RemoveAll(dir) }
	file := stack.Params{Claim: first1(sources, "pvc_name")}.Published()
	err = copyFiles(dir, examples.Published())
	if err == nil {
		var src *source
		if src, err = a.load(sourceOptions{path: filepath.Join(dir, file)}); err == nil {
			return src, done, nil
		}
	}
	done()
	return nil, nil, err
}

// copyFiles writes the programs beside the workload's pipelines, and these.
func copyFiles(dir string, from fs.FS) error {
	return fs.WalkDir(from, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := fs.ReadFile(from, path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, path), data, 0o600)
	})
}

// awsFiles are what compile --out writes for a target of kind aws. The service account's role is in no account yet: its
// ARN stands there as the stack will make it in the one of the OIDC provider.
func (s *awsStack) awsFiles() (map[string][]byte, error) {
	parts := strings.Split(s.params.OIDCARN, ":")
	role := "arn:" + parts[1] + ":iam::" + parts[4] + ":role/" + s.Record.PodRole + "-" + regionOf(s.params)
	objects, err := manifest.YAML(s.objects(role))
	if err != nil {
		return nil, err
	}
	return map[string][]byte{"template.json": s.Template, "definition.json": indented(s.compiled.Definition),
		"cleanup.json": indented(s.compiled.Cleanup), "objects.yaml": objects}, nil
}

// objects are the stack's objects for Kubernetes as package manifest writes them.
func (s *awsStack) objects(role string) []manifest.Object {
	var out []manifest.Object
	for _, o := range s.Objects(role) {
		plain, _ := value.ToGo(o).(map[string]any)
		out = append(out, plain)
	}
	return out
}

// regionOf is the region that an EKS cluster's OIDC provider is named after.
func regionOf(p stack.Params) string {
	_, host, _ := strings.Cut(p.OIDCARN, "oidc.eks.")
	region, _, _ := strings.Cut(host, ".")
	return region
}

// forAWS says whether compile and validate mean a target of kind aws. One named aws need not stand in the file, and
// without a pipeline here it means the workload that rayorch carries.
func (a *app) forAWS(o sourceOptions) bool {
	src, err := a.load(o)
	if err != nil {
		return o.target == string(kindAWS) && o.path == ""
	}
	if t, ok := src.pipeline.Targets.Get(o.target); ok {
		return t.Kind == kindAWS
	}
	return o.target == string(kindAWS)
}

// offline makes the stack by what is given alone: nobody is asked.
func (a *app) offline(ctx context.Context, o sourceOptions, cloud awsOptions) (*awsStack, error) {
	cloud.path = o.path
	if _, err := os.Stat(pipelineFile); o.path == "" && err == nil {
		cloud.path = pipelineFile
	}
	return a.awsStack(ctx, cloud, nil)
}

func (a *app) compileAWS(ctx context.Context, o sourceOptions, cloud awsOptions, out string, objects bool) error {
	s, err := a.offline(ctx, o, cloud)
	if err != nil {
		return err
	}
	files, err := s.awsFiles()
	if err != nil {
		return err
	}
	if out != "" {
		return writeFiles(out, files)
	}
	text := files["template.json"]
	if objects {
		text = files["objects.yaml"]
	}
	_, err = a.out.Write(text)
	return err
}

func (a *app) validateAWS(ctx context.Context, o sourceOptions, cloud awsOptions) error {
	s, err := a.offline(ctx, o, cloud)
	if err != nil {
		return err
	}
	notes := s.compiled.Notes
	if n := len(s.Template); n > stepfn.MaxInlineTemplate {
		notes = append(notes, fmt.Sprintf("the template has %d bytes, more than %d: deploy needs --template-bucket", n, stepfn.MaxInlineTemplate))
	}
	for _, note := range notes {
		fmt.Fprintf(a.err, "rayorch: note: %s\n", note)
	}
	b := s.compiled.Bounds
	if a.json() {
		return a.print(map[string]any{"valid": true, "pipeline": s.pipeline, "notes": notes, "templateBytes": len(s.Template),
			"events": b.Events, "payload": b.Payload, "seconds": b.Seconds})
	}
	_, err = fmt.Fprintf(a.out, "%s is valid for AWS: at most %d of %d events, payloads of at most %d of %d bytes, a template of %d bytes\n",
		s.pipeline, b.Events, stepfn.MaxEvents, b.Payload, stepfn.MaxPayload, len(s.Template))
	return err
}
