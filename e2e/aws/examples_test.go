package aws_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/e2e/awstest"
	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/internal/aws/deploy"
	"github.com/rayorch/rayorch/internal/aws/stack"
	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// TestShakespeare deploys the example in each submission mode, and runs exactly the definitions that CloudFormation got with our engine, on
// a real Ray: that of the pipeline, and that of the cleanup after an interrupted run.
func TestShakespeare(t *testing.T) {
	p := newFixture(t, awstest.Moto(t))
	image := p.cluster.RayImage(t)
	claim := p.cluster.Claim(t, p.namespace)
	p.rays(t, image, claim.Name, "/mnt/rayorch", "")
	for _, mode := range []string{"job", "proxy", "rayjob"} {
		t.Run(mode, func(t *testing.T) {
			if mode != "proxy" && os.Getenv("RAYORCH_TEST_KUBERNETES") != "all" {
				t.Skip("SKIPPED: runs only with RAYORCH_TEST_KUBERNETES=all (make test-kubernetes)")
			}
			module := clustertest.Name(mode)
			plan, _ := p.example(t, module, mode, map[string]any{"pipeline": "../../examples/shakespeare/pipeline.yaml",
				"image": image, "pvc_name": claim.Name})
			made := p.deploy(t, plan)
			p.grantAccess(t, module)
			x := p.run(t, made.Outputs["StateMachineArn"], module, `{"steps": 20, "batch": 256, "workers": 1, "length": 20, "prompts": "HAMLET.|It's $(me)"}`)
			checkShakespeare(t, x)
			p.interruptAndCleanUp(t, made, module)
			p.destroy(t, deploy.Removal{Stack: plan.Stack.Name, StopRuns: true})
		})
	}
}

// checkShakespeare checks that the example succeeded, and that inference used the checkpoint of the training.
func checkShakespeare(t *testing.T, x engine.Execution) {
	t.Helper()
	var out struct {
		Train struct {
			Checkpoint string
			Steps      int
		}
		Infer struct {
			Checkpoint string
			Texts      []struct{ Prompt string }
		}
	}
	if x.Status != stepfn.Succeeded || json.Unmarshal(x.Output, &out) != nil {
		t.Fatalf("status %s, error %s, cause %s, want SUCCEEDED\n%s", x.Status, x.Error, x.Cause, x.Output)
	}
	if out.Train.Steps != 20 || out.Infer.Checkpoint != out.Train.Checkpoint || len(out.Infer.Texts) != 2 || out.Infer.Texts[1].Prompt != "It's $(me)" {
		t.Errorf("the output is %s, want 20 steps, the same checkpoint, and two texts", x.Output)
	}
}

// TestShortenedTemplate deploys an example whose template is shortened to fit into a request. The deployed state machines must have the
// definitions that were compiled.
func TestShortenedTemplate(t *testing.T) {
	awstest.Each(t, func(t *testing.T, e *awstest.Emulator) {
		p := newFixture(t, e)
		plan, compiled := p.example(t, clustertest.Name("short"), "rayjob", map[string]any{"pipeline": "../../examples/shakespeare/pipeline.yaml"})
		if !strings.Contains(string(plan.Stack.Template), "${S1}") {
			t.Error("the template is not shortened")
		}
		made := p.deploy(t, plan)
		for output, want := range map[string][]byte{"StateMachineArn": compiled.Definition, "CleanUpStateMachineArn": compiled.Cleanup} {
			m, err := p.sfn.DescribeStateMachine(t.Context(), &sfn.DescribeStateMachineInput{StateMachineArn: aws.String(made.Outputs[output])})
			if err != nil {
				t.Fatal(err)
			}
			var wanted, got any
			if json.Unmarshal(want, &wanted) != nil || json.Unmarshal([]byte(aws.ToString(m.Definition)), &got) != nil {
				t.Fatalf("%s: the definition is not valid JSON: %.200s", output, aws.ToString(m.Definition))
			}
			if diff := cmp.Diff(wanted, got); diff != "" {
				t.Errorf("%s: definition (-want +got):\n%s", output, diff)
			}
		}
		p.destroy(t, deploy.Removal{Stack: plan.Stack.Name, StopRuns: true})
	})
}

// example returns the deployment of an example, and the compiled pipeline.
func (p *fixture) example(t *testing.T, module, mode string, more map[string]any) (deploy.Plan, *compile.Result) {
	t.Helper()
	more["submit"] = mode
	params, err := stack.Read(stack.Source{Name: stack.Param.Env, Values: p.values(more)})
	if err != nil {
		t.Fatal(err)
	}
	file, err := filepath.Abs(params.Pipeline)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	source, err := pipeline.Decode(file, data)
	if err != nil {
		t.Fatal(err)
	}
	names := stack.NewNames(stack.Identity{Project: "p", Deployment: "d", Module: module}, params.Machine)
	made, o := stack.Prepare(source, "aws", params, names)
	o.BaseDir = filepath.Dir(file)
	o.Pack = func(dir string, excludes []string) ([]byte, error) {
		z, err := ray.Pack(t.Context(), dir, excludes)
		if err != nil {
			return nil, err
		}
		defer z.Close()
		return z.Bytes()
	}
	r, err := compile.Compile(made, o)
	if err != nil {
		t.Fatal(err)
	}
	if problems := stack.Check(r); len(problems) > 0 {
		t.Error(problems)
	}
	s, err := stack.Build(stack.Input{Params: params, Names: names, Pipeline: source.Name, Compiled: r})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Template) > stepfn.MaxInlineTemplate {
		t.Errorf("the template has %d bytes, want at most %d", len(s.Template), stepfn.MaxInlineTemplate)
	}
	return deploy.Plan{Stack: s, Caller: p.caller}, r
}

