package stack_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/aws/stack"
	"github.com/rayorch/rayorch/internal/value"
)

type resource struct {
	Type       string
	Properties map[string]any
	Metadata   map[string]any
}

func resources(t *testing.T, s *stack.Stack) map[string]resource {
	t.Helper()
	var template struct{ Resources map[string]resource }
	if err := json.Unmarshal(s.Template, &template); err != nil {
		t.Fatal(err)
	}
	return template.Resources
}

// TestKinds verifies that no option adds a Lambda function, a custom resource or a nested stack.
func TestKinds(t *testing.T) {
	for name, values := range options() {
		for id, r := range resources(t, build(t, with(values), seedfarmer)) {
			if strings.HasPrefix(r.Type, "AWS::Lambda") || strings.HasPrefix(r.Type, "Custom::") || strings.HasPrefix(r.Type, "AWS::CloudFormation") {
				t.Errorf("%s: %s has the type %s", name, id, r.Type)
			}
		}
	}
}

// TestTagged verifies that every resource that supports tags has them, and every role the permissions boundary.
func TestTagged(t *testing.T) {
	untagged := []string{"AWS::KMS::Alias", "AWS::Scheduler::Schedule"} // these do not support tags
	for id, r := range resources(t, build(t, with(options()["all"]), seedfarmer)) {
		text := fmt.Sprint(r.Properties["Tags"])
		if !slices.Contains(untagged, r.Type) && (!strings.Contains(text, "research") || !strings.Contains(text, "SeedFarmerModuleName")) {
			t.Errorf("%s has the tags %s", id, text)
		}
		if r.Type == "AWS::IAM::Role" && !strings.Contains(fmt.Sprint(r.Properties["PermissionsBoundary"]), "policy/boundary") {
			t.Errorf("%s has no permissions boundary", id)
		}
	}
}

// grants returns the statements of a role, each as a line "ACTIONS on RESOURCES".
func grants(t *testing.T, r resource) []string {
	t.Helper()
	var p struct {
		Policies []struct {
			PolicyDocument struct {
				Statement []struct {
					Action   []string
					Resource []any
				}
			}
		}
	}
	data, _ := json.Marshal(r.Properties)
	if err := json.Unmarshal(data, &p); err != nil {
		t.Fatal(err)
	}
	lines := []string{}
	for _, policy := range p.Policies {
		for _, s := range policy.PolicyDocument.Statement {
			on, _ := json.Marshal(s.Resource)
			lines = append(lines, strings.Join(s.Action, " ")+" on "+string(on))
		}
	}
	return lines
}

// TestPolicies compares the permissions of all roles, statement by statement, with all options and with none.
func TestPolicies(t *testing.T) {
	const delivery = `logs:CreateLogDelivery logs:DeleteLogDelivery logs:DescribeLogGroups logs:DescribeResourcePolicies ` +
		`logs:GetLogDelivery logs:ListLogDeliveries logs:PutResourcePolicy logs:UpdateLogDelivery on ["*"]`
	const key = `[{"Fn::GetAtt":["Key","Arn"]}]`
	all := resources(t, build(t, with(options()["all"]), seedfarmer))
	for id, want := range map[string][]string{
		"StateMachineRole": {delivery, "kms:Decrypt kms:GenerateDataKey on " + key},
		"PodRole": {
			`s3:ListBucket on [{"Fn::Sub":"arn:${AWS::Partition}:s3:::data-bucket"}]`,
			`s3:AbortMultipartUpload s3:GetObject s3:GetObjectVersion s3:ListMultipartUploadParts s3:PutObject on [{"Fn::Sub":"arn:${AWS::Partition}:s3:::data-bucket/*"}]`,
		},
		"AbortedRuleRole": {`states:StartExecution on [{"Ref":"CleanUpStateMachine"}]`},
		"ScheduleRole":    {`states:StartExecution on [{"Ref":"StateMachine"}]`, "kms:Decrypt on " + key},
	} {
		if diff := cmp.Diff(want, grants(t, all[id])); diff != "" {
			t.Errorf("%s:\n%s", id, diff)
		}
	}
	plain := resources(t, build(t, required(), seedfarmer))
	if got := grants(t, plain["PodRole"]); len(got) > 0 {
		t.Errorf("without a bucket, pods have the permissions %v", got)
	}
	if diff := cmp.Diff([]string{delivery}, grants(t, plain["StateMachineRole"])); diff != "" {
		t.Error(diff)
	}
}

