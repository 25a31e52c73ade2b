package ekstask_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/tasktest"
)

// staticToken returns a Config.Token that always returns the same token.
func staticToken(token string) func(context.Context, string, string) (string, error) {
	return func(context.Context, string, string) (string, error) { return token, nil }
}

// tokenFor returns a Config.Token that returns the token of an account, and stores the cluster and endpoint that it was called with.
func tokenFor(as kube.Config, asked *string) func(context.Context, string, string) (string, error) {
	return func(ctx context.Context, cluster, endpoint string) (string, error) {
		*asked = cluster + " " + endpoint
		return as.Token(ctx)
	}
}

var errKilled = errors.New("killed")

// TestCrash ends the runner at each point of an attempt, as a kill would. The next runner finds the Job: no second Job is created.
func TestCrash(t *testing.T) {
	kill := func(at string) func(b *bench, req *task.Request, cancel context.CancelCauseFunc) {
		return func(b *bench, req *task.Request, cancel context.CancelCauseFunc) {
			keep := req.Keep
			req.Keep = func(key string, record []byte) error {
				if key == strings.TrimPrefix(at, "after ") {
					if at != key {
						_ = keep(key, record)
					}
					cancel(task.ErrAbandon)
					return errKilled
				}
				return keep(key, record)
			}
		}
	}
	tests := []struct {
		name string
		cut  func(b *bench, req *task.Request, cancel context.CancelCauseFunc)
	}{
		{"before the intent", kill("eks.intent")},
		{"after the intent", kill("after eks.intent")},
		{"created, but not recorded", kill("eks.created")},
		{"created", kill("after eks.created")},
		{"before it is reported as submitted", func(_ *bench, req *task.Request, cancel context.CancelCauseFunc) {
			req.Submitted = func([]byte) error {
				cancel(task.ErrAbandon)
				return errKilled
			}
		}},
		{"while it runs", func(b *bench, _ *task.Request, cancel context.CancelCauseFunc) {
			go func() {
				b.awaitLog("begun")
				cancel(task.ErrAbandon)
			}()
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			args := b.job("echo begun; sleep 2; echo done", logs)
			ctx, cancel := context.WithCancelCause(clustertest.Context(t))
			req := b.request("runJob.sync", args)
			test.cut(b, req, cancel)
			b.runner.Run(ctx, req)
			b.start()
			if got := b.logOf(b.output(b.run("runJob.sync", args))); got != "begun\ndone\n" {
				t.Errorf("got log %q", got)
			}
			b.onlyOne()
			if got := containerLines(b.log.String()); got != "begun\ndone\n" {
				t.Errorf("got live log %q", got)
			}
		})
	}
}

// onlyOne checks that there is exactly one Job with exactly one pod. It waits until the pod exists.
func (b *bench) onlyOne() {
	b.t.Helper()
	if jobs := b.jobs(); len(jobs) != 1 {
		b.t.Errorf("there are %d jobs, want 1", len(jobs))
	}
	var pods []kube.Pod
	clustertest.Until(clustertest.Context(b.t), b.t, "its pod", func() (err error) {
		if pods, err = b.cluster.Pods(clustertest.Context(b.t), b.ns, nil); err == nil && len(pods) == 0 {
			err = errors.New("there are no pods")
		}
		return err
	})
	if len(pods) != 1 {
		b.t.Errorf("there are %d pods, want 1", len(pods))
	}
}

// faultyProxy is a proxy between the runner and the API server. For each request, fault decides whether it is forwarded to the server, and
// whether the response is returned.
type faultyProxy struct {
	b     *bench
	fault func(r *http.Request) (forward, respond bool)
}

// useProxy restarts the runner with a faultyProxy.
func (b *bench) useProxy(fault func(r *http.Request) (forward, respond bool)) {
	b.t.Helper()
	srv := httptest.NewServer(&faultyProxy{b, fault})
	b.t.Cleanup(srv.Close)
	b.cfg.Default = kube.Config{Endpoint: srv.URL, Token: func(context.Context) (string, error) { return "none", nil }}
	b.start()
}

func (p *faultyProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	forward, respond := true, true
	if p.fault != nil {
		forward, respond = p.fault(r)
	}
	req := kube.Request{Method: r.Method, Path: r.URL.RequestURI(), Body: body, ContentType: r.Header.Get("Content-Type")}
	if r.URL.Query().Get("watch") != "" || r.URL.Query().Get("follow") != "" {
		p.stream(w, r, req)
		return
	}
	var res kube.Response
	if forward {
		res, err = p.b.cluster.Do(context.WithoutCancel(r.Context()), req)
	}
	if !respond || res.Status == 0 {
		panic(http.ErrAbortHandler) // closes the connection
	}
	w.Header().Set("Content-Type", res.Header.Get("Content-Type"))
	w.WriteHeader(res.Status)
	_, _ = w.Write(res.Body)
	_ = err // an error response is also a response
}