// interruptAndCleanUp closes the engine while a job runs. As after an abort on AWS, no state of the execution runs, but its jobs continue.
// Then it runs the cleanup machine with the event that EventBridge sends after an abort, according to the documentation. The cleanup
// machine must stop all jobs.
func (p *fixture) interruptAndCleanUp(t *testing.T, made deploy.Result, module string) {
	t.Helper()
	m := p.machine(t, made.Outputs["StateMachineArn"], module)
	e, end := p.engine(t, m)
	x := begin(t, e, m, `{"steps": 100000, "workers": 1}`)
	ctx := clustertest.Context(t)
	clustertest.Until(ctx, t, "the training", func() error {
		jobs, err := p.rayJobs(ctx)
		if err == nil && !slices.Contains(jobs, "RUNNING") {
			err = fmt.Errorf("the statuses of the jobs on Ray are %v", jobs)
		}
		return err
	})
	end()
	event := p.event(t, x.ARN, made.Outputs["StateMachineArn"], "ABORTED")
	if x := p.run(t, made.Outputs["CleanUpStateMachineArn"], module, event); x.Status != stepfn.Succeeded {
		t.Errorf("the cleanup: status %s, error %s, cause %s, want SUCCEEDED", x.Status, x.Error, x.Cause)
	}
	clustertest.Until(ctx, t, "the end of all jobs", func() error {
		onRay, err := p.rayJobs(ctx)
		jobs, rayJobs := p.count(t, kube.JobsPath(p.namespace), x), p.count(t, "/apis/ray.io/v1/namespaces/"+p.namespace+"/rayjobs", x)
		if err == nil && (jobs+rayJobs > 0 || slices.Contains(onRay, "RUNNING") || slices.Contains(onRay, "PENDING")) {
			err = fmt.Errorf("got %d Jobs, %d RayJobs, and on Ray jobs with the statuses %v", jobs, rayJobs, onRay)
		}
		return err
	})
}

// event returns an event "Step Functions Execution Status Change" of EventBridge.
func (p *fixture) event(t *testing.T, execution, machine, status string) string {
	t.Helper()
	at := time.Now().UTC()
	data, err := json.Marshal(map[string]any{
		"version": "0", "id": "315c1398-40ff-a850-213b-158f73e60175", "detail-type": "Step Functions Execution Status Change",
		"source": "aws.states", "account": p.e.Account, "time": at.Format(time.RFC3339), "region": awstest.Region, "resources": []string{execution},
		"detail": map[string]any{
			"executionArn": execution, "stateMachineArn": machine, "name": execution[strings.LastIndex(execution, ":")+1:], "status": status,
			"startDate": at.UnixMilli() - 60_000, "stopDate": at.UnixMilli(), "input": "{}", "output": nil,
			"inputDetails": map[string]any{"included": true}, "outputDetails": nil, "stateMachineVersionArn": nil, "stateMachineAliasArn": nil,
			"redriveCount": 0, "redriveDate": nil, "redriveStatus": "REDRIVABLE", "redriveStatusReason": nil, "error": nil, "cause": nil,
		}})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// rayJobs returns the statuses of all jobs in Ray.
func (p *fixture) rayJobs(ctx context.Context) ([]string, error) {
	res, err := p.cluster.Do(ctx, kube.Request{Path: kube.ObjectPath("v1", p.namespace, "services", "kuberay-head-svc:8265") + "/proxy/api/jobs/"})
	if err != nil {
		return nil, err
	}
	var jobs []struct{ Status string }
	err = json.Unmarshal(res.Body, &jobs)
	out := make([]string, len(jobs))
	for i, job := range jobs {
		out[i] = job.Status
	}
	return out, err
}

// count returns the number of objects of an execution.
func (p *fixture) count(t *testing.T, path string, x engine.Execution) int {
	t.Helper()
	res, err := p.cluster.Do(clustertest.Context(t), kube.Request{Path: path, Query: url.Values{"labelSelector": {"rayorch.dev/execution=" + executionLabel(x)}}})
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Items []any }
	if err := json.Unmarshal(res.Body, &list); err != nil {
		t.Fatal(err)
	}
	return len(list.Items)
}

// executionLabel returns the value of the label rayorch.dev/execution on all objects of an execution.
func executionLabel(x engine.Execution) string {
	sum := sha256.Sum256([]byte(x.ARN))
	return "r" + hex.EncodeToString(sum[:])[:12]
}
