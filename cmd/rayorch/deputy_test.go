package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/rayorch/rayorch/internal/api"
	"github.com/rayorch/rayorch/internal/api/client"
	"github.com/rayorch/rayorch/internal/backend/ray/raytest"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/catalog"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/policy"
)

// The tests in this file are about the confused deputy: a caller over the network must not be able to make the owner of a state directory
// use the owner's credentials, files and environment for the caller.

// thief is a foreign server that records the credentials that are sent to it.
type thief struct {
	*httptest.Server
	mu       sync.Mutex
	tokens   []string
	requests int
}

func newThief(t *testing.T) *thief {
	f := &thief{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.requests++
		f.tokens = append(append(f.tokens, r.Header.Values("Authorization")...), r.Header.Values("X-Ray-Authorization")...)
		http.Error(w, `{"kind": "Status", "status": "Failure", "code": 404}`, http.StatusNotFound)
	}))
	t.Cleanup(f.Close)
	return f
}

// seen returns what was recorded since the last call.
func (f *thief) seen() (requests int, tokens []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	requests, tokens = f.requests, f.tokens
	f.requests, f.tokens = 0, nil
	return requests, tokens
}

// deputy is an owner with credentials, and clients of its API over the network (tcp) and over its socket.
type deputy struct {
	own          *owner
	tcp, socket  *sfn.Client
	thief        *thief
	ray          *raytest.Fake
	dir, private string
}

// newDeputy starts an owner that has a Ray with a token, AWS credentials, a kubeconfig whose contexts point to the thief, a secret in an
// environment variable, and a private directory.
func newDeputy(t *testing.T, may policy.Policy) *deputy {
	t.Helper()
	d := &deputy{thief: newThief(t), ray: raytest.NewFake("the-token"), dir: t.TempDir(), private: t.TempDir()}
	t.Cleanup(d.ray.Close)
	for name, value := range map[string]string{
		"RAY_AUTH_TOKEN": "the-token", "AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1",
		"AWS_CONFIG_FILE": filepath.Join(d.private, "none"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(d.private, "none"),
		"HOME": d.private, "STOLEN": "a-secret", "KUBECONFIG": filepath.Join(d.private, "config"),
		"RAY_ADDRESS": "", "RAY_API_SERVER_ADDRESS": "", "KUBERNETES_SERVICE_HOST": "",
	} {
		t.Setenv(name, value)
	}
	d.write(t, "config", `{"kind": "Config", "current-context": "here", "clusters": [{"name": "c", "cluster": {"server": "`+d.thief.URL+`"}}],
		"users": [{"name": "u", "user": {"token": "kube-token"}}], "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}},
		{"name": "other", "context": {"cluster": "c", "user": "u"}}]}`)
	d.write(t, "requirements.txt", "a-secret\n")
	d.write(t, "module.py", "a-secret\n")
	a := testApp(d.dir, io.Discard)
	own, err := a.own(t.Context(), d.dir, ownerOptions{Resume: true, Run: true, Server: true, Ray: rayOptions{address: d.ray.URL}, Policy: may})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = own.close() })
	srv := httptest.NewServer(own.handler(api.Config{}))
	t.Cleanup(srv.Close)
	a.endpoint = srv.URL
	over, err := a.awsClient(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.own, d.tcp, d.socket = own, over.SFN, client.Local(own.addr).SFN
	return d
}

