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

// The programs in place of GPT-J's: what trains writes a file to the storage, what infers reads it there.
const (
	trains = `import os, sys, job
path = os.path.join(job.run_directory(), "checkpoint")
os.makedirs(path, exist_ok=True)
with open(os.path.join(path, "weights"), "w") as file:
    file.write(" ".join(sys.argv[1:]))
job.write_output({"checkpoint": path})
`
	infers = `import os, sys, job
path = sys.argv[sys.argv.index("--checkpoint") + 1]
with open(os.path.join(path, "weights")) as file:
    job.write_output({"trained": file.read(), "prompt": sys.argv[sys.argv.index("--prompt") + 1]})
`
)

// TestPublishedWorkload deploys the published module's workload as its module does, and has our engine run the very
// definition that CloudFormation got: as the state machine's role, by EKS' tokens, as the user that the template's access
// entry makes of it, with what the Role in the cluster grants and no more. Only the programs are others, for a CPU. The
// published way is job; the others are the user's choice.
func TestPublishedWorkload(t *testing.T) {
	p := newPlace(t, awstest.Moto(t))
	image := p.cluster.RayImage(t)
	claim := p.cluster.Claim(t, p.namespace)
	p.rays(t, image, claim.Name, "/ray/export", "ray/export")
	for _, mode := range []string{"job", "proxy", "rayjob"} {
		t.Run(mode, func(t *testing.T) {
			if mode != "job" && os.Getenv("RAYORCH_TEST_KUBERNETES") != "all" {
				t.Skip("SKIPPED: RAYORCH_TEST_KUBERNETES=all runs it")
			}
			p.published(t, image, claim.Name, mode)
		})
	}
}

// published deploys the workload by one way of submitting, runs it, and takes it away again.
func (p *place) published(t *testing.T, image, claim, mode string) {
	t.Helper()
	m := newModule(t, p, "SEEDFARMER_PARAMETER_PIPELINE="+workload(t), "SEEDFARMER_PARAMETER_PVC_NAME="+claim,
		"SEEDFARMER_PARAMETER_DRA_EXPORT_PATH=/ray/export/", "SEEDFARMER_PARAMETER_STEP_FUNCTION_TIMEOUT=60",
		"SEEDFARMER_PARAMETER_SUBMIT="+mode, "SEEDFARMER_PARAMETER_IMAGE="+image, "SEEDFARMER_PARAMETER_JOB_IMAGE="+image)
	if out, err := m.phases(t, "deploy"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p.letIn(t, seedModule)
	x := p.run(t, m.metadata(t)["StateMachineArn"], seedModule, `{"gpus": 0, "workers": 1, "prompt": "It's $HOME"}`)
	if x.Status != stepfn.Succeeded || !strings.Contains(string(x.Output), `"prompt":"It's $HOME"`) || !strings.Contains(string(x.Output), "--workers 1") {
		t.Errorf("%s: %s %s\n%s", x.Status, x.Error, x.Cause, x.Output)
	}
	if out, err := m.phases(t, "destroy"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	clustertest.Until(clustertest.Context(t), t, "the end of all jobs", func() error {
		res, err := p.cluster.Do(t.Context(), kube.Request{Path: kube.JobsPath(p.namespace)})
		if err == nil && strings.Contains(string(res.Body), "rayorch.dev/execution") {
			err = fmt.Errorf("there are %s", res.Body)
		}
		return err
	})
}

// workload is the published pipeline with programs for a CPU, and without packages that no registry gives a test.
func workload(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	data, err := os.ReadFile("../../examples/gptj/published.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?m)^      runtimeEnv:\n(?:        .*\n)+`).ReplaceAllString(string(data), "")
	for name, s := range map[string]string{"pipeline.yaml": text, "train.py": trains, "infer.py": infers} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	copyFile(t, filepath.Join(dir, "job.py"), "../../examples/gptj/job.py")
	return filepath.Join(dir, "pipeline.yaml")
}

// rays starts the Ray that the published module expects: its head at kuberay-head-svc, the claim mounted, as the published
// ray-cluster module mounts it or as a pipeline says, and a node that GPU pods may go to.
func (p *place) rays(t *testing.T, image, claim, path, subPath string) {
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

// letIn does what EKS does with the template's access entry.
func (p *place) letIn(t *testing.T, module string) {
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

func role(module string) string { return "p-d-" + module + "-states-" + awstest.Region }

// run has our engine run a state machine's definition as AWS has it.
func (p *place) run(t *testing.T, arn, module, input string) engine.Execution {
	t.Helper()
	m := p.machine(t, arn, module)
	e, end := p.engine(t, m)
	defer end()
	return finish(t, e, begin(t, e, m, input))
}

// machine is a state machine as AWS has it.
func (p *place) machine(t *testing.T, arn, module string) *sfn.DescribeStateMachineOutput {
	t.Helper()
	m, err := p.sfn.DescribeStateMachine(t.Context(), &sfn.DescribeStateMachineInput{StateMachineArn: &arn})
	if err != nil {
		t.Fatal(err)
	}
	if aws.ToString(m.RoleArn) != "arn:aws:iam::"+p.e.Account+":role/"+role(module) {
		t.Errorf("the machine's role is %s", aws.ToString(m.RoleArn))
	}
	return m
}

// engine is one of ours that acts in the cluster as a machine's role.
func (p *place) engine(t *testing.T, m *sfn.DescribeStateMachineOutput) (e *engine.Engine, end func()) {
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

// begin starts an execution of a machine.
func begin(t *testing.T, e *engine.Engine, m *sfn.DescribeStateMachineOutput, input string) engine.Execution {
	t.Helper()
	x, err := e.Start(t.Context(), engine.StartRequest{MachineARN: aws.ToString(m.StateMachineArn), MachineName: "m",
		Definition: []byte(aws.ToString(m.Definition)), Input: []byte(input)})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// finish waits for an execution's end.
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
			err = errors.New("it runs")
		}
		return err
	})
	return x
}

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
