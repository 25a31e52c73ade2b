// Package stack builds what a pipeline needs on AWS: a CloudFormation template and Kubernetes objects, from the parameters of
// the deployment and the compiled pipeline. It is pure: it uses no client, clock or environment variables, and the same
// input gives the same bytes. Package deploy deploys the result.
//
// A command calls Read for the parameters, NewNames for the names, Prepare to apply the parameters to the pipeline before it
// is compiled, Check for the quotas of Step Functions, and Build.
package stack

import (
	"bytes"
	"fmt"

	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// Input is the input of Build.
type Input struct {
	Params Params
	Names  Names
	// Pipeline is the pipeline's name, for descriptions.
	Pipeline string
	// Compiled is the pipeline, compiled for a target of kind aws with the options that Prepare returned.
	Compiled *compile.Result
}

// Stack is the result of Build.
type Stack struct {
	Name     string
	Template []byte
	Tags     map[string]string
	// Objects returns the Kubernetes objects in the order in which to apply them. podRoleARN is the output
	// EksServiceAccountRoleArn of the stack.
	Objects func(podRoleARN string) []*value.Object
	// Record describes the deployment for destroy and other commands. The template contains it.
	Record Record
}

// Build builds the stack. It fails if the template is too large or contains dynamic references that it cannot escape.
func Build(in Input) (*Stack, error) {
	b := &builder{in: in, p: in.Params, n: in.Names, resources: &value.Object{}, outputs: &value.Object{}}
	if err := b.definitions(); err != nil {
		return nil, err
	}
	template, err := b.template()
	if err != nil {
		return nil, err
	}
	if over := len(template) - stepfn.MaxInlineTemplate; over > 0 {
		b.shorten(over)
		if template, err = b.template(); err != nil {
			return nil, err
		}
	}
	return &Stack{Name: in.Names.Stack, Template: template, Tags: b.tagMap(), Objects: b.objects, Record: b.record()}, nil
}

// builder holds the state while a template is built.
type builder struct {
	in                 Input
	p                  Params
	n                  Names
	definition, clean  string           // definitions, escaped for Fn::Sub; clean is "" if the pipeline needs no cleanup
	subbed             [2]*value.Object // the same two as Fn::Sub functions, possibly shortened
	resources, outputs *value.Object
}

// definitions parses and escapes the definitions of the state machines.
func (b *builder) definitions() (err error) {
	if b.definition, err = b.substituted(b.in.Compiled.Definition); err != nil {
		return fmt.Errorf("the state machine: %w", err)
	}
	if len(b.in.Compiled.Cleanup) > 0 {
		if b.clean, err = b.substituted(b.in.Compiled.Cleanup); err != nil {
			return fmt.Errorf("the cleanup state machine: %w", err)
		}
	}
	b.subbed = [2]*value.Object{sub(b.definition), sub(b.clean)}
	return nil
}

// shorten shortens the definitions by the given number of bytes, if possible, so that the template needs no bucket.
func (b *builder) shorten(over int) {
	for i, text := range []string{b.definition, b.clean} {
		short, variables, saved := shorten(text, over+len(`[,{}]`))
		if variables.Len() > 0 {
			b.subbed[i] = value.Obj("Fn::Sub", list[any](short, variables))
			over -= saved - len(`[,{}]`)
		}
		if over <= 0 {
			return
		}
	}
}

// template builds the template from all resources. It can be called again after shorten.
func (b *builder) template() ([]byte, error) {
	b.key()
	b.machine()
	b.pods()
	b.access()
	b.cleanup()
	b.schedule()
	b.alarm()
	t := value.Obj(
		"AWSTemplateFormatVersion", "2010-09-09",
		"Description", clip("rayorch: the pipeline "+b.in.Pipeline+" on Step Functions and Amazon EKS", 1024),
		// A parameter, because both definitions contain the same 1,500 bytes or so.
		"Parameters", value.Obj(paramCA, value.Obj("Type", "String", "Default", b.p.CertificateAuthority)),
		"Resources", b.resources,
		"Outputs", b.outputs,
	)
	if err := checkLiteral(t, "the template"); err != nil {
		return nil, err
	}
	out := lines(t)
	if len(out) > stepfn.MaxTemplate {
		return nil, fmt.Errorf("the template has %d bytes; the maximum in CloudFormation is %d: make the pipeline smaller or split it",
			len(out), stepfn.MaxTemplate)
	}
	return out, nil
}

// paramCA is the only parameter of the template. It always has its default.
const paramCA = "CertificateAuthority"

// lines writes a template with one line for each resource and output: compact, because the size of templates is limited, but
// still suitable for line-based diffs.
func lines(t *value.Object) []byte {
	var out bytes.Buffer
	out.WriteByte('{')
	for i := range t.Len() {
		key, v := t.At(i)
		separate(&out, i, "\n")
		out.Write(value.AppendString(nil, key))
		out.WriteByte(':')
		section, ok := v.(*value.Object)
		if !ok {
			out.Write(value.Bytes(v))
			continue
		}
		out.WriteByte('{')
		for j := range section.Len() {
			id, item := section.At(j)
			separate(&out, j, "\n ")
			out.Write(value.AppendString(nil, id))
			out.WriteByte(':')
			out.Write(value.Bytes(item))
		}
		out.WriteByte('}')
	}
	out.WriteString("}\n")
	return out.Bytes()
}

func separate(out *bytes.Buffer, i int, space string) {
	if i > 0 {
		out.WriteByte(',')
	}
	out.WriteString(space)
}

// resource adds a resource. extra has pairs of names and values of further attributes, such as DeletionPolicy.
func (b *builder) resource(id, kind string, properties *value.Object, extra ...any) {
	r := value.Obj("Type", kind)
	for i := 0; i+1 < len(extra); i += 2 {
		r.Set(extra[i].(string), extra[i+1])
	}
	r.Set("Properties", properties)
	b.resources.Set(id, r)
}

// output adds an output of the stack. Some outputs become metadata of the Seed-Farmer module.
func (b *builder) output(name string, v any) {
	b.outputs.Set(name, value.Obj("Value", v))
}

// Intrinsic functions of CloudFormation.
func ref(id string) *value.Object   { return value.Obj("Ref", id) }
func arnOf(id string) *value.Object { return value.Obj("Fn::GetAtt", []any{id, "Arn"}) }
func sub(text string) *value.Object { return value.Obj("Fn::Sub", text) }

// list and anys return JSON arrays.
func list[T any](items ...T) []any { return anys(items) }

func anys[T any](items []T) []any {
	out := make([]any, len(items))
	for i, item := range items {
		out[i] = item
	}
	return out
}

// Hash returns a hash of the template, for the name of an uploaded template.
func (s *Stack) Hash() string { return hash(string(s.Template))[:16] }