func (d *deputy) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(d.private, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func register(t *testing.T, by *sfn.Client, name, definition string) string {
	t.Helper()
	made, err := by.CreateStateMachine(t.Context(), &sfn.CreateStateMachineInput{
		Name: &name, Definition: &definition, RoleArn: aws.String(client.LocalRole), Publish: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return *made.StateMachineVersionArn
}

// end runs an execution until it ends.
func (d *deputy) end(t *testing.T, by *sfn.Client, machine, input string) engine.Execution {
	t.Helper()
	x, err := by.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: &machine, Input: &input})
	if err != nil {
		t.Fatal(err)
	}
	return d.wait(t, *x.ExecutionArn)
}

func (d *deputy) wait(t *testing.T, arn string) engine.Execution {
	t.Helper()
	for after := int64(0); ; {
		w, err := d.own.eng.Watch(t.Context(), arn, after)
		if err != nil {
			t.Fatal(err)
		}
		if after = w.LastEventID; w.Closed {
			x, err := d.own.eng.Describe(arn)
			if err != nil {
				t.Fatal(err)
			}
			return x
		}
	}
}

// refuses checks that an execution failed because it is not allowed to use something, that its cause names the flag that would allow it,
// and that the thief received nothing.
func (d *deputy) refuses(t *testing.T, x engine.Execution, flag string) {
	t.Helper()
	if x.Error != stepfn.StatesPermissions || !strings.Contains(x.Cause, flag) {
		t.Errorf("want %s with a cause that contains %s, got %s %s: %s", stepfn.StatesPermissions, flag, x.Status, x.Error, x.Cause)
	}
	if requests, tokens := d.thief.seen(); requests > 0 {
		t.Errorf("the thief received %d requests with the tokens %q", requests, tokens)
	}
}

// machine returns a definition with one task.
func machine(resource, arguments string) string {
	return fmt.Sprintf(`{"QueryLanguage": "JSONata", "StartAt": "T", "States": {"T": {"Type": "Task", "Resource": %q, "Arguments": %s, "End": true}}}`,
		resource, arguments)
}

const (
	submitJob = "arn:aws:states:::ray:submitJob.sync"
	stopJobs  = "arn:aws:states:::ray:stopJobs"
	eksCall   = "arn:aws:states:::eks:call"
	eksRun    = "arn:aws:states:::eks:runJob.sync"
	run       = "arn:aws:states:::process:run.sync"
)

// theft is a task that uses something that belongs to the owner, and the flag of serve that would allow it.
type theft struct{ name, resource, arguments, flag string }

func (d *deputy) thefts() []theft {
	job := func(more string) string { return `{"SubmissionId": "theft", "Entrypoint": "true", ` + more + `}` }
	in := func(name string) string { return filepath.Join(d.private, name) }
	return []theft{
		{"a Ray", submitJob, job(`"Address": "` + d.thief.URL + `"`), "--allow-ray " + d.thief.URL},
		{"a Ray to stop jobs on", stopJobs, `{"Address": "` + d.thief.URL + `", "Prefix": "x"}`, "--allow-ray " + d.thief.URL},
		{"any Ray here", submitJob, job(`"Address": "auto"`), "--allow-ray auto"},
		{"a GCS", submitJob, job(`"Address": "` + strings.TrimPrefix(d.thief.URL, "http://") + `"`), "--allow-ray"},
		{"an endpoint", eksCall, `{"ClusterName": "c", "Endpoint": "` + d.thief.URL + `", "CertificateAuthority": "", "Method": "GET", "Path": "/"}`,
			"--eks-cluster c=CONTEXT"},
		{"a plain endpoint", eksCall, `{"ClusterName": "c", "Endpoint": "http://thief.example", "CertificateAuthority": "", "Method": "GET", "Path": "/"}`,
			"not an https address"},
		{"a context", eksCall, `{"ClusterName": "other", "Method": "GET", "Path": "/api/v1/namespaces/x/secrets"}`, "--allow-context other"},
		{"the current context", eksCall, `{"Method": "GET", "Path": "/api/v1/namespaces/x/secrets"}`, "--allow-context here"},
		{"a context for a Job", eksRun, `{"ClusterName": "other", "Job": {}}`, "--allow-context other"},
		{"a variable for a job", submitJob, job(`"SecretEnv": {"X": {"Env": "STOLEN"}}`), "--allow-env STOLEN"},
		{"a variable for a process", run, `{"Id": "theft", "Shell": "true", "SecretEnv": {"X": {"Env": "STOLEN"}}}`, "--allow-env STOLEN"},
		{"inherited variables for a job", submitJob, job(`"InheritEnv": ["STOLEN"]`), "--allow-env STOLEN"},
		{"variables by a pattern", submitJob, job(`"InheritEnv": ["STO*"]`), "--allow-env STO*"},
		{"all variables", submitJob, job(`"InheritEnv": true`), "--allow-env *"},
		{"inherited variables for a process", run, `{"Id": "theft", "Shell": "true", "InheritEnv": ["STOLEN"]}`, "--allow-env STOLEN"},
		{"all variables for a process", run, `{"Id": "theft", "Shell": "true", "InheritEnv": true}`, "--allow-env *"},
		{"a directory", submitJob, job(`"WorkingDir": "` + d.private + `"`), "--allow-dir " + d.private},
		{"a directory of the environment", submitJob, job(`"RuntimeEnv": {"working_dir": "` + d.private + `"}`), "--allow-dir " + d.private},
		{"a module", submitJob, job(`"RuntimeEnv": {"py_modules": ["` + in("module.py") + `"]}`), "--allow-dir " + in("module.py")},
		{"a requirements file", submitJob, job(`"RuntimeEnv": {"pip": "` + in("requirements.txt") + `"}`), "--allow-dir " + in("requirements.txt")},
		{"a requirements file next to the working directory", submitJob, job(`"WorkingDir": "/nowhere", "RuntimeEnv": {"uv": "../` + in("requirements.txt") + `"}`), "--allow-dir " + in("requirements.txt")},
		{"a copy of a process's directory", run, `{"Id": "theft", "Shell": "true", "Dir": "` + d.private + `", "Snapshot": {}}`, "--allow-dir " + d.private},
		{"a process's directory", run, `{"Id": "theft", "Shell": "true", "Dir": "` + d.private + `"}`, "--allow-dir " + d.private},
	}
}

// TestNetworkCannotUseTheOwner uses everything that a task can name, in definitions from the network, and in inputs from the network for
// definitions of the owner.
func TestNetworkCannotUseTheOwner(t *testing.T) {
	d := newDeputy(t, policy.Policy{})
	computed := map[string]string{}
	for _, resource := range []string{submitJob, stopJobs, eksCall, eksRun, run} {
		name := "computed-" + strings.Trim(strings.Map(letters, resource), "-")
		computed[resource] = register(t, d.socket, name, machine(resource, `"{% $states.input %}"`))
	}
	for i, c := range d.thefts() {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(c.name, "process's directory") { // allowed: a process of this definition could read it anyway
				arn := register(t, d.tcp, fmt.Sprint("theft-", i), machine(c.resource, c.arguments))
				d.refuses(t, d.end(t, d.tcp, arn, "{}"), c.flag)
				d.refuses(t, d.end(t, d.socket, arn, "{}"), c.flag) // also if the owner starts it
			}
			d.refuses(t, d.end(t, d.tcp, computed[c.resource], c.arguments), c.flag)
		})
	}
	if n := d.ray.Jobs(); n > 0 {
		t.Errorf("Ray has %d jobs, want none", n)
	}
	if kept, _ := filepath.Glob(filepath.Join(d.dir, "code", "*")); len(kept) > 0 {
		t.Errorf("directories were packed: %v", kept)
	}
}

