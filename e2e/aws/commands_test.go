package aws_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/rayorch/rayorch/e2e/awstest"
	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/e2e/command"
	"github.com/rayorch/rayorch/internal/aws/deploy"
	"github.com/rayorch/rayorch/internal/backend/kube"
)

// serve starts a rayorch server as a substitute for Step Functions, for actions that no emulator has, and returns its URL. Like AWS, the
// server requires that every request is signed with the key of the tests.
func serve(t *testing.T) (url string) {
	t.Helper()
	p := command.New(t, nil)
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("AKIATEST:"+awstest.Secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(p.Binary, "serve", "--listen", "127.0.0.1:0", "--access-key", key)
	cmd.Dir, cmd.Env = p.Dir, p.Env
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(line, "http://")
	if !found {
		t.Fatalf("the server printed %q, want its URL", line)
	}
	return "http://" + strings.TrimSpace(rest)
}

// commands returns a sandbox whose commands use the emulator, with the additional environment variables in more.
func commands(t *testing.T, e *awstest.Emulator, more ...string) *command.Sandbox {
	t.Helper()
	c := command.New(t, nil)
	c.Env = append(append(c.Env, e.Env()...), append(more, "RAYORCH_AWS_PAUSE=50ms")...)
	return c
}

// ended starts an execution with a last state that makes it end with the status want, and returns its ARN.
func ended(t *testing.T, client *sfn.Client, name, state string, want types.ExecutionStatus) string {
	t.Helper()
	made, err := client.CreateStateMachine(t.Context(), &sfn.CreateStateMachineInput{Name: &name, RoleArn: aws.String("arn:aws:iam::123456789012:role/r"),
		Definition: aws.String(`{"StartAt": "First", "States": {"First": {"Type": "Pass", "Next": "Last"}, "Last": ` + state + `}}`)})
	if err != nil {
		t.Fatal(err)
	}
	x, err := client.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: made.StateMachineArn})
	if err != nil {
		t.Fatal(err)
	}
	clustertest.Until(clustertest.Context(t), t, name+" "+string(want), func() error {
		got, err := client.DescribeExecution(context.Background(), &sfn.DescribeExecutionInput{ExecutionArn: x.ExecutionArn})
		if err == nil && got.Status != want {
			err = fmt.Errorf("the status is %s", got.Status)
		}
		return err
	})
	return *x.ExecutionArn
}

// TestRedrive runs rayorch redrive --aws with rayorch serve, the only server in the tests that has RedriveExecution. It shows that the
// request, its signature and its errors conform to the API, but proves nothing about AWS itself.
func TestRedrive(t *testing.T) {
	e := awstest.Moto(t)
	url := "AWS_ENDPOINT_URL_SFN=" + serve(t)
	client := sfn.NewFromConfig(e.Config(t, url, "AWS_REGION=us-east-1"))
	failed := ended(t, client, "fails", `{"Type": "Fail", "Error": "Ray.JobFailed"}`, types.ExecutionStatusFailed)
	succeeded := ended(t, client, "works", `{"Type": "Succeed"}`, types.ExecutionStatusSucceeded)

	c := commands(t, e, url, "AWS_REGION=us-east-1")
	if res := c.Run(t.Context(), t, "redrive", failed, "--aws"); res.Code != 3 || !strings.Contains(res.Stdout+res.Stderr, "Ray.JobFailed") {
		t.Errorf("redrive: got %+v, want exit code 3 and Ray.JobFailed", res)
	}
	x, err := client.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: &failed})
	if err != nil || aws.ToInt32(x.RedriveCount) != 1 {
		t.Errorf("the execution was redriven %d times, want once: %v", aws.ToInt32(x.RedriveCount), err)
	}
	for _, rejected := range []struct{ arn, want, secret string }{
		{succeeded, "ExecutionNotRedrivable", awstest.Secret},
		{failed + "x", "ExecutionDoesNotExist", awstest.Secret},
		{failed, "Signature", "another"},
	} {
		c := commands(t, e, url, "AWS_REGION=us-east-1", "AWS_SECRET_ACCESS_KEY="+rejected.secret)
		if res := c.Run(t.Context(), t, "redrive", rejected.arn, "--aws"); res.Code != 1 || !strings.Contains(res.Stderr, rejected.want) {
			t.Errorf("redrive %s: got %+v, want exit code 1 and %s", rejected.arn, res, rejected.want)
		}
	}
}

const mine = `version: 1
name: mine
params:
  text: {type: string, default: hello}
steps:
  - name: say
    job: {shell: "echo ${{ params.text }}", image: busybox}
targets:
  cloud: {kind: aws}
`

