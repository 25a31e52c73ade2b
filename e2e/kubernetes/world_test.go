// Package kubernetes_test runs the rayorch command on a real Kubernetes with a real Ray in pods: the three submission modes, each with its
// own service account, and real faults. By default, only some of the tests run; with RAYORCH_TEST_KUBERNETES=all, which
// make test-kubernetes sets, all run.
package kubernetes_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/rayorch/rayorch/e2e/awstest"
	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/e2e/command"
	"github.com/rayorch/rayorch/internal/backend/kube"
)

func TestMain(m *testing.M) {
	code := awstest.Run(m)
	command.Clean()
	os.Exit(code)
}

// needsFull skips a test that only make test-kubernetes runs.
func needsFull(t *testing.T) {
	t.Helper()
	if os.Getenv("RAYORCH_TEST_KUBERNETES") != "all" {
		t.Skip("SKIPPED: runs only with RAYORCH_TEST_KUBERNETES=all (make test-kubernetes)")
	}
}

// world is a namespace with a Ray, and a sandbox for commands that use them.
type world struct {
	*command.Sandbox
	c         *clustertest.Cluster
	namespace string
	claim     clustertest.Claim
	ray       *clustertest.RayCluster
	endpoint  string // URL of a server, or empty if commands use the state directory of the sandbox
}

// newWorld creates a namespace with a Ray whose pods mount the claim at /data.
func newWorld(t *testing.T) *world {
	t.Helper()
	c := clustertest.Start(t)
	w := &world{Sandbox: command.New(t, nil), c: c, namespace: c.Restricted(t)}
	w.claim = c.Claim(t, w.namespace)
	w.ray = c.RayCluster(t, w.namespace, clustertest.RayOptions{Name: "ray", Claim: w.claim.Name, NoWorker: true})
	w.use(c.Kubeconfig)
	return w
}

// use makes the commands use a kubeconfig.
func (w *world) use(kubeconfig string) { w.Env = append(w.Env, "KUBECONFIG="+kubeconfig) }

// target returns the sections storage and targets of a pipeline file.
func (w *world) target(t *testing.T) string {
	return fmt.Sprintf("storage: {path: /data, claim: %s}\ntargets:\n  kubernetes: {kind: kubernetes, namespace: %s, image: %q, jobImage: %q, ray: {cluster: ray}}\n",
		w.claim.Name, w.namespace, w.rayImage(t), w.c.Busybox())
}

// rayImage returns the image of submitters. Without a Ray, there are no submitters.
func (w *world) rayImage(t *testing.T) string {
	if w.ray == nil {
		return "none"
	}
	return w.c.RayImage(t)
}

// pipeline writes a pipeline file with the given steps and returns its directory.
func (w *world) pipeline(t *testing.T, name, steps string) string {
	t.Helper()
	w.Write(t, name+"/pipeline.yaml", "version: 1\nname: "+name+"\ntimeout: 60m\n"+w.target(t)+"steps:\n"+steps)
	return filepath.Join(w.Dir, name)
}

// execution is the JSON output of rayorch describe.
type execution struct {
	ARN, Name, Status, Error, Cause string
	Output                          map[string]json.RawMessage
	Code                            []struct{ Path, Hash string }
	Steps                           []struct {
		Name, Status, SubmissionID, Error, Cause string
		Attempts                                 int
	}
}

// describe returns an execution, or a zero value if it does not exist.
func (w *world) describe(t *testing.T, name string) execution {
	t.Helper()
	var x execution
	args := []string{"describe", name, "-o", "json"}
	if w.endpoint != "" {
		args = append(args, "--endpoint", w.endpoint)
	}
	res := w.Run(t.Context(), t, args...)
	if res.Code == 0 && json.Unmarshal([]byte(res.Stdout), &x) != nil {
		t.Fatalf("describe printed invalid JSON: %s", res.Stdout)
	}
	for name, output := range x.Output {
		x.Output[name] = compact(output)
	}
	return x
}

