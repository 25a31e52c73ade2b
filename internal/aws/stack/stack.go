// Package stack makes what a pipeline needs on AWS: from parameters and a compiled definition, a CloudFormation template
// and the Kubernetes objects beside it. It is pure: no client, no clock, no environment, and the same input gives the
// same bytes. It is not what deploys them (package deploy), and it knows nothing of pipelines but their names (cmd sets
// a pipeline up with Workload before it is compiled).
package stack

import (
	"bytes"
	"fmt"

	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// Input is what a stack is made of.
type Input struct {
	Params Params
	Names  Names
	// Pipeline is the pipeline's name, for descriptions.
	Pipeline string
	// Compiled is the pipeline compiled for a target of kind aws.
	Compiled *compile.Result
}

// Stack is what was made.
type Stack struct {
	Name     string
	Template []byte
	Tags     map[string]string
	// Objects are those for Kubernetes, in the order in which they are applied. The service account's role is named by
	// RoleARN in the stack's outputs: Objects wants it.
	Objects func(podRoleARN string) []*value.Object
	// Record is what destroy needs to know of the deploy, kept in the template itself.
	Record Record
}

// Build makes the stack. An error is one of the size of what was asked for.
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

// builder holds what is known while one template is made.
type builder struct {
	in                 Input
	p                  Params
	n                  Names
	definition, clean  string           // as Fn::Sub wants them; clean is empty where nothing can be left
	subbed             [2]*value.Object // the same as Fn::Sub
	resources, outputs *value.Object
}

// definitions checks and escapes the state machines' texts.
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

// shorten makes the definitions so many bytes shorter, if that can be: the template then needs no bucket.
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

// template is the whole template.
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
		// Some 1,500 bytes that both machines hold: written once.
		"Parameters", value.Obj(paramCA, value.Obj("Type", "String", "Default", b.p.CertificateAuthority)),
		"Resources", b.resources,
		"Outputs", b.outputs,
	)
	if err := checkLiteral(t, "the template"); err != nil {
		return nil, err
	}
	out := lines(t)
	if len(out) > stepfn.MaxTemplate {
		return nil, fmt.Errorf("the template has %d bytes, CloudFormation takes %d: make the pipeline smaller or split it", len(out), stepfn.MaxTemplate)
	}
	return out, nil
}

// paramCA is the template's only parameter; nobody gives it.
const paramCA = "CertificateAuthority"

// lines writes a template with a line for each resource and output: CloudFormation counts every byte, and people compare
// templates by lines.
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

// resource adds one resource; extra holds attributes beside its properties.
func (b *builder) resource(id, kind string, properties *value.Object, extra ...any) {
	r := value.Obj("Type", kind)
	for i := 0; i+1 < len(extra); i += 2 {
		r.Set(extra[i].(string), extra[i+1])
	}
	r.Set("Properties", properties)
	b.resources.Set(id, r)
}

// output adds one output of the stack; destroy and Seed-Farmer's metadata read them.
func (b *builder) output(name string, v any) {
	b.outputs.Set(name, value.Obj("Value", v))
}

// Intrinsic functions of CloudFormation.
func ref(id string) *value.Object   { return value.Obj("Ref", id) }
func arnOf(id string) *value.Object { return value.Obj("Fn::GetAtt", []any{id, "Arn"}) }
func sub(text string) *value.Object { return value.Obj("Fn::Sub", text) }

// list and anys make JSON arrays.
func list[T any](items ...T) []any { return anys(items) }

func anys[T any](items []T) []any {
	out := make([]any, len(items))
	for i, item := range items {
		out[i] = item
	}
	return out
}

// Hash names the template by its content.
func (s *Stack) Hash() string { return hash(string(s.Template))[:16] }
