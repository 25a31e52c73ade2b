package aws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/rayorch/rayorch/e2e/awstest"
	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/internal/aws/ekstoken"
	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/ekstask"
)

// These programs replace those of the GPT-J example: trainProgram writes a file to the storage, and inferProgram reads it.
const (
	trainProgram = `import os, sys, job
path = os.path.join(job.run_directory(), "checkpoint")
os.makedirs(path, exist_ok=True)
with open(os.path.join(path, "weights"), "w") as file:
    file.write(" ".join(sys.argv[1:]))
job.write_output({"checkpoint": path})
`
	inferProgram = `import os, sys, job
path = sys.argv[sys.argv.index("--checkpoint") + 1]
with open(os.path.join(path, "weights")) as file:
    job.write_output({"trained": file.read(), "prompt": sys.argv[sys.argv.index("--prompt") + 1]})
`
)

// TestPublishedWorkload deploys the published module's workload with our module, and runs exactly the definition that CloudFormation got
// with our engine: as the role of the state machine, with EKS tokens, as the user in the template's access entry, and with only the
// permissions of the Role in the cluster. Only the programs differ, because they must run on a CPU. The published module submits like mode
// job; the other modes are alternatives for users.
func TestPublishedWorkload(t *testing.T) {
	p := newFixture(t, awstest.Moto(t))
	image := p.cluster.RayImage(t)
	claim := p.cluster.Claim(t, p.namespace)
	p.rays(t, image, claim.Name, "/ray/export", "ray/export")
	for _, mode := range []string{"job", "proxy", "rayjob"} {
		t.Run(mode, func(t *testing.T) {
			if mode != "job" && os.Getenv("RAYORCH_TEST_KUBERNETES") != "all" {
				t.Skip("SKIPPED: runs only with RAYORCH_TEST_KUBERNETES=all (make test-kubernetes)")
			}
			p.published(t, image, claim.Name, mode)
		})
	}
}

// published deploys the workload in a submission mode, runs it, and destroys the deployment.
func (p *fixture) published(t *testing.T, image, claim, mode string) {
	t.Helper()
	m := newModule(t, p, "SEEDFARMER_PARAMETER_PIPELINE="+workload(t), "SEEDFARMER_PARAMETER_PVC_NAME="+claim,
		"SEEDFARMER_PARAMETER_DRA_EXPORT_PATH=/ray/export/", "SEEDFARMER_PARAMETER_STEP_FUNCTION_TIMEOUT=60",
		"SEEDFARMER_PARAMETER_SUBMIT="+mode, "SEEDFARMER_PARAMETER_IMAGE="+image, "SEEDFARMER_PARAMETER_JOB_IMAGE="+image)
	if out, err := m.phases(t, "deploy"); err != nil {
		t.Fatalf("the module's deploy: %v\n%s", err, out)
	}
	p.grantAccess(t, seedModule)
	x := p.run(t, m.metadata(t)["StateMachineArn"], seedModule, `{"gpus": 0, "workers": 1, "prompt": "It's $HOME"}`)
	if x.Status != stepfn.Succeeded || !strings.Contains(string(x.Output), `"prompt":"It's $HOME"`) || !strings.Contains(string(x.Output), "--workers 1") {
		t.Errorf("status %s, error %s, cause %s, want SUCCEEDED with the prompt and the arguments in the output\n%s", x.Status, x.Error, x.Cause, x.Output)
	}
	if out, err := m.phases(t, "destroy"); err != nil {
		t.Errorf("the module's destroy: %v\n%s", err, out)
	}
	clustertest.Until(clustertest.Context(t), t, "the end of all jobs", func() error {
		res, err := p.cluster.Do(t.Context(), kube.Request{Path: kube.JobsPath(p.namespace)})
		if err == nil && strings.Contains(string(res.Body), "rayorch.dev/execution") {
			err = fmt.Errorf("got %s", res.Body)
		}
		return err
	})
}

