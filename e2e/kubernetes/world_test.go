// Package kubernetes_test runs the command against a real Kubernetes with a real Ray in its pods: the three modes of
// submitting under service accounts of their own, and faults that are made for real. Without more it takes a sample;
// RAYORCH_TEST_KUBERNETES=all, which make test-kubernetes sets, runs all.
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

// full is for tests beyond the sample.
func full(t *testing.T) {
	t.Helper()
	if os.Getenv("RAYORCH_TEST_KUBERNETES") != "all" {
		t.Skip("left to make test-kubernetes")
	}
}

// world is a namespace with a Ray, and a place to run commands that reach it.
type world struct {
	*command.Sandbox
	c         *clustertest.Cluster
	namespace string
	claim     clustertest.Claim
	ray       *clustertest.RayCluster
	endpoint  string // of a server, in place of the place's state directory
}

// newWorld makes one with a Ray whose pods mount the claim at /data.
func newWorld(t *testing.T) *world {
	t.Helper()
	c := clustertest.Start(t)
	w := &world{Sandbox: command.New(t, nil), c: c, namespace: c.Restricted(t)}
	w.claim = c.Claim(t, w.namespace)
	w.ray = c.RayCluster(t, w.namespace, clustertest.RayOptions{Name: "ray", Claim: w.claim.Name, NoWorker: true})
	w.use(c.Kubeconfig)
	return w
}

// use makes the commands act with a kubeconfig.
func (w *world) use(kubeconfig string) { w.Env = append(w.Env, "KUBECONFIG="+kubeconfig) }

// target is the text of the targets section, and of the storage.
func (w *world) target(t *testing.T) string {
	return fmt.Sprintf("storage: {path: /data, claim: %s}\ntargets:\n  kubernetes: {kind: kubernetes, namespace: %s, image: %q, jobImage: %q, ray: {cluster: ray}}\n",
		w.claim.Name, w.namespace, w.rayImage(t), w.c.Busybox())
}

// rayImage is the submitter's; without a Ray nobody submits.
func (w *world) rayImage(t *testing.T) string {
	if w.ray == nil {
		return "none"
	}
	return w.c.RayImage(t)
}

// pipeline writes a pipeline of some steps.
func (w *world) pipeline(t *testing.T, name, steps string) string {
	t.Helper()
	w.Write(t, name+"/pipeline.yaml", "version: 1\nname: "+name+"\ntimeout: 60m\n"+w.target(t)+"steps:\n"+steps)
	return filepath.Join(w.Dir, name)
}

// execution is what describe prints.
type execution struct {
	ARN, Name, Status, Error, Cause string
	Output                          map[string]json.RawMessage
	Code                            []struct{ Path, Hash string }
	Steps                           []struct {
		Name, Status, SubmissionID, Error, Cause string
		Attempts                                 int
	}
}

// describe reads an execution; an empty one where there is none yet.
func (w *world) describe(t *testing.T, name string) execution {
	t.Helper()
	var x execution
	args := []string{"describe", name, "-o", "json"}
	if w.endpoint != "" {
		args = append(args, "--endpoint", w.endpoint)
	}
	res := w.Run(t.Context(), t, args...)
	if res.Code == 0 && json.Unmarshal([]byte(res.Stdout), &x) != nil {
		t.Fatalf("describe printed no JSON: %s", res.Stdout)
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

// run runs a pipeline to its end.
func (w *world) run(t *testing.T, name string, args ...string) execution {
	t.Helper()
	res := w.Run(t.Context(), t, append([]string{"run", "--name", name, "-t", "kubernetes"}, args...)...)
	x := w.describe(t, name)
	if x.Status == "" {
		t.Fatalf("no run: exit code %d\n%s%s", res.Code, res.Stdout, res.Stderr)
	}
	return x
}

// started runs a pipeline in the background and waits until a step's job has printed a line; the function waits for its end.
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
		return fmt.Errorf("its log has %q; %s", res.Stdout, res.Stderr)
	})
	return func() execution {
		<-ended
		return w.describe(t, name)
	}
}

// owns tells whether a process is the owner of the state directory: else a command that looks would become it for a moment.
func (w *world) owns(pid int) bool {
	var owner struct{ PID int }
	text, err := os.ReadFile(filepath.Join(w.State, "api.json"))
	return err == nil && json.Unmarshal(text, &owner) == nil && owner.PID == pid
}

// list reads objects of the namespace.
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

const ours = "app.kubernetes.io/managed-by=rayorch"

// running says what of ours still runs in the namespace and on Ray.
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
		return fmt.Errorf("still there: %s", strings.Join(what, ", "))
	}
	return nil
}

// nothingRuns waits a little, for a stopped pod takes its time.
func (w *world) nothingRuns(t *testing.T) {
	t.Helper()
	clustertest.Until(clustertest.Context(t), t, "the end of everything", func() error { return w.running(t) })
}

// rayJobs are Ray's jobs with their status; none where the world has no Ray.
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

// rayJobIDs waits for Ray, and gives the ids of its jobs that begin so.
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

// kubeconfig writes one for a service account.
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

// must runs a command that is to succeed.
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

// failed checks that a run ended as it should, with a cause that says what a person wants to know.
func failed(t *testing.T, x execution, name string, says ...string) {
	t.Helper()
	if x.Status != "FAILED" || x.Error != name {
		t.Errorf("%s %s: %s: want FAILED with %s", x.Status, x.Error, x.Cause, name)
	}
	for _, word := range says {
		if !strings.Contains(x.Cause, word) {
			t.Errorf("the cause does not say %q: %s", word, x.Cause)
		}
	}
	t.Logf("%s: %s", x.Error, x.Cause)
}

// letGo ends the waiting of a run's steps, where the test reaches their storage.
func (w *world) letGo(t *testing.T, pipeline, run string) {
	t.Helper()
	if !w.c.Here {
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