// TestRunDeployed runs a deployed pipeline, with the target of a pipeline file and with the name of a stack, and watches it until its end.
func TestRunDeployed(t *testing.T) {
	e := awstest.LocalStack(t)
	p := newFixture(t, e)
	module := clustertest.Name("run")
	plan := p.plan(t, module, 1, nil)
	p.deploy(t, plan)
	t.Cleanup(func() { _ = p.Remove(context.Background(), deploy.Removal{Stack: plan.Stack.Name, StopRuns: true}) })
	c := commands(t, e)
	c.Write(t, "pipeline.yaml", mine)

	res := c.Run(t.Context(), t, "run", "--target", "cloud", "--stack-name", plan.Stack.Name, "--param", "text=bye", "--name", "one", "--output", "json")
	var sum struct{ Status, Name string }
	if err := json.Unmarshal([]byte(res.Stdout), &sum); err != nil || res.Code != 0 || sum.Status != "SUCCEEDED" || sum.Name != "one" {
		t.Fatalf("run: got %+v, want the run one SUCCEEDED: %v", res, err)
	}
	arn := strings.Replace(p.arn(plan), ":stateMachine:", ":execution:", 1) + ":one"
	x, err := p.sfn.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: &arn})
	if err != nil || aws.ToString(x.Input) != `{"text":"bye"}` {
		t.Errorf("the input is %s, want {\"text\":\"bye\"}: %v", aws.ToString(x.Input), err)
	}
	if res := c.Run(t.Context(), t, "run", "--aws", "--stack-name", plan.Stack.Name, "--param", "txt=bye"); res.Code != 2 || !strings.Contains(res.Stderr, "txt") {
		t.Errorf("with an unknown parameter: got %+v, want exit code 2 and the name of the parameter", res)
	}
	if res := c.Run(t.Context(), t, "run", "--target", "cloud"); res.Code != 1 || !strings.Contains(res.Stderr, "stack rayorch-mine is not deployed") {
		t.Errorf("without a deployment: got %+v, want exit code 1 and \"not deployed\"", res)
	}
}

// arn returns the ARN of a plan's state machine.
func (p *fixture) arn(plan deploy.Plan) string {
	return "arn:aws:states:" + awstest.Region + ":" + p.e.Account + ":stateMachine:" + plan.Stack.Record.Machine
}

// TestDashboard forwards a port to the service of Ray's head as the admin role, through the fake EKS in front of the real cluster. A web
// server replaces Ray, because the port-forward does not depend on the data.
func TestDashboard(t *testing.T) {
	e := awstest.Moto(t)
	p := newFixture(t, e)
	plan := p.plan(t, clustertest.Name("dash"), 1, nil)
	p.deploy(t, plan)
	p.head(t, "kuberay-head-svc")
	c := commands(t, e, "AWS_ENDPOINT_URL_EKS="+p.eks.URL)
	p.doctor(t, c, plan)
	cmd := exec.Command(c.Binary, "dashboard", "--aws", "--stack-name", plan.Stack.Name, "--port", "0", "--output", "json", "--no-browser")
	cmd.Dir, cmd.Env, cmd.Stderr = c.Dir, c.Env, os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Signal(syscall.SIGINT); _ = cmd.Wait() }()
	var printed struct{ URL, Namespace, Service string }
	if err := json.NewDecoder(out).Decode(&printed); err != nil {
		t.Fatal(err)
	}
	if printed.Namespace != p.namespace || printed.Service != "kuberay-head-svc" || !strings.HasPrefix(printed.URL, "http://127.0.0.1:") {
		t.Errorf("dashboard printed %+v, want a loopback URL for kuberay-head-svc in %s", printed, p.namespace)
	}
	clustertest.Until(clustertest.Context(t), t, "the page", func() error {
		res, err := http.Get(printed.URL + "/hello.txt")
		if err != nil {
			return err
		}
		defer func() { _ = res.Body.Close() }()
		if text, _ := io.ReadAll(res.Body); !strings.Contains(string(text), "hello from the head") {
			return fmt.Errorf("got %s: %s", res.Status, text)
		}
		return nil
	})
}

// doctor checks that rayorch doctor names the service account that Ray's pods need to access the bucket, because they run as default.
func (p *fixture) doctor(t *testing.T, c *command.Sandbox, plan deploy.Plan) {
	t.Helper()
	res := c.Run(t.Context(), t, "doctor", "--aws", "--stack-name", plan.Stack.Name)
	for _, want := range []string{"run as default", "serviceAccountName: " + plan.Stack.Record.User, ":role/" + plan.Stack.Record.PodRole} {
		if !strings.Contains(res.Stdout+res.Stderr, want) {
			t.Errorf("doctor: got %+v, want %q in the output", res, want)
		}
	}
}

// head starts a web server behind a service in the namespace.
func (p *fixture) head(t *testing.T, service string) {
	t.Helper()
	labels := map[string]any{"app": "head", "ray.io/cluster": "ray"} // as on KubeRay's pods
	p.cluster.Apply(t,
		clustertest.Object("v1", "Pod", p.namespace, "head", kube.Object{"metadata": map[string]any{"name": "head", "namespace": p.namespace, "labels": labels},
			"spec": map[string]any{"containers": []any{map[string]any{"name": "head", "image": p.cluster.RayImage(t), "imagePullPolicy": "IfNotPresent",
				"command": []any{"sh", "-c", "cd /tmp && echo hello from the head >hello.txt && exec python -m http.server 8265"}}}}}),
		clustertest.Object("v1", "Service", p.namespace, service, kube.Object{"spec": map[string]any{"selector": labels, "ports": []any{map[string]any{"port": 8265}}}}))
	clustertest.Until(clustertest.Context(t), t, "the head's pod", func() error {
		if got := kube.Field(p.object(t, "v1", "Pod", "head"), "status", "phase"); got != "Running" {
			return fmt.Errorf("the phase is %v", got)
		}
		return nil
	})
}
