package main

// This file turns flags, parameter file, environment and pipeline into a stack. It is shared by the commands that deploy a stack and by
// compile and validate, which build the stack without any request to AWS.

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

// awsOptions are the flags of commands that build a stack. Each parameter of package stack has a flag.
type awsOptions struct {
	path       string // of the pipeline; "" for the parameter, else the published workload
	paramsFile string
	stackName  string
	command    *cobra.Command // has the flags of the parameters
}

// flags adds a flag for each parameter, except those that the command has already: --target, for example, is not only for AWS.
func (o *awsOptions) flags(c *cobra.Command) {
	o.command = c
	c.Flags().StringVar(&o.paramsFile, "params-file", "", "YAML or JSON file with parameters")
	o.stackFlag(c, "name of the stack")
	markAWS(c, "params-file")
	for _, p := range stack.All() {
		if c.Flags().Lookup(p.Flag()) == nil && p.Name != "pipeline" {
			c.Flags().Var(&paramFlag{param: p}, p.Flag(), paramUsage(p))
			markAWS(c, p.Flag())
		}
	}
}

// stackFlag adds --stack-name.
func (o *awsOptions) stackFlag(c *cobra.Command, usage string) {
	c.Flags().StringVar(&o.stackName, "stack-name", "", usage+" (default: as Seed-Farmer names it, else rayorch-PIPELINE)")
	markAWS(c, "stack-name")
}

// paramFlag is the value of a parameter's flag. It accepts any text: package stack checks the parameters of all sources together.
type paramFlag struct {
	param stack.Param
	text  string
}

func (f *paramFlag) String() string { return f.text }

func (f *paramFlag) Set(text string) error {
	f.text = text
	return nil
}

// Type is shown in the help as the placeholder of the value.
func (f *paramFlag) Type() string {
	if f.param.Kind == "" {
		return "string"
	}
	if f.param.Kind == stack.Integer {
		return "int"
	}
	return "json"
}

// paramUsage makes the usage of a flag from a parameter's documentation: the sentence without its article, then the valid values and
// the default. Back quotes are for Markdown.
func paramUsage(p stack.Param) string {
	doc := strings.ReplaceAll(strings.TrimSuffix(p.Doc, "."), "`", "")
	doc, ending, _ := strings.Cut(doc, " (default: ")
	doc = lowerFirst(strings.TrimPrefix(doc, "The "))
	if ending == "" {
		return doc + " (" + p.Want + ")"
	}
	return doc + " (" + p.Want + "; default: " + ending
}

// awsStack is a stack, and what it was built from.
type awsStack struct {
	*stack.Stack
	params   stack.Params
	pipeline string
	compiled *compile.Result
}

// lookup finds values for parameters that no source sets; given returns the value that the sources set, or "". A nil lookup finds nothing.
type lookup func(ctx context.Context, given func(name string) string) (map[string]any, error)

// awsStack reads the parameters from all sources, compiles the pipeline for them and builds the stack.
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
	target, err := stack.TargetName(src.pipeline, firstText(sources, "target"))
	if err != nil {
		return nil, fail(exitUsage, "", "%w", err)
	}
	sources = append(sources, stack.TargetSource(src.pipeline, target))
	if find != nil {
		found, err := find(ctx, func(name string) string { return firstText(sources, name) })
		if err != nil {
			return nil, err
		}
		sources = append(sources, stack.Source{Name: func(stack.Param) string { return "from EKS" }, Values: found})
	}
	params, err := stack.Read(sources...)
	if err != nil {
		return nil, err
	}
	return a.makeStack(o, src, target, params)
}

