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

// resource is a resource in a template of the published module.
type resource struct {
	Type           string
	Properties     map[string]any
	DeletionPolicy string `json:",omitempty"`
	DependsOn      any    `json:",omitempty"`
}

// publishedTemplate contains the parts of such a template that an emulator accepts. Its parameter and rule are left out, because they need
// the bootstrap stack of the CDK.
type publishedTemplate struct {
	Resources  map[string]*resource
	Outputs    map[string]any
	Conditions map[string]any `json:",omitempty"`
}

// publishedTemplates returns the templates of the published module's two stacks, the second one (-rbac) first, with the names of the test's
// stack and module. RAYORCH_PUBLISHED_TEMPLATES is the output directory of its cdk synth (-o); without it, the test uses templates with the
// same structure in testdata/published.
func publishedTemplates(t *testing.T, name, module, suffix string) [2]*publishedTemplate {
	t.Helper()
	dir := os.Getenv("RAYORCH_PUBLISHED_TEMPLATES")
	if dir == "" {
		t.Log("RAYORCH_PUBLISHED_TEMPLATES is not set: using testdata/published, which has the same structure")
		dir = "testdata/published"
	}
	found, err := filepath.Glob(filepath.Join(dir, "*-rbac.template.json"))
	if err != nil || len(found) != 1 {
		t.Fatalf("got the templates %v in %s, want one *-rbac.template.json: %v", found, dir, err)
	}
	theirs := strings.TrimSuffix(filepath.Base(found[0]), "-rbac.template.json")
	var out [2]*publishedTemplate
	for i, end := range []string{"-rbac", ""} {
		data, err := os.ReadFile(filepath.Join(dir, theirs+end+".template.json"))
		if err != nil {
			t.Fatal(err)
		}
		// The names must be unique, because other tests use the same cluster and emulator.
		text := strings.NewReplacer(theirs, name, "ray-ray-orchestrator", module, "aws.cdk.eks/prune-", "aws.cdk.eks/prune-"+suffix).Replace(string(data))
		if err := json.Unmarshal([]byte(text), &out[i]); err != nil {
			t.Fatal(err)
		}
		out[i].emulate()
	}
	return out
}

// emulate replaces the resources that LocalStack cannot create without Docker: functions, their layers, the nested stacks that
// contain them, and the values that they compute. Roles replace them, because other resources refer to their ARNs. Custom
// resources keep their types, without a function.
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

// replaced replaces {"Fn::GetAtt": [ID, "Value"]} by the value that the custom resource computes.
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

// manifests returns the objects that the functions of the custom resources create in the cluster.
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

// joined returns the text of a string, or of an Fn::Join in which each part that is not a string is the ARN of the role.
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

// createPublished creates the stacks of the published module on AWS, and the objects that its functions create in the cluster. It returns
// the objects and the ARN of the mapped role.
func (p *fixture) createPublished(t *testing.T, name, module string) (objects []kube.Object, role string) {
	t.Helper()
	p.awsCLI(t, "iam", "create-role", "--role-name", "eks-admin", "--assume-role-policy-document", "{}")
	p.awsCLI(t, "iam", "create-role", "--role-name", "eks-handler", "--assume-role-policy-document", "{}")
	templates := publishedTemplates(t, name, module, strings.ToLower(clustertest.Name("t")[2:6]))
	for i, s := range []string{name + "-rbac", name} {
		if _, err := p.cfn.CreateStack(t.Context(), &cloudformation.CreateStackInput{StackName: &s, TemplateBody: templates[i].text(t),
			Capabilities: []types.Capability{types.CapabilityCapabilityNamedIam}}); err != nil {
			t.Fatal(err)
		}
		clustertest.Until(clustertest.Context(t), t, "stack "+s, func() error {
			if got := p.status(t, s); got != types.StackStatusCreateComplete {
				return fmt.Errorf("the status is %s", got)
			}
			return nil
		})
	}
	outputs, err := p.Outputs(t.Context(), name+"-rbac")
	if err != nil || len(outputs) != 1 {
		t.Fatalf("the outputs of the second stack are %v, want one: %v", outputs, err)
	}
	for _, v := range outputs {
		role = v
	}
	for _, s := range templates {
		objects = append(objects, s.manifests(t, p.namespace, role)...)
	}
	p.cluster.Apply(t, objects...)
	t.Cleanup(func() { p.removePublished(t, objects, role) })
	if _, err := deploy.MapRoles(t.Context(), p.cluster.Client, func(text string) (string, error) {
		return deploy.AddMapping(text, deploy.Mapping{Role: role, Username: module})
	}); err != nil {
		t.Fatal(err)
	}
	return objects, role
}