// stream forwards a watch or a log stream.
func (p *faultyProxy) stream(w http.ResponseWriter, r *http.Request, req kube.Request) {
	body, err := p.b.cluster.Stream(r.Context(), req)
	if err != nil {
		w.WriteHeader(max(kube.Code(err), 500))
		return
	}
	defer body.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := body.Read(buf)
		_, _ = w.Write(buf[:n])
		_ = http.NewResponseController(w).Flush()
		if err != nil {
			return
		}
	}
}

func isCreate(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/jobs")
}

// TestLostResponse loses the response to the request that creates the Job.
func TestLostResponse(t *testing.T) {
	b := newBench(t)
	var creates atomic.Int32
	b.useProxy(func(r *http.Request) (forward, respond bool) {
		return true, !isCreate(r) || creates.Add(1) > 1
	})
	b.output(b.run("runJob.sync", b.job("true", nil)))
	if creates.Load() < 2 {
		t.Error("no response was lost")
	}
	b.onlyOne()
}

// TestUnreliableServer drops a third of the requests and half of the responses.
func TestUnreliableServer(t *testing.T) {
	b := newBench(t)
	var n atomic.Int32
	b.useProxy(func(*http.Request) (forward, respond bool) {
		i := n.Add(1)
		return i%3 != 0, i%2 != 0
	})
	if got := b.logOf(b.output(b.run("runJob.sync", b.job("echo hello; sleep 2", logs)))); got != "hello\n" {
		t.Errorf("got log %q", got)
	}
	b.onlyOne()
}

// TestLostResponseOfCall loses the response to a call that creates an object: the result of the call is the existing object.
func TestLostResponseOfCall(t *testing.T) {
	b := newBench(t)
	var posts atomic.Int32
	b.useProxy(func(r *http.Request) (forward, respond bool) {
		return true, r.Method != http.MethodPost || posts.Add(1) > 1
	})
	made := map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "one"}, "data": map[string]any{"a": "b"}}
	if o := b.body("POST", kube.CollectionPath("v1", b.ns, "configmaps"), map[string]any{"RequestBody": made}); kube.Name(o) != "one" {
		t.Errorf("got %v", o)
	}
	// After a crash, the engine runs the call again: the result is the same.
	if o := b.body("POST", kube.CollectionPath("v1", b.ns, "configmaps"), map[string]any{"RequestBody": made}); kube.Name(o) != "one" {
		t.Errorf("got %v", o)
	}
	other := b.another("other")
	other.failure(other.run("call", map[string]any{"Method": "POST", "Path": kube.CollectionPath("v1", b.ns, "configmaps"),
		"RequestBody": made}), "EKS.409", "AlreadyExists")
}

// TestForeignJob checks that an attempt does not use or delete a Job with the same name that another attempt created.
func TestForeignJob(t *testing.T) {
	b := newBench(t)
	args := b.job("sleep 3600", nil)
	b.output(b.another("other").run("runJob", args))
	b.failure(b.run("runJob.sync", args), "EKS.409", "AlreadyExists")
	// An attempt that crashed before it created the Job must not mistake the existing Job for its own,
	b.records = map[string][]byte{"eks.intent": []byte("{}")}
	b.failure(b.run("runJob.sync", args), "EKS.409", "AlreadyExists")
	// and must not delete it when it is stopped.
	b.records = map[string][]byte{"eks.intent": []byte("{}")}
	_, end := b.begin(args)
	end(task.ErrStop)
	b.onlyOne()
}

func TestJobDeletedWhileItRuns(t *testing.T) {
	b := newBench(t)
	done, _ := b.begin(b.job("echo begun; sleep 3600", nil))
	b.awaitLog("begun")
	if err := b.cluster.Remove(clustertest.Context(t), kube.JobsPath(b.ns)+"/work", ""); err != nil {
		t.Fatal(err)
	}
	b.failure(<-done, "EKS.404", "the job work was deleted, or its namespace was deleted")
}

// TestJobDeletedBetweenRuns deletes a Job while no rayorch runs. The outcome of the Job is unknown, but it must not run again.
func TestJobDeletedBetweenRuns(t *testing.T) {
	b := newBench(t)
	args := b.job("echo begun; sleep 3600", nil)
	_, end := b.begin(args)
	b.awaitLog("begun")
	end(task.ErrAbandon)
	if err := b.cluster.Remove(clustertest.Context(t), kube.JobsPath(b.ns)+"/work", ""); err != nil {
		t.Fatal(err)
	}
	b.failure(b.run("runJob.sync", args), "EKS.404", "while rayorch was not running")
	if jobs := b.jobs(); len(jobs) != 0 {
		t.Errorf("there are %d jobs, want none", len(jobs))
	}
}