// makeStack compiles the pipeline for its target and builds the stack.
func (a *app) makeStack(o awsOptions, src *source, target string, params stack.Params) (*awsStack, error) {
	names := stack.NewNames(identity(o, src.pipeline.Name), params.Machine)
	p, options := stack.Prepare(src.pipeline, target, params, names)
	options.BaseDir, options.Pack, options.Files = filepath.Dir(src.file), a.files.PackDirectory, a.files
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

// identity returns what the names of the stack and its resources are made from: the names that Seed-Farmer sets if it runs the
// deployment, the pipeline, and --stack-name.
func identity(o awsOptions, pipeline string) stack.Identity {
	return stack.Identity{Project: os.Getenv("SEEDFARMER_PROJECT_NAME"), Deployment: os.Getenv("SEEDFARMER_DEPLOYMENT_NAME"),
		Module: os.Getenv("SEEDFARMER_MODULE_NAME"), Pipeline: pipeline, Stack: o.stackName}
}

// sources returns the flags, the file and the environment: an earlier source takes precedence.
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

// file reads the parameter file. Unknown keys in it are errors (Strict), unlike unknown environment variables.
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

// firstText returns the text of a parameter in the first source that has one. It is for the few parameters, such as the pipeline, that
// are needed before all of them are read and checked.
func firstText(sources []stack.Source, name string) string {
	for _, s := range sources {
		if v, ok := s.Values[name].(string); ok && v != "" {
			return v
		}
	}
	return ""
}

// awsSource loads the pipeline to deploy: the one that the parameter names, or else the published workload that is embedded in rayorch,
// in a temporary directory. done removes that directory.
func (a *app) awsSource(sources []stack.Source) (src *source, done func(), err error) {
	if path := firstText(sources, "pipeline"); path != "" {
		src, err := a.load(sourceOptions{path: path})
		return src, func() {}, err
	}
	dir, err := os.MkdirTemp("", "rayorch-published")
	if err != nil {
		return nil, nil, err
	}
	done = func() { _ = os.RemoveAll(dir) }
	file := stack.Params{Claim: firstText(sources, "pvc_name")}.Published()
	err = copyFiles(dir, examples.Published())
	if err == nil {
		if src, err = a.load(sourceOptions{path: filepath.Join(dir, file)}); err == nil {
			return src, done, nil
		}
	}
	done()
	return nil, nil, err
}

// copyFiles copies the embedded workload, its pipeline files and programs, to a directory.
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

// awsFiles returns the files that compile --out writes for a target of kind aws. The role of the service account does not exist yet: its
// ARN is the one that it will have in the account of the OIDC provider.
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

// objects returns the stack's Kubernetes objects in the form that package manifest writes.
func (s *awsStack) objects(role string) []manifest.Object {
	var out []manifest.Object
	for _, o := range s.Objects(role) {
		plain, _ := value.ToGo(o).(map[string]any)
		out = append(out, plain)
	}
	return out
}

// regionOf returns the region of an EKS cluster, which is part of the name of its OIDC provider.
func regionOf(p stack.Params) string {
	_, host, _ := strings.Cut(p.OIDCARN, "oidc.eks.")
	region, _, _ := strings.Cut(host, ".")
	return region
}

// forAWS reports whether the target is of kind aws. --target aws works without such a target in the pipeline file; without a pipeline
// file, it selects the workload that is embedded in rayorch.
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

// offlineStack builds the stack from the given parameters only: it sends no request to AWS.
func (a *app) offlineStack(ctx context.Context, o sourceOptions, cloud awsOptions) (*awsStack, error) {
	cloud.path = o.path
	if _, err := os.Stat(pipelineFile); o.path == "" && err == nil {
		cloud.path = pipelineFile
	}
	return a.awsStack(ctx, cloud, nil)
}

// compileAWS prints the CloudFormation template, or the Kubernetes objects, or writes all files to the directory out.
func (a *app) compileAWS(ctx context.Context, o sourceOptions, cloud awsOptions, out string, objects bool) error {
	s, err := a.offlineStack(ctx, o, cloud)
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
	a.out.write(text)
	return nil
}

// validateAWS checks parameters and pipeline, and compares the definition with the quotas of Step Functions and CloudFormation.
func (a *app) validateAWS(ctx context.Context, o sourceOptions, cloud awsOptions) error {
	s, err := a.offlineStack(ctx, o, cloud)
	if err != nil {
		return err
	}
	notes := s.compiled.Notes
	if n := len(s.Template); n > stepfn.MaxInlineTemplate {
		notes = append(notes, fmt.Sprintf("the template has %d bytes, more than the %d that fit into a request: rayorch deploy needs --template-bucket", n, stepfn.MaxInlineTemplate))
	}
	for _, note := range notes {
		a.out.note(note)
	}
	b := s.compiled.Bounds
	result := map[string]any{"valid": true, "pipeline": s.pipeline, "notes": notes, "templateBytes": len(s.Template),
		"events": b.Events, "payload": b.Payload, "seconds": b.Seconds}
	return a.out.result(result, func() {
		a.out.printf("%s is valid for AWS: at most %d of %d events, payloads of at most %d of %d bytes, a template of %d bytes\n",
			s.pipeline, b.Events, stepfn.MaxEvents, b.Payload, stepfn.MaxPayload, len(s.Template))
	})
}
