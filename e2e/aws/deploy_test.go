// Package aws_test deploys to emulators of AWS and to a real Kubernetes behind a fake EKS. The table in docs/aws.md lists what is
// tested with which of them.
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

// fixture is an emulator of AWS with a cluster, and a deployer for them.
type fixture struct {
	*deploy.Deployer
	e         *awstest.Emulator
	eks       *awstest.EKS
	cluster   *clustertest.Cluster
	namespace string
	cfn       *cloudformation.Client
	sfn       *sfn.Client
	caller    deploy.Caller

	mu       sync.Mutex
	messages []string // of the deployer
}

// admin returns the ARN, in STS's form, of the role to which the fake EKS grants all permissions.
func (p *fixture) admin() string {
	return "arn:aws:sts::" + p.e.Account + ":assumed-role/eks-admin"
}

// newFixture creates a namespace, and a fake EKS in which the admin role has all permissions. env contains additional environment
// variables, such as the endpoint of a service.
func newFixture(t *testing.T, e *awstest.Emulator, env ...string) *fixture {
	t.Helper()
	p := &fixture{e: e, cluster: clustertest.Start(t)}
	p.namespace = p.cluster.Namespace(t)
	p.eks = awstest.NewEKS(t, e, p.cluster.Kubeconfig)
	p.eks.Grant(p.admin(), awstest.Entry{Admin: true})
	cfg := e.Config(t, append([]string{"AWS_ENDPOINT_URL_EKS=" + p.eks.URL}, env...)...)
	p.cfn, p.sfn = cloudformation.NewFromConfig(cfg), sfn.NewFromConfig(cfg)
	p.Deployer = deploy.New(deploy.Config{AWS: cfg, Pause: 50 * time.Millisecond, CleanupTimeout: 2 * time.Second, Printf: p.say})
	var err error
	if p.caller, err = p.Caller(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *fixture) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.messages = append(p.messages, fmt.Sprintf(format, args...))
}

// log returns the messages of the deployer since the last call.
func (p *fixture) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := strings.Join(p.messages, "\n")
	p.messages = nil
	return text
}