func letters(r rune) rune {
	if r >= 'a' && r <= 'z' {
		return r
	}
	return '-'
}

// TestOwnerUsesWhatItNames is the control: the same tasks send the owner's credentials if the owner registered them.
func TestOwnerUsesWhatItNames(t *testing.T) {
	d := newDeputy(t, policy.Policy{})
	for i, c := range d.thefts() {
		if c.resource == run || c.flag == "not an https address" || strings.Contains(c.name, "here") || strings.Contains(c.name, "next to") {
			continue // it starts a process or a Ray, or fails for another reason
		}
		arn := register(t, d.socket, fmt.Sprint("own-", i), machine(c.resource, c.arguments))
		for how, by := range map[string]*sfn.Client{"socket": d.socket, "network": d.tcp} {
			if c.name == "the current context" && how == "network" {
				continue // the definition does not name the context
			}
			t.Run(c.name+" over the "+how, func(t *testing.T) {
				d.thief.seen()
				if x := d.end(t, by, arn, "{}"); x.Error == stepfn.StatesPermissions {
					t.Errorf("%s: %s", x.Error, x.Cause)
				}
				if _, tokens := d.thief.seen(); len(tokens) == 0 && strings.Contains(c.arguments, d.thief.URL) {
					t.Error("the thief received no token: the other tests would not detect one either")
				}
			})
		}
	}
}

// TestPolicyAllows allows each use with its flag.
func TestPolicyAllows(t *testing.T) {
	d := newDeputy(t, policy.Policy{})
	other := newThief(t)
	var o allowOptions
	o.decided = func() bool { return false }
	o.rays, o.contexts, o.variables, o.dirs = []string{other.URL + "/"}, []string{"other", "here"}, []string{"STOLEN", "*"}, []string{d.private}
	may, err := o.policy(false)
	if err != nil {
		t.Fatal(err)
	}
	private, url := d.private, d.thief.URL
	d = newDeputy(t, may)
	for i, c := range d.thefts() {
		if c.resource == run || strings.Contains(c.name, "endpoint") || strings.Contains(c.name, "next to") || strings.Contains(c.name, "here") || c.name == "a GCS" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			arguments := strings.NewReplacer(d.private, private, d.thief.URL, other.URL).Replace(c.arguments)
			x := d.end(t, d.tcp, register(t, d.tcp, fmt.Sprint("allowed-", i), machine(c.resource, arguments)), "{}")
			if x.Error == stepfn.StatesPermissions {
				t.Errorf("%s: %s", x.Error, x.Cause)
			}
		})
	}
	d.thief.seen() // the contexts point to it
	x := d.end(t, d.tcp, register(t, d.tcp, "not-this", machine(submitJob, `{"SubmissionId": "x", "Entrypoint": "true", "Address": "`+url+`"}`)), "{}")
	d.refuses(t, x, "--allow-ray")
}

