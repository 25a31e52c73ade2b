// Package aws_test deploys to the AWS that others emulate and to a real Kubernetes behind a double of EKS. docs/aws.md has
// a table of which of them proves what.
package aws_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/rayorch/rayorch/e2e/awstest"
	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/e2e/command"
	"github.com/rayorch/rayorch/internal/aws/deploy"
	"github.com/rayorch/rayorch/internal/aws/stack"
	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
)

func TestMain(m *testing.M) {
	code := awstest.Run(m)
	command.Clean()
	os.Exit(code)
}

// place is one AWS with one cluster, and a deployer in it.
type place struct {
	*deploy.Deployer
	e         *awstest.Emulator
	eks       *awstest.EKS
	cluster   *clustertest.Cluster
	namespace string
	cfn       *cloudformation.Client
	sfn       *sfn.Client
	caller    deploy.Caller

	mu   sync.Mutex
	said []string
}

// admin is the role that the double lets in as an administrator, as STS calls its sessions.
func (p *place) admin() string {
	return "arn:aws:sts::" + p.e.Account + ":assumed-role/eks-admin"
}

func newPlace(t *testing.T, e *awstest.Emulator, env ...string) *place {
	t.Helper()
	p := &place{e: e, cluster: clustertest.Start(t)}
	p.namespace = p.cluster.Namespace(t)
	p.eks = awstest.NewEKS(t, e, p.cluster.Kubeconfig)
	p.eks.Grant(p.admin(), awstest.Entry{Admin: true})
	cfg := e.Config(t, append([]string{"AWS_ENDPOINT_URL_EKS=" + p.eks.URL}, env...)...)
	p.cfn, p.sfn = cloudformation.NewFromConfig(cfg), sfn.NewFromConfig(cfg)
	p.Deployer = deploy.New(deploy.Config{AWS: cfg, Pause: 50 * time.Millisecond, Settle: 2 * time.Second, Say: p.say})
	var err error
	if p.caller, err = p.Caller(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *place) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said = append(p.said, fmt.Sprintf(format, args...))
}

// log is what was said, and forgets it.
func (p *place) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := strings.Join(p.said, "\n")
	p.said = nil
	return text
}

// values are the parameters of a deployment here.
func (p *place) values(more map[string]any) map[string]any {
	out := map[string]any{
		"namespace": p.namespace, "eks_cluster_name": p.eks.Name, "eks_cluster_endpoint": p.eks.Endpoint, "eks_cert_auth_data": p.eks.CA,
		"eks_cluster_admin_role_arn": "arn:aws:iam::" + p.e.Account + ":role/eks-admin",
		"eks_handler_role_arn":       "arn:aws:iam::" + p.e.Account + ":role/eks-handler",
		"eks_oidc_arn":               "arn:aws:iam::" + p.e.Account + ":oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/DOUBLE",
	}
	for k, v := range more {
		out[k] = v
	}
	return out
}

const machine = `{"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": %d, "End": true}}}`