// values returns the parameters of a deployment, with the additional ones in more.
func (p *fixture) values(more map[string]any) map[string]any {
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

// plan returns a deployment of a machine that only waits. Other tests run real definitions, with our engine.
func (p *fixture) plan(t *testing.T, module string, seconds int, more map[string]any) deploy.Plan {
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

// deploy deploys a plan, which must succeed.
func (p *fixture) deploy(t *testing.T, plan deploy.Plan) deploy.Result {
	t.Helper()
	r, err := p.Deploy(t.Context(), plan)
	if err != nil {
		t.Fatalf("%s\n%v", p.log(), err)
	}
	return r
}

// destroy removes a deployment, which must succeed.
func (p *fixture) destroy(t *testing.T, r deploy.Removal) {
	t.Helper()
	if err := p.Remove(t.Context(), r); err != nil {
		t.Fatalf("%s\n%v", p.log(), err)
	}
}

// status returns the status of a stack, or "" if it does not exist.
func (p *fixture) status(t *testing.T, name string) types.StackStatus {
	t.Helper()
	got, err := p.cfn.DescribeStacks(context.Background(), &cloudformation.DescribeStacksInput{StackName: &name})
	if err != nil {
		return ""
	}
	return got.Stacks[0].StackStatus
}

// awsCLI runs AWS's command line and returns its output. Tests use it for services that rayorch itself does not call.
func (p *fixture) awsCLI(t *testing.T, args ...string) string {
	t.Helper()
	cli, err := exec.LookPath("aws")
	if err != nil {
		if cli, err = filepath.Abs("../../.venv/bin/aws"); err != nil {
			t.Fatal(err)
		}
	}
	// The first response of an emulator can take minutes.
	cmd := exec.CommandContext(t.Context(), cli, append(args, "--output", "json", "--cli-connect-timeout", "0", "--cli-read-timeout", "0")...)
	cmd.Env = append(os.Environ(), p.e.Env()...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "error: " + string(out)
	}
	return string(out)
}

// object returns an object in the test's namespace, or nil if it does not exist.
func (p *fixture) object(t *testing.T, version, kind, name string) kube.Object {
	t.Helper()
	ctx := clustertest.Context(t)
	var o kube.Object
	err := kube.Retry(ctx, func(ctx context.Context) (err error) { // other tests use the cluster at the same time
		o, err = p.cluster.Get(ctx, clustertest.Object(version, kind, p.namespace, name, nil))
		return err
	})
	if err != nil && !kube.NotFound(err) {
		t.Fatal(err)
	}
	return o
}

// present lists the objects of a deployment that exist in the cluster.
func (p *fixture) present(t *testing.T, module string) string {
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

// kubernetes is the format of what present returns after the first deployment; its argument is the module.
const kubernetes = "ServiceAccount/%[1]s Role/%[1]s RoleBinding/%[1]s ConfigMap/files-1"

// TestLife deploys, deploys again without changes, updates, starts an execution, checks that destroy fails while it runs, destroys, and
// destroys again.
func TestLife(t *testing.T) {
	awstest.Each(t, func(t *testing.T, e *awstest.Emulator) {
		p := newFixture(t, e)
		module := clustertest.Name("life")
		plan := p.plan(t, module, 1, map[string]any{"data_bucket_name": "data-bucket"})
		r := p.deploy(t, plan)
		p.checkCreated(t, plan, r, module)

		p.log()
		if again := p.deploy(t, plan); again.Changed {
			t.Errorf("deploying again changed something:\n%s", p.log())
		}
		p.update(t, module)
		p.runs(t, plan, module, r.Outputs["StateMachineArn"])
	})
}

// checkCreated checks the objects in the cluster and the resources on AWS after the first deployment.
func (p *fixture) checkCreated(t *testing.T, plan deploy.Plan, r deploy.Result, module string) {
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
			t.Errorf("the output %s is missing", name)
		}
	}
	m, err := p.sfn.DescribeStateMachine(t.Context(), &sfn.DescribeStateMachineInput{StateMachineArn: aws.String(r.Outputs["StateMachineArn"])})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(aws.ToString(m.Name), "TrainingOnEks") || !strings.Contains(aws.ToString(m.Definition), `"Seconds":1`) {
		t.Errorf("the state machine is %s, want TrainingOnEks... with \"Seconds\":1: %s", aws.ToString(m.Name), aws.ToString(m.Definition))
	}
	role := r.Outputs["EksServiceAccountRoleArn"]
	name := role[strings.LastIndex(role, "/")+1:]
	if got := p.awsCLI(t, "iam", "get-role-policy", "--role-name", name, "--policy-name", "rayorch"); !strings.Contains(got, "arn:aws:s3:::data-bucket/*") {
		t.Errorf("the policy of the pods' role is %s, want access to data-bucket", got)
	}
	if got := p.awsCLI(t, "logs", "describe-log-groups", "--log-group-name-prefix", plan.Stack.Record.LogGroup); !strings.Contains(got, plan.Stack.Record.LogGroup) {
		t.Errorf("got the log groups %s, want %s", got, plan.Stack.Record.LogGroup)
	}
	rule := stack.NewNames(stack.Identity{Project: "p", Deployment: "d", Module: module}, "").Rule
	if got := p.awsCLI(t, "events", "list-targets-by-rule", "--rule", rule); !strings.Contains(got, plan.Stack.Record.Clean) {
		t.Errorf("the targets of the rule are %s, want %s", got, plan.Stack.Record.Clean)
	}
}

// update changes the definition and its files. The old files must stay, because running executions use them. It runs only with LocalStack,
// because moto computes change sets with several changes incorrectly.
func (p *fixture) update(t *testing.T, module string) {
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
		t.Errorf("the differences are %s, want StateMachine and files-2", text)
	}
	if strings.Contains(p.present(t, module), "files-2") {
		t.Error("Differences changed the cluster")
	}
	if r := p.deploy(t, plan); !r.Changed {
		t.Error("the update changed nothing")
	}
	if got, want := p.present(t, module), fmt.Sprintf(kubernetes, module)+" ConfigMap/files-2"; got != want {
		t.Errorf("in the cluster: %s, want %s", got, want)
	}
}