// TestTrust compares the trust policies of all roles.
func TestTrust(t *testing.T) {
	all := resources(t, build(t, with(options()["all"]), seedfarmer))
	const account = `"StringEquals":{"aws:SourceAccount":{"Ref":"AWS::AccountId"}}`
	const machine = "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:stateMachine:TrainingOnEks-aiops-ray-on-eks-ray-orchestrator"
	for id, want := range map[string]string{
		"StateMachineRole": `{"Action":"sts:AssumeRole","Condition":{"ArnLike":{"aws:SourceArn":[{"Fn::Sub":"` + machine + `"},{"Fn::Sub":"` + machine +
			`-cleanup"}]},` + account + `},"Effect":"Allow","Principal":{"Service":"states.amazonaws.com"}}`,
		"PodRole": `{"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"oidc.eks.eu-west-1.amazonaws.com/id/ABC:aud":"sts.amazonaws.com",` +
			`"oidc.eks.eu-west-1.amazonaws.com/id/ABC:sub":"system:serviceaccount:ray:ray-orchestrator"}},"Effect":"Allow","Principal":{"Federated":` +
			`"arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/ABC"}}`,
		"AbortedRuleRole": `{"Action":"sts:AssumeRole","Condition":{` + account + `},"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"}}`,
		"ScheduleRole":    `{"Action":"sts:AssumeRole","Condition":{` + account + `},"Effect":"Allow","Principal":{"Service":"scheduler.amazonaws.com"}}`,
	} {
		document, _ := all[id].Properties["AssumeRolePolicyDocument"].(map[string]any)
		statements, _ := document["Statement"].([]any)
		got, _ := json.Marshal(statements)
		if diff := cmp.Diff("["+want+"]", string(got)); diff != "" {
			t.Errorf("%s:\n%s", id, diff)
		}
	}
}

// substitute expands the parameters in a text as Fn::Sub does, and unescapes ${ as a JSON parser does.
func substitute(text, partition string) string {
	text = strings.ReplaceAll(text, "${AWS::Partition}", partition)
	text = strings.ReplaceAll(text, "${CertificateAuthority}", certificate)
	return strings.ReplaceAll(text, `\u0024{`, "${")
}

// TestDefinition verifies that the definition in the template is that of the pipeline, apart from white space and escapes, and
// that its resources are in the stack's partition.
func TestDefinition(t *testing.T) {
	r := resources(t, build(t, required(), seedfarmer))
	for id, source := range map[string]string{"StateMachine": small, "CleanUpStateMachine": smallCleanup} {
		held, _ := r[id].Properties["DefinitionString"].(map[string]any)
		text, _ := held["Fn::Sub"].(string)
		want, err := value.ParseObject([]byte(source))
		if err != nil {
			t.Fatal(err)
		}
		if got := substitute(text, "aws"); got != value.Text(want) {
			t.Errorf("%s:\n%s\nwant\n%s", id, got, value.Text(want))
		}
		if _, err := asl.Parse([]byte(substitute(text, "aws-cn"))); err != nil || !strings.Contains(substitute(text, "aws-cn"), "arn:aws-cn:states:::eks:") {
			t.Errorf("%s in aws-cn: %v", id, err)
		}
	}
}

// TestRecord verifies that the record can be read from the template, and that a template without one is not an error.
func TestRecord(t *testing.T) {
	s := build(t, with(options()["all"]), seedfarmer)
	got, ok, err := stack.ReadRecord(s.Template)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if diff := cmp.Diff(s.Record, got); diff != "" {
		t.Error(diff)
	}
	if _, ok, err := stack.ReadRecord([]byte(`{"Resources": {"X": {"Type": "AWS::SNS::Topic"}}}`)); ok || err != nil {
		t.Error("found a record in a template of another program", err)
	}
	if _, _, err := stack.ReadRecord([]byte(`{"Resources": {"StateMachine": {"Metadata": {"Rayorch": {"version": 9}}}}}`)); err == nil {
		t.Error("no error for a record of a later version")
	}
}

