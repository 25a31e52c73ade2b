package aws_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/rayorch/rayorch/e2e/awstest"
	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/internal/aws/deploy"
	"github.com/rayorch/rayorch/internal/aws/stack"
	"github.com/rayorch/rayorch/internal/backend/kube"
)

// resource is one of a template of the published module's.
type resource struct {
	Type           string
	Properties     map[string]any
	DeletionPolicy string `json:",omitempty"`
	DependsOn      any    `json:",omitempty"`
}

// publishedTemplate is what of such a template an emulator takes: its parameter and rule ask for the CDK's bootstrap.
type publishedTemplate struct {
	Resources  map[string]*resource
	Outputs    map[string]any
	Conditions map[string]any `json:",omitempty"`
}

// publishedTemplates are the templates of the published module's two stacks, the second first, for a stack and module of
// the test's. RAYORCH_PUBLISHED_TEMPLATES names what its own cdk synth wrote (-o); without it they are ours, of the same
// shape.
func publishedTemplates(t *testing.T, name, module, suffix string) [2]*publishedTemplate {
	t.Helper()
	dir := os.Getenv("RAYORCH_PUBLISHED_TEMPLATES")
	if dir == "" {
		t.Log("RAYORCH_PUBLISHED_TEMPLATES is not set: by templates of ours, of the same shape")
		dir = "testdata/published"
	}
	found, err := filepath.Glob(filepath.Join(dir, "*-rbac.template.json"))
	if err != nil || len(found) != 1 {
		t.Fatalf("templates in %s: %v, %v", dir, found, err)
	}
	theirs := strings.TrimSuffix(filepath.Base(found[0]), "-rbac.template.json")
	var out [2]*publishedTemplate
	for i, end := range []string{"-rbac", ""} {
		data, err := os.ReadFile(filepath.Join(dir, theirs+end+".template.json"))
		if err != nil {
			t.Fatal(err)
		}
		// Names are the test's own, for others use the cluster and the emulator, too.
		text := strings.NewReplacer(theirs, name, "ray-ray-orchestrator", module, "aws.cdk.eks/prune-", "aws.cdk.eks/prune-"+suffix).Replace(string(data))
		if err := json.Unmarshal([]byte(text), &out[i]); err != nil {
			t.Fatal(err)
		}
		out[i].emulate()
	}
	return out
}

// emulate replaces what LocalStack cannot make without Docker: functions, their layers, the nested stacks that hold
// them, and what they compute. Roles stand in their place, for whoever names their ARN; custom resources are made by name.
func (p *publishedTemplate) emulate() {
	computed := map[string]any{}
	for id, r := range p.Resources {
		switch {
		case strings.HasPrefix(r.Type, "AWS::Lambda::") || r.Type == "AWS::CloudFormation::Stack":
			r.Type = "AWS::IAM::Role"
			r.Properties = map[string]any{"AssumeRolePolicyDocument": map[string]any{"Version": "2012-10-17", "Statement": []any{}}}
		case r.Type == "AWS::CDK::Metadata":
			delete(p.Resources, id)
		case strings.HasPrefix(r.Type, "Custom::"):
			delete(r.Properties, "ServiceToken")
			if text, ok := r.Properties["Value"].(string); ok {
				var v any
				_ = json.Unmarshal([]byte(text), &v)
				computed[id] = v
			}
		}
	}
	for _, r := range p.Resources {
		r.Properties, _ = replaced(r.Properties, computed).(map[string]any)
	}
}

// replaced puts what a custom resource computes in the place of {"Fn::GetAtt": [ID, "Value"]}.
func replaced(v any, computed map[string]any) any {
	switch v := v.(type) {
	case map[string]any:
		if at, ok := v["Fn::GetAtt"].([]any); ok && len(at) == 2 && at[1] == "Value" && computed[fmt.Sprint(at[0])] != nil {
			return computed[fmt.Sprint(at[0])]
		}
		for k := range v {
			v[k] = replaced(v[k], computed)
		}
	case []any:
		for i := range v {
			v[i] = replaced(v[i], computed)
		}
	}
	return v
}

func (p *publishedTemplate) text(t *testing.T) *string {
	t.Helper()
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	return &text
}