func TestStop(t *testing.T) {
	b := newBench(t)
	_, end := b.begin(b.job("echo begun; sleep 3600", nil))
	b.awaitLog("begun")
	end(task.ErrStop)
	b.nothingLeft()
	if !strings.Contains(b.log.String(), "rayorch: deleted the job work in namespace "+b.ns+"; its pods have ended") {
		t.Errorf("the log contains no note about the deleted Job: %s", b.log.String())
	}
}

// TestStopWhilePending checks the reason why the Job does not run: it is reported for the history of a timeout, and as pending.
func TestStopWhilePending(t *testing.T) {
	b := newBench(t)
	job := b.object("work", "true", func(_, pod, _ map[string]any) { pod["nodeSelector"] = map[string]any{"no-such": "label"} })
	_, end := b.begin(map[string]any{"Namespace": b.ns, "Job": job})
	b.awaitLog("cannot be scheduled")
	end(task.ErrStop)
	b.nothingLeft()
	want := "; the job work in namespace " + b.ns + " had not ended: rayorch deletes it with its pods"
	if !strings.Contains(b.reported, "cannot be scheduled") || !strings.HasSuffix(b.reported, want) {
		t.Errorf("got report %q", b.reported)
	}
	if !strings.Contains(b.pending, "cannot be scheduled") {
		t.Errorf("got pending reason %q", b.pending)
	}
}

// TestStopAgain repeats a stop, as an engine does if the previous one was killed before the stop was confirmed.
func TestStopAgain(t *testing.T) {
	b := newBench(t)
	args := b.job("echo begun; sleep 3600", nil)
	_, end := b.begin(args)
	b.awaitLog("begun")
	end(task.ErrAbandon)
	if len(b.jobs()) != 1 {
		t.Error("the job did not continue after the engine was closed")
	}
	b.start()
	ctx, cancel := context.WithCancelCause(clustertest.Context(t))
	cancel(task.ErrStop)
	b.runner.Run(ctx, b.request("runJob.sync", args))
	b.nothingLeft()
}

// TestStopWhileCreating stops an attempt while the request to create its Job is delayed. The Job is created after the stop has looked
// for it the first time.
func TestStopWhileCreating(t *testing.T) {
	b := newBench(t)
	arrived, late := make(chan struct{}), make(chan struct{})
	var reads atomic.Int32
	b.useProxy(func(r *http.Request) (forward, respond bool) {
		switch {
		case isCreate(r):
			close(arrived)
			<-late
		case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/jobs/work") && reads.Add(1) == 2: // the second read of the stop
			close(late)
			clustertest.Until(clustertest.Context(t), t, "the Job", func() error {
				if len(b.jobs()) == 0 {
					return clustertest.ErrNotYet
				}
				return nil
			})
		}
		return true, true
	})
	_, end := b.begin(b.job("sleep 3600", nil))
	<-arrived
	end(task.ErrStop)
	if reads.Load() < 2 {
		close(late)
		t.Error("the stop did not look for a Job that is created late")
	}
	clustertest.Until(clustertest.Context(t), t, "the end of the Job and its pods", b.left) // a pod may still be created during the deletion
}

// TestServerHangs pauses the API server while a Job runs and ends.
func TestServerHangs(t *testing.T) {
	b := newBench(t)
	done, _ := b.begin(b.job("echo begun; sleep 1", logs))
	b.awaitLog("begun")
	resume := b.cluster.Pause(t, "kube-apiserver")
	time.Sleep(3 * time.Second) // the Job ends during this time
	resume()
	if got := b.logOf(b.output(<-done)); got != "begun\n" {
		t.Errorf("got log %q", got)
	}
}

// TestPermissions runs a Job with exactly the permissions that docs/eks-tasks.md lists, and with some of them missing.
func TestPermissions(t *testing.T) {
	b := newBench(t)
	jobs := func(verbs ...string) map[string]any { return clustertest.Rule("batch", "jobs", verbs...) }
	pods, podLogs := clustertest.Rule("", "pods", "list"), clustertest.Rule("", "pods/log", "get")
	tests := []struct {
		name  string
		rules []map[string]any
		err   string
		cause string
	}{
		{"all", []map[string]any{jobs("create", "get", "watch", "delete"), pods, podLogs}, "", ""},
		{"no-watch", []map[string]any{jobs("create", "get", "delete"), pods, podLogs}, "", ""},
		{"no-pods", []map[string]any{jobs("create", "get", "watch", "delete")}, "", ""},
		{"no-create", []map[string]any{jobs("get", "watch", "delete"), pods, podLogs}, "EKS.403", `cannot create resource`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			one := b.another(test.name)
			one.t, one.cfg.Default = t, b.cluster.Account(t, b.ns, test.name, test.rules...)
			one.start()
			res := one.run("runJob.sync", map[string]any{"Namespace": b.ns, "Job": b.object(test.name, "echo hello", nil)})
			if test.err != "" {
				one.failure(res, test.err, test.cause)
				return
			}
			one.output(res)
		})
	}
}