// TestKeepLogs verifies that only the log group and the key are retained, and that the record is kept.
func TestKeepLogs(t *testing.T) {
	s := build(t, with(map[string]any{"kms_key": "create"}), seedfarmer)
	kept, err := stack.KeepLogs(s.Template)
	if err != nil {
		t.Fatal(err)
	}
	var template struct {
		Resources map[string]struct{ DeletionPolicy string }
	}
	if err := json.Unmarshal(kept, &template); err != nil {
		t.Fatal(err)
	}
	for id, r := range template.Resources {
		if want := map[bool]string{true: "Retain"}[id == "LogGroup" || id == "Key"]; r.DeletionPolicy != want {
			t.Errorf("%s: DeletionPolicy is %q, want %q", id, r.DeletionPolicy, want)
		}
	}
	if _, ok, err := stack.ReadRecord(kept); !ok || err != nil {
		t.Error("the record is missing", err)
	}
}

// FuzzReadTemplate verifies that no template makes the readers panic: a stack may belong to another program.
func FuzzReadTemplate(f *testing.F) {
	f.Add([]byte(`{"Resources": {"StateMachine": {"Metadata": {"Rayorch": {"version": 1}}}, "LogGroup": {"Metadata": {}}}}`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _, _ = stack.ReadRecord(data)
		_, _ = stack.KeepLogs(data)
	})
}

// tool finds a linter on PATH or in the directory where make test-setup installs it, or else skips the test.
func tool(t *testing.T, name, dir string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	if path, err := filepath.Abs(filepath.Join("..", "..", "..", dir, "bin", name)); err == nil {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Skipf("SKIPPED: %s is neither on PATH nor in %s: to install it, run make test-setup", name, dir)
	return ""
}

// templates writes the templates of all golden stacks, and a shortened one, to files and returns their paths.
func templates(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	var files []string
	write := func(name string, template []byte) {
		file := filepath.Join(dir, name+".json")
		if err := os.WriteFile(file, template, 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	all := options()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		write(name, build(t, with(all[name]), seedfarmer).Template)
	}
	_, shortened := example(t, "shakespeare/pipeline.yaml", "rayjob")
	write("shortened", shortened.Template)
	return files
}

// TestCfnLint lints the templates with AWS's own linter, for a region of each partition. The linter skips definitions in
// Fn::Sub, and outside Fn::Sub it only accepts the partition aws, so the test also lints the original definition.
func TestCfnLint(t *testing.T) {
	lint := tool(t, "cfn-lint", ".venv")
	files := templates(t)
	plain := filepath.Join(t.TempDir(), "definition.json")
	definition := value.Obj("Resources", value.Obj("Machine", value.Obj("Type", "AWS::StepFunctions::StateMachine", "Properties",
		value.Obj("RoleArn", "arn:aws:iam::123456789012:role/x", "DefinitionString", small))))
	if err := os.WriteFile(plain, value.Bytes(definition), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-r", "us-east-1", "cn-north-1", "us-gov-west-1", "-t"}, append(files, plain)...)
	if out, err := exec.CommandContext(t.Context(), lint, args...).CombinedOutput(); err != nil {
		t.Errorf("cfn-lint: %v\n%s", err, out)
	}
}

// TestCheckov lints the templates for insecure settings.
func TestCheckov(t *testing.T) {
	checkov := tool(t, "checkov", ".tools/checkov")
	args := append([]string{"--framework", "cloudformation", "--compact", "--quiet", "--skip-download", "-f"}, templates(t)...)
	cmd := exec.CommandContext(t.Context(), checkov, args...)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Failed checks: 0") {
		t.Errorf("checkov: %v\n%s", err, out)
	}
}