// left lists the objects that still exist.
func (p *fixture) left(t *testing.T, objects []kube.Object) string {
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

// removePublished removes what createPublished created outside the namespace of the test.
func (p *fixture) removePublished(t *testing.T, objects []kube.Object, role string) {
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

// TestFromPublished deploys over the stacks of the published module, and destroys. No emulator runs the functions of the custom resources:
// the test creates the objects that they create, but does not delete any for them.
func TestFromPublished(t *testing.T) {
	p := newFixture(t, awstest.LocalStack(t))
	module := clustertest.Name("pub")
	plan := p.plan(t, module, 1, nil)
	name := plan.Stack.Name
	objects, role := p.createPublished(t, name, module)

	p.deploy(t, plan)
	p.checkMigrated(t, plan, module, objects, role)
	p.destroy(t, deploy.Removal{Stack: name})
	if got := p.left(t, objects); got != "" {
		t.Errorf("left in the cluster: %s", got)
	}
	if got := p.status(t, name); got != "" && got != types.StackStatusDeleteComplete {
		t.Errorf("the stack is %s after destroy", got)
	}
}

// TestPublishedRollsBack checks that a failed deployment over the stacks of the published module changes nothing. It cannot continue with a
// successful one, because LocalStack cannot compute another change set after a rollback; see TestFromPublished.
func TestPublishedRollsBack(t *testing.T) {
	p := newFixture(t, awstest.LocalStack(t))
	module := clustertest.Name("pub")
	name := p.plan(t, module, 1, nil).Stack.Name
	objects, role := p.createPublished(t, name, module)
	before := p.left(t, objects)

	p.failUpdate(t, module, name)
	if got := p.left(t, objects); got != before {
		t.Errorf("after the failed update, in the cluster: %s, want %s", got, before)
	}
	if got := p.mapped(t); !strings.Contains(got, role) {
		t.Errorf("after the failed update, aws-auth is %s, want the role %s", got, role)
	}
}

// failUpdate deploys a plan over the published module that AWS rejects during the update. The state machines must not change.
func (p *fixture) failUpdate(t *testing.T, module, name string) {
	t.Helper()
	machines := p.machines(t)
	bad := p.plan(t, module, 1, nil)
	bad.Stack.Template = []byte(strings.Replace(string(bad.Stack.Template), `"Type\":\"Wait\"`, `"Type\":\"Weit\"`, 1))
	if _, err := p.Deploy(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "StateMachine") {
		t.Fatalf("deploy with an invalid definition: got %v, want an error about StateMachine", err)
	}
	if got := p.machines(t); got != machines {
		t.Errorf("after the failed update, the state machines are %s, want %s", got, machines)
	}
	if got := p.status(t, name); got != types.StackStatusUpdateRollbackComplete {
		t.Errorf("after the failed update, the stack is %s, want %s", got, types.StackStatusUpdateRollbackComplete)
	}
	if got := p.status(t, name+"-rbac"); got != types.StackStatusCreateComplete {
		t.Errorf("after the failed update, the second stack is %s, want %s", got, types.StackStatusCreateComplete)
	}
}

// machines lists the ARNs of all state machines.
func (p *fixture) machines(t *testing.T) string {
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

// checkMigrated checks that the stack is rayorch's, and that only those objects of the published module are left whose names rayorch uses.
func (p *fixture) checkMigrated(t *testing.T, plan deploy.Plan, module string, objects []kube.Object, role string) {
	t.Helper()
	name := plan.Stack.Name
	if got := p.status(t, name+"-rbac"); got != "" && got != types.StackStatusDeleteComplete {
		t.Errorf("the second stack is %s, want it deleted", got)
	}
	template, err := p.Template(t.Context(), name)
	if _, ours, readErr := stack.ReadRecord(template); err != nil || readErr != nil || !ours {
		t.Errorf("the first stack has no record of rayorch: %v %v", err, readErr)
	}
	if got, want := p.present(t, module), fmt.Sprintf(kubernetes, module); got != want {
		t.Errorf("in the cluster: %s, want %s", got, want)
	}
	want := fmt.Sprintf("Role/%[1]s RoleBinding/%[1]s ServiceAccount/%[1]s", module)
	if got := p.left(t, objects); got != want {
		t.Errorf("objects of the published module that are left: %s, want %s", got, want)
	}
	if got := p.mapped(t); strings.Contains(got, role) {
		t.Errorf("aws-auth still contains %s: %s", role, got)
	}
	rules := kube.Field(p.object(t, "rbac.authorization.k8s.io/v1", "Role", module), "rules")
	if strings.Contains(fmt.Sprint(rules), "*") {
		t.Errorf("the role still has wildcards: %v", rules)
	}
}