// manifests are the objects that the custom resources' functions make in the cluster.
func (p *publishedTemplate) manifests(t *testing.T, namespace, role string) []kube.Object {
	t.Helper()
	var out []kube.Object
	for _, id := range slices.Sorted(maps.Keys(p.Resources)) {
		manifest, ok := p.Resources[id].Properties["Manifest"]
		if !ok {
			continue
		}
		var made []kube.Object
		if err := json.Unmarshal([]byte(joined(manifest, role)), &made); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		for _, o := range made {
			if meta, _ := o["metadata"].(map[string]any); meta["namespace"] == "ray" {
				meta["namespace"] = namespace
			}
			out = append(out, o)
		}
	}
	return out
}

// joined is the text of a string or an Fn::Join, whose only other part is the role's ARN.
func joined(v any, role string) string {
	if text, ok := v.(string); ok {
		return text
	}
	var b strings.Builder
	parts, _ := v.(map[string]any)["Fn::Join"].([]any)
	for _, part := range parts[1].([]any) {
		if text, ok := part.(string); ok {
			b.WriteString(text)
		} else {
			b.WriteString(role)
		}
	}
	return b.String()
}

// makePublished brings the published module's stacks to AWS, and what its functions make to the cluster.
func (p *place) makePublished(t *testing.T, name, module string) (objects []kube.Object, role string) {
	t.Helper()
	p.ask(t, "iam", "create-role", "--role-name", "eks-admin", "--assume-role-policy-document", "{}")
	p.ask(t, "iam", "create-role", "--role-name", "eks-handler", "--assume-role-policy-document", "{}")
	templates := publishedTemplates(t, name, module, strings.ToLower(clustertest.Name("t")[2:6]))
	for i, s := range []string{name + "-rbac", name} {
		if _, err := p.cfn.CreateStack(t.Context(), &cloudformation.CreateStackInput{StackName: &s, TemplateBody: templates[i].text(t),
			Capabilities: []types.Capability{types.CapabilityCapabilityNamedIam}}); err != nil {
			t.Fatal(err)
		}
		clustertest.Until(clustertest.Context(t), t, "stack "+s, func() error {
			if got := p.status(t, s); got != types.StackStatusCreateComplete {
				return fmt.Errorf("it is %s", got)
			}
			return nil
		})
	}
	outputs, err := p.Outputs(t.Context(), name+"-rbac")
	if err != nil || len(outputs) != 1 {
		t.Fatalf("the second stack gives out %v, %v", outputs, err)
	}
	for _, v := range outputs {
		role = v
	}
	for _, s := range templates {
		objects = append(objects, s.manifests(t, p.namespace, role)...)
	}
	p.cluster.Apply(t, objects...)
	t.Cleanup(func() { p.forget(t, objects, role) })
	if _, err := deploy.MapRoles(t.Context(), p.cluster.Client, func(text string) (string, error) {
		return deploy.AddMapping(text, deploy.Mapping{Role: role, Username: module})
	}); err != nil {
		t.Fatal(err)
	}
	return objects, role
}