func compact(text json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	if json.Compact(&b, text) != nil {
		return text
	}
	return b.Bytes()
}

// run runs a pipeline, waits for its end, and returns the execution.
func (w *world) run(t *testing.T, name string, args ...string) execution {
	t.Helper()
	res := w.Run(t.Context(), t, append([]string{"run", "--name", name, "-t", "kubernetes"}, args...)...)
	x := w.describe(t, name)
	if x.Status == "" {
		t.Fatalf("the run was not started: exit code %d\n%s%s", res.Code, res.Stdout, res.Stderr)
	}
	return x
}

// started runs a pipeline in the background and waits until the job of a step has printed a line. The returned function waits for the end
// of the run.
func (w *world) started(t *testing.T, name, step, line string, args ...string) func() execution {
	t.Helper()
	cmd, wait := w.Start(t, append([]string{"run", "--name", name, "-t", "kubernetes"}, args...)...)
	ended := make(chan command.Result, 1)
	go func() { ended <- wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	clustertest.Until(clustertest.Context(t), t, "the line "+line+" of "+step, func() error {
		select {
		case res := <-ended:
			t.Fatalf("the run ended: exit code %d\n%s%s", res.Code, res.Stdout, res.Stderr)
		default:
		}
		if !w.owns(cmd.Process.Pid) {
			return fmt.Errorf("process %d does not own the state directory yet", cmd.Process.Pid)
		}
		res := w.Run(t.Context(), t, "logs", name, "--step", step)
		if strings.Contains(res.Stdout, line) {
			return nil
		}
		return fmt.Errorf("its log is %q; %s", res.Stdout, res.Stderr)
	})
	return func() execution {
		<-ended
		return w.describe(t, name)
	}
}

// owns reports whether a process is the owner of the state directory. Before it is, a read-only command could lock the directory.
func (w *world) owns(pid int) bool {
	var owner struct{ PID int }
	text, err := os.ReadFile(filepath.Join(w.State, "api.json"))
	return err == nil && json.Unmarshal(text, &owner) == nil && owner.PID == pid
}

// list reads a list of objects of the namespace into a struct with a field Items.
func (w *world) list(t *testing.T, path, selector string, into any) {
	t.Helper()
	res, err := w.c.Do(clustertest.Context(t), kube.Request{Path: path, Query: url.Values{"labelSelector": {selector}}})
	if kube.NotFound(err) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(res.Body, into); err != nil {
		t.Fatal(err)
	}
}

// ours is the label selector of objects that rayorch created.
const ours = "app.kubernetes.io/managed-by=rayorch"

// running returns an error that lists the objects of rayorch that still run in the namespace, and the running jobs on Ray.
func (w *world) running(t *testing.T) error {
	t.Helper()
	var what []string
	var jobs struct{ Items []kube.Job }
	w.list(t, kube.JobsPath(w.namespace), ours, &jobs)
	for _, j := range jobs.Items {
		if j.Ended() == nil {
			what = append(what, "Job "+j.Metadata.Name)
		}
	}
	var pods struct{ Items []kube.Pod }
	w.list(t, kube.CollectionPath("v1", w.namespace, "pods"), ours, &pods)
	for _, p := range pods.Items {
		if p.Status.Phase != "Succeeded" && p.Status.Phase != "Failed" {
			what = append(what, "pod "+p.Metadata.Name+" "+p.Status.Phase)
		}
	}
	var rayJobs struct{ Items []kube.Object }
	w.list(t, kube.CollectionPath("ray.io/v1", w.namespace, "rayjobs"), ours, &rayJobs)
	for _, j := range rayJobs.Items {
		status, _ := kube.Field(j, "status", "jobDeploymentStatus").(string)
		if status != "Complete" && status != "Failed" {
			what = append(what, "RayJob "+kube.Name(j)+" "+status)
		}
	}
	onRay, err := w.rayJobs(t)
	if err != nil {
		return err
	}
	for id, status := range onRay {
		if status == "RUNNING" || status == "PENDING" {
			what = append(what, "Ray job "+id+" "+status)
		}
	}
	if len(what) > 0 {
		return fmt.Errorf("still running: %s", strings.Join(what, ", "))
	}
	return nil
}

// nothingRuns waits until nothing of rayorch runs: see running.
func (w *world) nothingRuns(t *testing.T) {
	t.Helper()
	clustertest.Until(clustertest.Context(t), t, "the end of all jobs and pods", func() error { return w.running(t) })
}

// rayJobs returns the status of Ray's jobs by their ids. Without a Ray, it is empty.
func (w *world) rayJobs(t *testing.T) (map[string]string, error) {
	t.Helper()
	if w.ray == nil {
		return nil, nil
	}
	res, err := w.c.Do(clustertest.Context(t), kube.Request{Path: w.ray.API + "api/jobs/"})
	if err != nil {
		return nil, err
	}
	var jobs []struct {
		ID     string `json:"submission_id"`
		Status string
	}
	if err := json.Unmarshal(res.Body, &jobs); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, j := range jobs {
		out[j.ID] = j.Status
	}
	return out, nil
}

// rayJobIDs waits until Ray responds, and returns the ids of its jobs that have the prefix.
func (w *world) rayJobIDs(t *testing.T, prefix string) (ids []string) {
	t.Helper()
	clustertest.Until(clustertest.Context(t), t, "the list of Ray's jobs", func() error {
		jobs, err := w.rayJobs(t)
		ids = nil
		for id := range jobs {
			if strings.HasPrefix(id, prefix) {
				ids = append(ids, id)
			}
		}
		return err
	})
	return ids
}

// kubeconfig writes a kubeconfig for a service account and returns its path.
func (w *world) kubeconfig(t *testing.T, account string) string {
	t.Helper()
	text, err := os.ReadFile(w.c.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	var admin struct {
		Clusters []struct{ Cluster map[string]any }
	}
	if err := yaml.Unmarshal(text, &admin); err != nil || len(admin.Clusters) != 1 {
		t.Fatalf("the kubeconfig %s must have one cluster, not %d: %v", w.c.Kubeconfig, len(admin.Clusters), err)
	}
	text, err = json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "narrow",
		"clusters": []any{map[string]any{"name": "c", "cluster": admin.Clusters[0].Cluster}},
		"users":    []any{map[string]any{"name": "u", "user": map[string]any{"token": w.c.Token(t, w.namespace, account)}}},
		"contexts": []any{map[string]any{"name": "narrow", "context": map[string]any{"cluster": "c", "user": "u", "namespace": w.namespace}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// must runs a command that must succeed.
func (w *world) must(t *testing.T, args ...string) command.Result {
	t.Helper()
	if w.endpoint != "" {
		args = append(args, "--endpoint", w.endpoint)
	}
	res := w.Run(t.Context(), t, args...)
	if res.Code != 0 {
		t.Fatalf("rayorch %s: exit code %d\n%s%s", strings.Join(args, " "), res.Code, res.Stdout, res.Stderr)
	}
	return res
}

// failed checks that a run failed with the error name, and that the cause contains the texts.
func failed(t *testing.T, x execution, name string, texts ...string) {
	t.Helper()
	if x.Status != "FAILED" || x.Error != name {
		t.Errorf("status %s, error %s, cause %s; want FAILED with %s", x.Status, x.Error, x.Cause, name)
	}
	for _, text := range texts {
		if !strings.Contains(x.Cause, text) {
			t.Errorf("the cause does not contain %q: %s", text, x.Cause)
		}
	}
	t.Logf("%s: %s", x.Error, x.Cause)
}

// release ends the steps of a run that wait (see countingStep), if the test has access to their storage.
func (w *world) release(t *testing.T, pipeline, run string) {
	t.Helper()
	if !w.c.Local {
		return
	}
	dir := filepath.Join(w.claim.Dir, pipeline, run)
	err := os.MkdirAll(dir, 0o777)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "go"), nil, 0o644)
	}
	if err != nil {
		t.Error(err)
	}
}