// workload writes the published pipeline with programs for a CPU, and without runtimeEnv, because tests cannot download packages.
// It returns the path of the pipeline file.
func workload(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	data, err := os.ReadFile("../../examples/gptj/published.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?m)^      runtimeEnv:\n(?:        .*\n)+`).ReplaceAllString(string(data), "")
	for name, s := range map[string]string{"pipeline.yaml": text, "train.py": trainProgram, "infer.py": inferProgram} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	copyFile(t, filepath.Join(dir, "job.py"), "../../examples/gptj/job.py")
	return filepath.Join(dir, "pipeline.yaml")
}

// rays starts the Ray that the published module expects: the head's service is kuberay-head-svc, and the claim is mounted at the path, as
// the published ray-cluster module or the pipeline needs it. It also adds the label of GPU nodes to the node.
func (p *fixture) rays(t *testing.T, image, claim, path, subPath string) {
	t.Helper()
	container := map[string]any{"name": "ray", "image": image, "resources": map[string]any{"requests": map[string]any{"cpu": "100m", "memory": "512Mi"}},
		"volumeMounts": []any{map[string]any{"name": "data", "mountPath": path, "subPath": subPath}}}
	pod := map[string]any{"containers": []any{container}, "volumes": []any{map[string]any{"name": "data", "persistentVolumeClaim": map[string]any{"claimName": claim}}}}
	params := map[string]any{"num-cpus": "2", "object-store-memory": "100000000", "dashboard-host": "0.0.0.0"}
	p.cluster.Apply(t, clustertest.Object("ray.io/v1", "RayCluster", p.namespace, "kuberay", kube.Object{"spec": map[string]any{
		"rayVersion": clustertest.RayVersion, "headGroupSpec": map[string]any{"rayStartParams": params, "template": map[string]any{"spec": pod}}}}))
	ctx := clustertest.Context(t)
	clustertest.Until(ctx, t, "Ray", func() error {
		_, err := p.cluster.Do(ctx, kube.Request{Path: kube.ObjectPath("v1", p.namespace, "services", "http:kuberay-head-svc:8265") + "/proxy/api/version"})
		return err
	})
	res, err := p.cluster.Do(ctx, kube.Request{Path: "/api/v1/nodes"})
	if err != nil {
		t.Fatal(err)
	}
	var nodes struct{ Items []kube.Object }
	if err := json.Unmarshal(res.Body, &nodes); err != nil || len(nodes.Items) == 0 {
		t.Fatal(err)
	}
	label := kube.Request{Method: "PATCH", Path: "/api/v1/nodes/" + kube.Name(nodes.Items[0]), ContentType: "application/merge-patch+json",
		Body: []byte(`{"metadata": {"labels": {"usage": "gpu"}}}`)}
	if _, err := p.cluster.Do(ctx, label); err != nil {
		t.Fatal(err)
	}
}

// grantAccess adds the access entry of the template to the fake EKS, as CloudFormation does on AWS.
func (p *fixture) grantAccess(t *testing.T, module string) {
	t.Helper()
	got, err := p.cfn.GetTemplate(t.Context(), &cloudformation.GetTemplateInput{StackName: aws.String("p-d-" + module)})
	if err != nil {
		t.Fatal(err)
	}
	var template struct {
		Resources map[string]struct {
			Properties struct {
				Username         string
				KubernetesGroups []string
			}
		}
	}
	if err := json.Unmarshal([]byte(aws.ToString(got.TemplateBody)), &template); err != nil {
		t.Fatal(err)
	}
	entry := template.Resources["AccessEntry"].Properties
	p.eks.Grant("arn:aws:sts::"+p.e.Account+":assumed-role/"+role(module), awstest.Entry{User: entry.Username, Groups: entry.KubernetesGroups})
}

// role returns the name of the state machine's role in a deployment of the module.
func role(module string) string { return "p-d-" + module + "-states-" + awstest.Region }

// run runs the definition of a deployed state machine with our engine, and returns the execution after its end.
func (p *fixture) run(t *testing.T, arn, module, input string) engine.Execution {
	t.Helper()
	m := p.machine(t, arn, module)
	e, end := p.engine(t, m)
	defer end()
	return finish(t, e, begin(t, e, m, input))
}

// machine describes a deployed state machine.
func (p *fixture) machine(t *testing.T, arn, module string) *sfn.DescribeStateMachineOutput {
	t.Helper()
	m, err := p.sfn.DescribeStateMachine(t.Context(), &sfn.DescribeStateMachineInput{StateMachineArn: &arn})
	if err != nil {
		t.Fatal(err)
	}
	if aws.ToString(m.RoleArn) != "arn:aws:iam::"+p.e.Account+":role/"+role(module) {
		t.Errorf("the role of the state machine is %s, want %s", aws.ToString(m.RoleArn), role(module))
	}
	return m
}

// engine starts an engine that uses the cluster as the role of a state machine.
func (p *fixture) engine(t *testing.T, m *sfn.DescribeStateMachineOutput) (e *engine.Engine, end func()) {
	t.Helper()
	tokens := &ekstoken.Source{Region: awstest.Region, Cluster: p.eks.Name,
		Credentials: stscreds.NewAssumeRoleProvider(sts.NewFromConfig(p.e.Config(t)), aws.ToString(m.RoleArn))}
	runner := ekstask.New(ekstask.Config{Token: func(ctx context.Context, _, _ string) (string, error) { return tokens.Token(ctx) }})
	runners := map[string]task.Runner{}
	for _, prefix := range ekstask.Prefixes {
		runners[prefix] = runner
	}
	e, err := engine.Open(t.Context(), engine.Config{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler), Runners: runners,
		Machines: func(*store.Store) engine.Machines { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	return e, func() { runner.Close(); _ = e.Close() }
}

// begin starts an execution of a state machine.
func begin(t *testing.T, e *engine.Engine, m *sfn.DescribeStateMachineOutput, input string) engine.Execution {
	t.Helper()
	x, err := e.Start(t.Context(), engine.StartRequest{MachineARN: aws.ToString(m.StateMachineArn), MachineName: "m",
		Definition: []byte(aws.ToString(m.Definition)), Input: []byte(input)})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// finish waits for the end of an execution. If it did not succeed, it logs the history.
func finish(t *testing.T, e *engine.Engine, x engine.Execution) engine.Execution {
	t.Helper()
	defer func() {
		if x.Status != stepfn.Succeeded {
			dump(t, e, x.ARN)
		}
	}()
	clustertest.Until(clustertest.Context(t), t, "the end of the execution", func() error {
		now, err := e.Describe(x.ARN)
		if err == nil {
			x = now
		}
		if err == nil && x.Status == stepfn.Running {
			err = errors.New("the execution is RUNNING")
		}
		return err
	})
	return x
}

// dump writes the history of an execution to the log of the test.
func dump(t *testing.T, e *engine.Engine, arn string) {
	t.Helper()
	events, err := e.History(arn, engine.HistoryQuery{Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range events {
		if ev.Name != "" && !strings.HasSuffix(string(ev.Type), "Exited") || ev.Error != "" {
			t.Logf("%d %s %s %s %.600s", ev.ID, ev.Type, ev.Name, ev.Error, ev.Cause)
		}
	}
}