// TestNamespaceDeleted checks the error if the namespace is deleted. It depends on whether the runner first sees the deletion of the
// Job or of its pods.
func TestNamespaceDeleted(t *testing.T) {
	b := newBench(t)
	done, _ := b.begin(b.job("echo begun; sleep 3600", nil))
	b.awaitLog("begun")
	if err := b.cluster.Remove(clustertest.Context(t), "/api/v1/namespaces/"+b.ns, ""); err != nil {
		t.Fatal(err)
	}
	res := <-done
	if res.Error == "States.TaskFailed" {
		b.failure(res, "States.TaskFailed", "its pods were deleted", "namespace")
		return
	}
	b.failure(res, "EKS.404", "or its namespace was deleted")
}

// TestPodDeleted checks that the error for a deleted pod differs from the one for a failed pod.
func TestPodDeleted(t *testing.T) {
	b := newBench(t)
	done, _ := b.begin(b.job("echo begun; sleep 3600", nil))
	b.awaitLog("begun")
	pods, err := b.cluster.Pods(clustertest.Context(t), b.ns, nil)
	if err != nil || len(pods) != 1 {
		t.Fatal(len(pods), err)
	}
	if err := b.cluster.Remove(clustertest.Context(t), kube.ObjectPath("v1", b.ns, "pods", pods[0].Metadata.Name), ""); err != nil {
		t.Fatal(err)
	}
	b.failure(<-done, "States.TaskFailed", "its pods were deleted")
}

// TestPermissionsRevoked revokes the permissions while the Job runs: the Task succeeds, but the result contains an error instead of the
// log.
func TestPermissionsRevoked(t *testing.T) {
	b := newBench(t)
	b.cfg.Default = b.cluster.Account(t, b.ns, "runner", clustertest.Rule("batch", "jobs", "create", "get", "watch", "delete"),
		clustertest.Rule("", "pods", "list"), clustertest.Rule("", "pods/log", "get"))
	b.start()
	account, err := kube.Open(b.cfg.Default)
	if err != nil {
		t.Fatal(err)
	}
	done, _ := b.begin(b.job(blockingScript, logs))
	b.awaitLog("begun")
	bindings := kube.ObjectPath("rbac.authorization.k8s.io/v1", b.ns, "rolebindings", "runner")
	if err := b.cluster.Remove(clustertest.Context(t), bindings, ""); err != nil {
		t.Fatal(err)
	}
	clustertest.Until(clustertest.Context(t), t, "the revocation", func() error {
		_, err := account.Pods(clustertest.Context(t), b.ns, nil)
		if kube.Code(err) == http.StatusForbidden {
			return nil
		}
		return fmt.Errorf("pods can be listed: %w", err)
	})
	b.unblock()
	o := b.output(<-done)
	if got := kube.Field(o, "logs", "error"); got != "EKS.403" {
		t.Errorf("got logs %v, want the error EKS.403", o["logs"])
	}
}

func FuzzArguments(f *testing.F) {
	f.Add("call", []byte(`{"Method":"GET","Path":"/api","QueryParameters":{"a":["b"]},"RequestBody":"x"}`))
	f.Add("runJob.sync", []byte(`{"Job":{"metadata":{"name":"a"}},"LogOptions":{"RetrieveLogs":true}}`))
	f.Add("runJob", []byte(`{"Job":"{\"metadata\":{\"generateName\":\"a\"}}"}`))
	f.Fuzz(func(t *testing.T, resource string, input []byte) {
		refuse := func(context.Context, string, string) (string, error) { return "", errKilled }
		runner := newRunnerWithoutCluster(refuse)
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(task.ErrAbandon)
		res := runner.Run(ctx, &task.Request{
			Resource: prefix + resource, Input: input, Log: &tasktest.Log{},
			Keep: func(string, []byte) error { return nil }, Submitted: func([]byte) error { return nil },
		})
		if res.Error == "" {
			t.Errorf("%s %s: succeeded without a cluster: %s", resource, input, res.Output)
		}
		if res.Output != nil && !json.Valid(res.Output) {
			t.Errorf("the output is not JSON: %s", res.Output)
		}
	})
}