// left are those of the objects that are still there.
func (p *place) left(t *testing.T, objects []kube.Object) string {
	t.Helper()
	var names []string
	for _, o := range objects {
		_, err := p.cluster.Get(clustertest.Context(t), o)
		if err != nil && !kube.NotFound(err) {
			t.Fatal(err)
		}
		if err == nil {
			names = append(names, kube.Kind(o)+"/"+kube.Name(o))
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// forget takes away what a test left outside its namespace.
func (p *place) forget(t *testing.T, objects []kube.Object, role string) {
	ctx := clustertest.Context(t)
	for _, o := range objects {
		if kube.NamespaceOf(o) != p.namespace {
			if err := p.cluster.Remove(ctx, pathOf(o), ""); err != nil && !kube.NotFound(err) {
				t.Error(err)
			}
		}
	}
	_, err := deploy.MapRoles(ctx, p.cluster.Client, func(text string) (string, error) { return deploy.DropMapping(text, role) })
	if err != nil {
		t.Error(err)
	}
}

func pathOf(o kube.Object) string {
	version, _ := o["apiVersion"].(string)
	return kube.ObjectPath(version, kube.NamespaceOf(o), strings.ToLower(kube.Kind(o))+"s", kube.Name(o))
}

// TestFromPublished deploys over the published module's stacks and destroys. No emulator runs the functions behind the
// custom resources: the test makes what they make, and deletes nothing for them.
func TestFromPublished(t *testing.T) {
	p := newPlace(t, awstest.LocalStack(t))
	module := clustertest.Name("pub")
	plan := p.plan(t, module, 1, nil)
	name := plan.Stack.Name
	objects, role := p.makePublished(t, name, module)

	p.deploy(t, plan)
	p.tookOver(t, plan, module, objects, role)
	p.destroy(t, deploy.Removal{Stack: name})
	if got := p.left(t, objects); got != "" {
		t.Errorf("left in the cluster: %s", got)
	}
	if got := p.status(t, name); got != "" && got != types.StackStatusDeleteComplete {
		t.Errorf("the stack is %s", got)
	}
}

// TestPublishedRollsBack has an update over the published module's stacks fail: all of it must be as before. LocalStack
// works no further change set out after a rollback, so what comes next is TestFromPublished's.
func TestPublishedRollsBack(t *testing.T) {
	p := newPlace(t, awstest.LocalStack(t))
	module := clustertest.Name("pub")
	name := p.plan(t, module, 1, nil).Stack.Name
	objects, role := p.makePublished(t, name, module)
	before := p.left(t, objects)

	p.failOver(t, module, name)
	if got := p.left(t, objects); got != before {
		t.Errorf("after an update that failed, in the cluster: %s, want %s", got, before)
	}
	if got := p.mapped(t); !strings.Contains(got, role) {
		t.Errorf("after an update that failed, aws-auth: %s", got)
	}
}

// failOver deploys something that AWS refuses half way over the published module: its state machine must be as before.
func (p *place) failOver(t *testing.T, module, name string) {
	t.Helper()
	machines := p.machines(t)
	bad := p.plan(t, module, 1, nil)
	bad.Stack.Template = []byte(strings.Replace(string(bad.Stack.Template), `"Type\":\"Wait\"`, `"Type\":\"Weit\"`, 1))
	if _, err := p.Deploy(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "StateMachine") {
		t.Fatalf("an invalid definition: %v", err)
	}
	if got := p.machines(t); got != machines {
		t.Errorf("after an update that failed the machines are %s, want %s", got, machines)
	}
	if got := p.status(t, name); got != types.StackStatusUpdateRollbackComplete {
		t.Errorf("after an update that failed the stack is %s", got)
	}
	if got := p.status(t, name+"-rbac"); got != types.StackStatusCreateComplete {
		t.Errorf("after an update that failed the second stack is %s", got)
	}
}

// machines are the names of all state machines.
func (p *place) machines(t *testing.T) string {
	t.Helper()
	list, err := p.sfn.ListStateMachines(t.Context(), &sfn.ListStateMachinesInput{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range list.StateMachines {
		names = append(names, *m.StateMachineArn)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// tookOver wants the stack to be ours and nothing of the published module's left but what has our names.
func (p *place) tookOver(t *testing.T, plan deploy.Plan, module string, objects []kube.Object, role string) {
	t.Helper()
	name := plan.Stack.Name
	if got := p.status(t, name+"-rbac"); got != "" && got != types.StackStatusDeleteComplete {
		t.Errorf("the second stack is %s", got)
	}
	template, err := p.Template(t.Context(), name)
	if _, ours, readErr := stack.ReadRecord(template); err != nil || readErr != nil || !ours {
		t.Errorf("the first stack is not ours: %v %v", err, readErr)
	}
	if got, want := p.present(t, module), fmt.Sprintf(kubernetes, module); got != want {
		t.Errorf("in the cluster: %s, want %s", got, want)
	}
	want := fmt.Sprintf("Role/%[1]s RoleBinding/%[1]s ServiceAccount/%[1]s", module)
	if got := p.left(t, objects); got != want {
		t.Errorf("of the published module's objects there are %s, want %s", got, want)
	}
	if got := p.mapped(t); strings.Contains(got, role) {
		t.Errorf("aws-auth still names %s: %s", role, got)
	}
	rules := kube.Field(p.object(t, "rbac.authorization.k8s.io/v1", "Role", module), "rules")
	if strings.Contains(fmt.Sprint(rules), "*") {
		t.Errorf("the role still has wildcards: %v", rules)
	}
}