// TestUpdateOverTheNetworkIsNotTheOwners updates a state machine of the owner over the network: the new definition is limited, the version
// that the owner published is not.
func TestUpdateOverTheNetworkIsNotTheOwners(t *testing.T) {
	d := newDeputy(t, policy.Policy{})
	definition := machine(eksCall, `{"ClusterName": "other", "Method": "GET", "Path": "/"}`)
	version := register(t, d.socket, "m", definition)
	update := func(by *sfn.Client, definition string) string {
		t.Helper()
		out, err := by.UpdateStateMachine(t.Context(), &sfn.UpdateStateMachineInput{
			StateMachineArn: aws.String(stepfn.Unqualified(version)), Definition: &definition, Publish: true})
		if err != nil {
			t.Fatal(err)
		}
		return *out.StateMachineVersionArn
	}
	theirs := update(d.tcp, machine(eksCall, `{"ClusterName": "other", "Method": "GET", "Path": "/other"}`))
	d.refuses(t, d.end(t, d.socket, stepfn.Unqualified(version), "{}"), "--allow-context other")
	d.refuses(t, d.end(t, d.tcp, theirs, "{}"), "--allow-context other")
	uses := func(arn string) {
		t.Helper()
		if x := d.end(t, d.socket, arn, "{}"); x.Error != "EKS.404" {
			t.Errorf("%s: %s: %s", arn, x.Error, x.Cause)
		}
		d.thief.seen()
	}
	uses(version)
	// A definition that the owner registered before is not limited if it comes over the network.
	update(d.tcp, definition)
	uses(stepfn.Unqualified(version))
	// A definition from the network is not limited anymore once the owner has registered it, even if it comes over the network again.
	socket := client.Local(d.own.addr)
	adopted := machine(eksCall, `{"ClusterName": "other", "Method": "GET", "Path": "/adopted"}`)
	d.refuses(t, d.end(t, d.socket, register(t, d.tcp, "adopted", adopted), "{}"), "--allow-context other")
	for range 2 {
		arn, err := socket.Register(t.Context(), client.Machine{Name: "adopted", Definition: adopted})
		if err != nil {
			t.Fatal(err)
		}
		uses(arn)
		register(t, d.tcp, "adopted", adopted)
	}
}