// plan is a deployment of a machine that waits: what a definition does is tested elsewhere, with our engine.
func (p *place) plan(t *testing.T, module string, seconds int, more map[string]any) deploy.Plan {
	t.Helper()
	params, err := stack.Read(stack.Source{Name: stack.Param.Env, Values: p.values(more)})
	if err != nil {
		t.Fatal(err)
	}
	names := stack.NewNames(stack.Identity{Project: "p", Deployment: "d", Module: module}, params.Machine)
	s, err := stack.Build(stack.Input{Params: params, Names: names, Pipeline: "waits", Compiled: &compile.Result{
		Definition: fmt.Appendf(nil, machine, seconds), Cleanup: fmt.Appendf(nil, machine, 0),
		Access: []compile.Rule{{APIGroups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: []string{"create", "get"}}},
		Files:  []compile.ConfigMap{{Name: fmt.Sprintf("files-%d", seconds), Data: map[string]string{"a.py": "print(1)\n"}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return deploy.Plan{Stack: s, Caller: p.caller}
}

func (p *place) deploy(t *testing.T, plan deploy.Plan) deploy.Result {
	t.Helper()
	r, err := p.Deploy(t.Context(), plan)
	if err != nil {
		t.Fatalf("%s\n%v", p.log(), err)
	}
	return r
}

func (p *place) destroy(t *testing.T, r deploy.Removal) {
	t.Helper()
	if err := p.Remove(t.Context(), r); err != nil {
		t.Fatalf("%s\n%v", p.log(), err)
	}
}

// status is a stack's, "" for none.
func (p *place) status(t *testing.T, name string) types.StackStatus {
	t.Helper()
	got, err := p.cfn.DescribeStacks(context.Background(), &cloudformation.DescribeStacksInput{StackName: &name})
	if err != nil {
		return ""
	}
	return got.Stacks[0].StackStatus
}

// ask is a call of AWS's own command line: for services that rayorch itself calls none of.
func (p *place) ask(t *testing.T, args ...string) string {
	t.Helper()
	cli, err := exec.LookPath("aws")
	if err != nil {
		if cli, err = filepath.Abs("../../.venv/bin/aws"); err != nil {
			t.Fatal(err)
		}
	}
	// An emulator may take minutes for its first answer.
	cmd := exec.CommandContext(t.Context(), cli, append(args, "--output", "json", "--cli-connect-timeout", "0", "--cli-read-timeout", "0")...)
	cmd.Env = append(os.Environ(), p.e.Env()...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "error: " + string(out)
	}
	return string(out)
}

// object is one in the cluster, nil where it is not there.
func (p *place) object(t *testing.T, version, kind, name string) kube.Object {
	t.Helper()
	ctx := clustertest.Context(t)
	var o kube.Object
	err := kube.Retry(ctx, func(ctx context.Context) (err error) { // others' tests share the cluster, and load it
		o, err = p.cluster.Get(ctx, clustertest.Object(version, kind, p.namespace, name, nil))
		return err
	})
	if err != nil && !kube.NotFound(err) {
		t.Fatal(err)
	}
	return o
}

// present says which of a deployment's objects are there.
func (p *place) present(t *testing.T, module string) string {
	t.Helper()
	var found []string
	for _, o := range [][3]string{{"v1", "ServiceAccount", module}, {"rbac.authorization.k8s.io/v1", "Role", module},
		{"rbac.authorization.k8s.io/v1", "RoleBinding", module}, {"v1", "ConfigMap", "files-1"}, {"v1", "ConfigMap", "files-2"}} {
		if p.object(t, o[0], o[1], o[2]) != nil {
			found = append(found, o[1]+"/"+o[2])
		}
	}
	return strings.Join(found, " ")
}

const kubernetes = "ServiceAccount/%[1]s Role/%[1]s RoleBinding/%[1]s ConfigMap/files-1"

// TestLife deploys, deploys again, updates, starts, refuses to destroy what runs, destroys, and destroys again.
func TestLife(t *testing.T) {
	awstest.Each(t, func(t *testing.T, e *awstest.Emulator) {
		p := newPlace(t, e)
		module := clustertest.Name("life")
		plan := p.plan(t, module, 1, map[string]any{"data_bucket_name": "data-bucket"})
		r := p.deploy(t, plan)
		p.assertMade(t, plan, r, module)

		p.log()
		if again := p.deploy(t, plan); again.Changed {
			t.Errorf("deploying again changed something:\n%s", p.log())
		}
		p.update(t, module)
		p.runs(t, plan, module, r.Outputs["StateMachineArn"])
	})
}

func (p *place) assertMade(t *testing.T, plan deploy.Plan, r deploy.Result, module string) {
	t.Helper()
	if got, want := p.present(t, module), fmt.Sprintf(kubernetes, module); got != want {
		t.Errorf("in the cluster: %s, want %s", got, want)
	}
	account := p.object(t, "v1", "ServiceAccount", module)
	if got := kube.Field(account, "metadata", "annotations", "eks.amazonaws.com/role-arn"); got != r.Outputs["EksServiceAccountRoleArn"] {
		t.Errorf("the service account's role is %v, want %s", got, r.Outputs["EksServiceAccountRoleArn"])
	}
	for _, name := range []string{"EksServiceAccountName", "EksServiceAccountRoleArn", "StateMachineArn", "LogGroupArn"} {
		if r.Outputs[name] == "" {
			t.Errorf("no output %s", name)
		}
	}
	m, err := p.sfn.DescribeStateMachine(t.Context(), &sfn.DescribeStateMachineInput{StateMachineArn: aws.String(r.Outputs["StateMachineArn"])})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(aws.ToString(m.Name), "TrainingOnEks") || !strings.Contains(aws.ToString(m.Definition), `"Seconds":1`) {
		t.Errorf("the machine is %s: %s", aws.ToString(m.Name), aws.ToString(m.Definition))
	}
	role := r.Outputs["EksServiceAccountRoleArn"]
	name := role[strings.LastIndex(role, "/")+1:]
	if got := p.ask(t, "iam", "get-role-policy", "--role-name", name, "--policy-name", "rayorch"); !strings.Contains(got, "arn:aws:s3:::data-bucket/*") {
		t.Errorf("the pods' role: %s", got)
	}
	if got := p.ask(t, "logs", "describe-log-groups", "--log-group-name-prefix", plan.Stack.Record.LogGroup); !strings.Contains(got, plan.Stack.Record.LogGroup) {
		t.Errorf("log groups: %s", got)
	}
	rule := stack.NewNames(stack.Identity{Project: "p", Deployment: "d", Module: module}, "").Rule
	if got := p.ask(t, "events", "list-targets-by-rule", "--rule", rule); !strings.Contains(got, plan.Stack.Record.Clean) {
		t.Errorf("the rule's targets: %s", got)
	}
}

// update changes the definition and its files: those of before stay for runs in progress. moto works a change set of
// several changes out wrongly, so the update itself is LocalStack's to prove.
func (p *place) update(t *testing.T, module string) {
	t.Helper()
	if p.e.Name == "moto" {
		return
	}
	plan := p.plan(t, module, 2, map[string]any{"data_bucket_name": "data-bucket"})
	changes, differences, err := p.Differences(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(changes)
	for _, d := range differences {
		text += d.Action + d.Text
	}
	if !strings.Contains(text, "StateMachine") || !strings.Contains(text, "files-2") {
		t.Errorf("the differences are %s", text)
	}
	if strings.Contains(p.present(t, module), "files-2") {
		t.Error("asking for differences changed the cluster")
	}
	if r := p.deploy(t, plan); !r.Changed {
		t.Error("an update changed nothing")
	}
	if got, want := p.present(t, module), fmt.Sprintf(kubernetes, module)+" ConfigMap/files-2"; got != want {
		t.Errorf("in the cluster: %s, want %s", got, want)
	}
}

// runs starts an execution, which a destroy refuses and then stops.
func (p *place) runs(t *testing.T, plan deploy.Plan, module, arn string) {
	t.Helper()
	p.deploy(t, p.planLong(t, module))
	started, err := p.sfn.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: &arn, Input: aws.String("{}")})
	if err != nil {
		t.Fatal(err)
	}
	name := plan.Stack.Name
	if err := p.Remove(t.Context(), deploy.Removal{Stack: name}); err == nil || !strings.Contains(err.Error(), "--stop") {
		t.Errorf("a destroy with a running execution: %v", err)
	}
	if got := p.present(t, module); got == "" {
		t.Error("the refused destroy took the objects away")
	}
	p.destroy(t, deploy.Removal{Stack: name, StopRuns: true})
	if got := p.status(t, name); got != "" && got != types.StackStatusDeleteComplete {
		t.Errorf("the stack is %s", got)
	}
	if got := p.present(t, module); got != "" {
		t.Errorf("left in the cluster: %s", got)
	}
	if x, err := p.sfn.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: started.ExecutionArn}); err == nil && x.Status == "RUNNING" {
		t.Error("the execution still runs")
	}
	p.destroy(t, deploy.Removal{Stack: name, StopRuns: true})
}

// planLong waits for a run that a destroy must find running. moto takes no update, and its runs never end.
func (p *place) planLong(t *testing.T, module string) deploy.Plan {
	if p.e.Name == "moto" {
		return p.plan(t, module, 1, map[string]any{"data_bucket_name": "data-bucket"})
	}
	return p.plan(t, module, 3600, map[string]any{"data_bucket_name": "data-bucket"})
}

// TestForeignStack wants somebody else's stack left alone by both.
func TestForeignStack(t *testing.T) {
	p := newPlace(t, awstest.Moto(t))
	plan := p.plan(t, clustertest.Name("foreign"), 1, nil)
	template := `{"Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "theirs"}}}}`
	if _, err := p.cfn.CreateStack(t.Context(), &cloudformation.CreateStackInput{StackName: &plan.Stack.Name, TemplateBody: &template}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Deploy(t.Context(), plan); err == nil || !strings.Contains(err.Error(), "--stack-name") {
		t.Errorf("deploy over a foreign stack: %v", err)
	}
	if err := p.Remove(t.Context(), deploy.Removal{Stack: plan.Stack.Name}); err == nil || !strings.Contains(err.Error(), "nothing was removed") {
		t.Errorf("destroy of a foreign stack: %v", err)
	}
	if got := p.status(t, plan.Stack.Name); got != types.StackStatusCreateComplete {
		t.Errorf("the foreign stack is %s", got)
	}
}

// TestAWSAuth maps the role in the ConfigMap where the cluster knows no access entries, and takes it out again.
func TestAWSAuth(t *testing.T) {
	p := newPlace(t, awstest.Moto(t))
	module := clustertest.Name("auth")
	plan := p.plan(t, module, 1, map[string]any{"access": "aws-auth"})
	r := p.deploy(t, plan)
	if got := p.mapped(t); !strings.Contains(got, r.Outputs["StateMachineRoleArn"]) || !strings.Contains(got, module) {
		t.Errorf("aws-auth: %s", got)
	}
	if again := p.deploy(t, plan); again.Changed {
		t.Errorf("deploying again changed something:\n%s", p.log())
	}
	p.destroy(t, deploy.Removal{Stack: plan.Stack.Name})
	if got := p.mapped(t); strings.Contains(got, r.Outputs["StateMachineRoleArn"]) {
		t.Errorf("aws-auth after the destroy: %s", got)
	}
}

// mapped is aws-auth's mapRoles. The ConfigMap is the whole test cluster's, and tests only add and drop their own.
func (p *place) mapped(t *testing.T) string {
	t.Helper()
	res, err := p.cluster.Do(clustertest.Context(t), kube.Request{Path: "/api/v1/namespaces/kube-system/configmaps/aws-auth"})
	if err != nil {
		t.Fatal(err)
	}
	var o struct{ Data map[string]string }
	if err := json.Unmarshal(res.Body, &o); err != nil {
		t.Fatal(err)
	}
	return o.Data["mapRoles"]
}