// runs starts an execution. A destroy must fail while it runs, and stop it with StopRuns.
func (p *fixture) runs(t *testing.T, plan deploy.Plan, module, arn string) {
	t.Helper()
	p.deploy(t, p.planLong(t, module))
	started, err := p.sfn.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: &arn, Input: aws.String("{}")})
	if err != nil {
		t.Fatal(err)
	}
	name := plan.Stack.Name
	if err := p.Remove(t.Context(), deploy.Removal{Stack: name}); err == nil || !strings.Contains(err.Error(), "--stop") {
		t.Errorf("destroy with a running execution: got %v, want an error that names --stop", err)
	}
	if got := p.present(t, module); got == "" {
		t.Error("the failed destroy deleted objects in the cluster")
	}
	p.destroy(t, deploy.Removal{Stack: name, StopRuns: true})
	if got := p.status(t, name); got != "" && got != types.StackStatusDeleteComplete {
		t.Errorf("the stack is %s after destroy", got)
	}
	if got := p.present(t, module); got != "" {
		t.Errorf("left in the cluster: %s", got)
	}
	if x, err := p.sfn.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: started.ExecutionArn}); err == nil && x.Status == "RUNNING" {
		t.Error("the execution still runs")
	}
	p.destroy(t, deploy.Removal{Stack: name, StopRuns: true})
}

// planLong returns a plan whose executions still run when destroy is called. With moto, it does not change the plan, because
// update does not work, and executions never end.
func (p *fixture) planLong(t *testing.T, module string) deploy.Plan {
	if p.e.Name == "moto" {
		return p.plan(t, module, 1, map[string]any{"data_bucket_name": "data-bucket"})
	}
	return p.plan(t, module, 3600, map[string]any{"data_bucket_name": "data-bucket"})
}

// TestForeignStack checks that deploy and destroy do not change a stack that rayorch did not create.
func TestForeignStack(t *testing.T) {
	p := newFixture(t, awstest.Moto(t))
	plan := p.plan(t, clustertest.Name("foreign"), 1, nil)
	template := `{"Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "theirs"}}}}`
	if _, err := p.cfn.CreateStack(t.Context(), &cloudformation.CreateStackInput{StackName: &plan.Stack.Name, TemplateBody: &template}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Deploy(t.Context(), plan); err == nil || !strings.Contains(err.Error(), "--stack-name") {
		t.Errorf("deploy over a foreign stack: got %v, want an error that names --stack-name", err)
	}
	if err := p.Remove(t.Context(), deploy.Removal{Stack: plan.Stack.Name}); err == nil || !strings.Contains(err.Error(), "nothing was removed") {
		t.Errorf("destroy of a foreign stack: got %v, want \"nothing was removed\"", err)
	}
	if got := p.status(t, plan.Stack.Name); got != types.StackStatusCreateComplete {
		t.Errorf("the foreign stack is %s, want %s", got, types.StackStatusCreateComplete)
	}
}

// TestAWSAuth deploys with access: aws-auth, for a cluster without access entries. The role must be mapped in the ConfigMap aws-auth, and
// removed from it by destroy.
func TestAWSAuth(t *testing.T) {
	p := newFixture(t, awstest.Moto(t))
	module := clustertest.Name("auth")
	plan := p.plan(t, module, 1, map[string]any{"access": "aws-auth"})
	r := p.deploy(t, plan)
	if got := p.mapped(t); !strings.Contains(got, r.Outputs["StateMachineRoleArn"]) || !strings.Contains(got, module) {
		t.Errorf("aws-auth is %s, want a mapping of the role %s", got, r.Outputs["StateMachineRoleArn"])
	}
	if again := p.deploy(t, plan); again.Changed {
		t.Errorf("deploying again changed something:\n%s", p.log())
	}
	p.destroy(t, deploy.Removal{Stack: plan.Stack.Name})
	if got := p.mapped(t); strings.Contains(got, r.Outputs["StateMachineRoleArn"]) {
		t.Errorf("after destroy, aws-auth still has the role: %s", got)
	}
}

// mapped returns mapRoles of the ConfigMap aws-auth. All tests share it, so each test adds and removes only its own role.
func (p *fixture) mapped(t *testing.T) string {
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