// TestStartedExecutionsInheritThePolicy: executions that an execution from the network starts are limited, too.
func TestStartedExecutionsInheritThePolicy(t *testing.T) {
	d := newDeputy(t, policy.Policy{})
	const flag = "--allow-context other"
	theft := `{"ClusterName": "other", "Method": "GET", "Path": "/"}`
	mine := stepfn.Unqualified(register(t, d.socket, "mine", machine(eksCall, `"{% $states.input %}"`)))
	nested := func(resource string) string {
		return machine(resource, `{"StateMachineArn": "`+mine+`", "Name": "{% $states.context.Execution.Name %}", "Input": `+theft+`}`)
	}
	child := func(parent engine.Execution) engine.Execution {
		t.Helper()
		return d.wait(t, "arn:aws:states:us-east-1:123456789012:execution:mine:"+parent.Name)
	}
	t.Run("nested", func(t *testing.T) {
		x := d.end(t, d.tcp, register(t, d.tcp, "nests", nested("arn:aws:states:::states:startExecution.sync:2")), "{}")
		d.refuses(t, child(x), flag)
	})
	t.Run("by the API", func(t *testing.T) {
		x := d.end(t, d.tcp, register(t, d.tcp, "calls", nested("arn:aws:states:::aws-sdk:sfn:startExecution")), "{}")
		d.refuses(t, child(x), flag)
	})
	t.Run("registered by the API", func(t *testing.T) {
		text, _ := json.Marshal(machine(eksCall, theft))
		arguments := `{"Name": "made", "RoleArn": "` + client.LocalRole + `", "Definition": ` + string(text) + `}`
		if x := d.end(t, d.tcp, register(t, d.tcp, "makes", machine("arn:aws:states:::aws-sdk:sfn:createStateMachine", arguments)), "{}"); x.Status != stepfn.Succeeded {
			t.Fatalf("%s: %s", x.Error, x.Cause)
		}
		d.refuses(t, d.end(t, d.socket, strings.Replace(mine, "mine", "made", 1), "{}"), flag)
	})
	t.Run("distributed Map", func(t *testing.T) {
		x := d.end(t, d.tcp, register(t, d.tcp, "maps", `{"QueryLanguage": "JSONata", "StartAt": "M", "States": {"M": {"Type": "Map", "End": true,
			"Items": [1], "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "T",
			"States": {"T": {"Type": "Task", "Resource": "`+eksCall+`", "Arguments": `+theft+`, "End": true}}}}}}`), "{}")
		if x.Error == "" {
			t.Error("the Map succeeded")
		}
		if requests, _ := d.thief.seen(); requests > 0 {
			t.Errorf("the thief received %d requests", requests)
		}
	})
	t.Run("redriven by the owner", func(t *testing.T) {
		x := d.end(t, d.tcp, register(t, d.tcp, "redriven", machine(eksCall, theft)), "{}")
		if _, err := d.socket.RedriveExecution(t.Context(), &sfn.RedriveExecutionInput{ExecutionArn: &x.ARN}); err != nil {
			t.Fatal(err)
		}
		d.refuses(t, d.wait(t, x.ARN), flag)
	})
	t.Run("tags", func(t *testing.T) {
		arn := register(t, d.tcp, "tagged", machine(eksCall, theft))
		_, err := d.tcp.TagResource(t.Context(), &sfn.TagResourceInput{ResourceArn: aws.String(stepfn.Unqualified(arn)),
			Tags: []types.Tag{{Key: aws.String(task.OriginLabel), Value: aws.String("")}, {Key: aws.String(task.OwnLabel), Value: aws.String(`["other"]`)}}})
		if err != nil {
			t.Fatal(err)
		}
		d.refuses(t, d.end(t, d.tcp, arn, "{}"), flag)
	})
	t.Run("cleanup", func(t *testing.T) {
		arn := register(t, d.socket, "stopped", `{"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 3600, "End": true}}}`)
		cleans := stepfn.Unqualified(register(t, d.socket, "cleans", machine(eksCall, `"{% $parse($states.input.detail.input) %}"`)))
		_, err := d.socket.TagResource(t.Context(), &sfn.TagResourceInput{ResourceArn: aws.String(stepfn.Unqualified(arn)),
			Tags: []types.Tag{{Key: aws.String(stepfn.CleanupTag), Value: &cleans}}})
		if err != nil {
			t.Fatal(err)
		}
		x, err := d.tcp.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: &arn, Input: &theft})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.tcp.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: x.ExecutionArn}); err != nil {
			t.Fatal(err)
		}
		d.refuses(t, d.wait(t, d.cleanup(t, cleans)), flag)
	})
}

// cleanup waits until a cleanup machine has an execution, and returns its ARN.
func (d *deputy) cleanup(t *testing.T, machine string) string {
	t.Helper()
	for {
		page, err := d.own.eng.List(engine.ListFilter{MachineARN: machine})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Executions) > 0 {
			return page.Executions[0].ARN
		}
		if err := client.Sleep(t.Context(), settlePoll); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOlderStateDirectory: state machines and executions of earlier releases have no record of their origin, and count as the owner's.
func TestOlderStateDirectory(t *testing.T) {
	d := newDeputy(t, policy.Policy{})
	m, err := d.own.cat.CreateMachine(catalog.CreateMachine{Name: "old", Type: stepfn.Standard, Publish: true, Settings: catalog.Settings{
		Definition: machine(eksCall, `{"ClusterName": "other", "Method": "GET", "Path": "/"}`), RoleARN: client.LocalRole}})
	if err != nil {
		t.Fatal(err)
	}
	if x := d.end(t, d.tcp, m.ARN, "{}"); x.Error != "EKS.404" {
		t.Errorf("%s: %s", x.Error, x.Cause)
	}
}

// TestNoProcess checks that --no-process rejects processes for all callers, and its default.
func TestNoProcess(t *testing.T) {
	d := newDeputy(t, policy.Policy{NoProcess: true})
	arn := register(t, d.socket, "runs", machine(run, `{"Id": "one", "Shell": "true"}`))
	for _, by := range []*sfn.Client{d.socket, d.tcp} {
		d.refuses(t, d.end(t, by, arn, "{}"), "--no-process")
	}
	if left, _ := os.ReadDir(filepath.Join(d.dir, "jobs")); len(left) > 0 {
		t.Errorf("a process was started: %v", left)
	}
	for _, c := range []struct{ several, given, value, want bool }{{}, {several: true, want: true}, {several: true, given: true}, {given: true, value: true, want: true}} {
		o := allowOptions{noProcess: c.value, decided: func() bool { return c.given }}
		if p, err := o.policy(c.several); err != nil || p.NoProcess != c.want {
			t.Errorf("%+v: %v, %v", c, p.NoProcess, err)
		}
	}
}
