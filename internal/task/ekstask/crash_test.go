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

func staticToken(token string) func(context.Context, string, string) (string, error) {
	return func(context.Context, string, string) (string, error) { return token, nil }
}

func tokenFor(as kube.Config, asked *string) func(context.Context, string, string) (string, error) {
	return func(ctx context.Context, cluster, endpoint string) (string, error) {
		*asked = cluster + " " + endpoint
		return as.Token(ctx)
	}
}

var errKilled = errors.New("killed")

// TestCrash kills the runner at each point of an attempt. The next one finds what there is: never is there a second Job.
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
		{"created, but not known to be", kill("eks.created")},
		{"created", kill("after eks.created")},
		{"before it is said to be submitted", func(_ *bench, req *task.Request, cancel context.CancelCauseFunc) {
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
				t.Errorf("got the log %q", got)
			}
			b.onlyOne()
			if got := printed(b.log.String()); got != "begun\ndone\n" {
				t.Errorf("got the live log %q", got)
			}
		})
	}
}

// onlyOne checks that there is one Job, and that it has one pod, which may take a moment to come.
func (b *bench) onlyOne() {
	b.t.Helper()
	if jobs := b.jobs(); len(jobs) != 1 {
		b.t.Errorf("there are %d jobs", len(jobs))
	}
	var pods []kube.Pod
	clustertest.Until(clustertest.Context(b.t), b.t, "its pod", func() (err error) {
		if pods, err = b.cluster.Pods(clustertest.Context(b.t), b.ns, nil); err == nil && len(pods) == 0 {
			err = errors.New("there is none")
		}
		return err
	})
	if len(pods) != 1 {
		b.t.Errorf("there are %d pods", len(pods))
	}
}

// between stands between runner and API server. spoil may answer in its place: it says whether the request goes on to the
// server, and whether the answer comes back.
type between struct {
	b     *bench
	spoil func(r *http.Request) (forward, answer bool)
}

func (b *bench) interpose(spoil func(r *http.Request) (forward, answer bool)) {
	b.t.Helper()
	srv := httptest.NewServer(&between{b, spoil})
	b.t.Cleanup(srv.Close)
	b.cfg.Default = kube.Config{Endpoint: srv.URL, Token: func(context.Context) (string, error) { return "none", nil }}
	b.start()
}

func (p *between) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	forward, answer := true, true
	if p.spoil != nil {
		forward, answer = p.spoil(r)
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
	if !answer || res.Status == 0 {
		panic(http.ErrAbortHandler) // the connection breaks off
	}
	w.Header().Set("Content-Type", res.Header.Get("Content-Type"))
	w.WriteHeader(res.Status)
	_, _ = w.Write(res.Body)
	_ = err // it is the answer
}

func (p *between) stream(w http.ResponseWriter, r *http.Request, req kube.Request) {
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

// TestLostAnswer loses the answer to the request that creates the Job.
func TestLostAnswer(t *testing.T) {
	b := newBench(t)
	var creates atomic.Int32
	b.interpose(func(r *http.Request) (forward, answer bool) {
		return true, !isCreate(r) || creates.Add(1) > 1
	})
	b.output(b.run("runJob.sync", b.job("true", nil)))
	if creates.Load() < 2 {
		t.Error("no answer was lost")
	}
	b.onlyOne()
}

// TestRestlessServer breaks every connection off now and then.
func TestRestlessServer(t *testing.T) {
	b := newBench(t)
	var n atomic.Int32
	b.interpose(func(*http.Request) (forward, answer bool) {
		i := n.Add(1)
		return i%3 != 0, i%2 != 0
	})
	if got := b.logOf(b.output(b.run("runJob.sync", b.job("echo hello; sleep 2", logs)))); got != "hello\n" {
		t.Errorf("got the log %q", got)
	}
	b.onlyOne()
}

// TestLostAnswerOfCall loses the answer to a call that makes an object: the object that is there is the answer.
func TestLostAnswerOfCall(t *testing.T) {
	b := newBench(t)
	var posts atomic.Int32
	b.interpose(func(r *http.Request) (forward, answer bool) {
		return true, r.Method != http.MethodPost || posts.Add(1) > 1
	})
	made := map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "one"}, "data": map[string]any{"a": "b"}}
	if o := b.body("POST", kube.CollectionPath("v1", b.ns, "configmaps"), map[string]any{"RequestBody": made}); kube.Name(o) != "one" {
		t.Errorf("got %v", o)
	}
	// The same after a crash: the engine calls again.
	if o := b.body("POST", kube.CollectionPath("v1", b.ns, "configmaps"), map[string]any{"RequestBody": made}); kube.Name(o) != "one" {
		t.Errorf("got %v", o)
	}
	other := b.another("other")
	other.failure(other.run("call", map[string]any{"Method": "POST", "Path": kube.CollectionPath("v1", b.ns, "configmaps"),
		"RequestBody": made}), "EKS.409", "AlreadyExists")
}

// TestForeignJob leaves a Job alone that has the name, but that somebody else made.
func TestForeignJob(t *testing.T) {
	b := newBench(t)
	args := b.job("sleep 3600", nil)
	b.output(b.another("other").run("runJob", args))
	b.failure(b.run("runJob.sync", args), "EKS.409", "AlreadyExists")
	// Neither does an attempt take it for its own that crashed before it could create one.
	b.records = map[string][]byte{"eks.intent": []byte("{}")}
	b.failure(b.run("runJob.sync", args), "EKS.409", "AlreadyExists")
	// Nor is it deleted when that attempt is to be stopped.
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
	b.failure(<-done, "EKS.404", "somebody deleted it")
}

// TestJobDeletedMeanwhile does not run a Job again that ran already, though nobody can tell any more how it ended.
func TestJobDeletedMeanwhile(t *testing.T) {
	b := newBench(t)
	args := b.job("echo begun; sleep 3600", nil)
	_, end := b.begin(args)
	b.awaitLog("begun")
	end(task.ErrAbandon)
	if err := b.cluster.Remove(clustertest.Context(t), kube.JobsPath(b.ns)+"/work", ""); err != nil {
		t.Fatal(err)
	}
	b.failure(b.run("runJob.sync", args), "EKS.404", "while rayorch did not run")
	if jobs := b.jobs(); len(jobs) != 0 {
		t.Errorf("there are %d jobs", len(jobs))
	}
}

func TestStop(t *testing.T) {
	b := newBench(t)
	_, end := b.begin(b.job("echo begun; sleep 3600", nil))
	b.awaitLog("begun")
	end(task.ErrStop)
	b.nothingLeft()
	if !strings.Contains(b.log.String(), "rayorch: deleted the job work in namespace "+b.ns+"; its pods have ended") {
		t.Errorf("the log does not say so: %s", b.log.String())
	}
}

// TestStopWhilePending says why the Job did not run, for the history of a timeout.
func TestStopWhilePending(t *testing.T) {
	b := newBench(t)
	job := b.object("work", "true", func(_, pod, _ map[string]any) { pod["nodeSelector"] = map[string]any{"no-such": "label"} })
	_, end := b.begin(map[string]any{"Namespace": b.ns, "Job": job})
	b.awaitLog("cannot be scheduled")
	end(task.ErrStop)
	b.nothingLeft()
	want := "; the job work in namespace " + b.ns + " had not ended: it is deleted, and its pods"
	if !strings.Contains(b.reported, "cannot be scheduled") || !strings.HasSuffix(b.reported, want) {
		t.Errorf("it reported %q", b.reported)
	}
	if !strings.Contains(b.pending, "cannot be scheduled") {
		t.Errorf("it was pending because %q", b.pending)
	}
}

// TestStopAgain is asked by an engine whose predecessor was killed before the stop was confirmed.
func TestStopAgain(t *testing.T) {
	b := newBench(t)
	args := b.job("echo begun; sleep 3600", nil)
	_, end := b.begin(args)
	b.awaitLog("begun")
	end(task.ErrAbandon)
	if len(b.jobs()) != 1 {
		t.Error("the job did not go on")
	}
	b.start()
	ctx, cancel := context.WithCancelCause(clustertest.Context(t))
	cancel(task.ErrStop)
	b.runner.Run(ctx, b.request("runJob.sync", args))
	b.nothingLeft()
}

// TestStopWhileCreating stops an attempt whose request has no answer yet, and is carried out late.
func TestStopWhileCreating(t *testing.T) {
	b := newBench(t)
	arrived, late := make(chan struct{}), make(chan struct{})
	var looks atomic.Int32
	b.interpose(func(r *http.Request) (forward, answer bool) {
		switch {
		case isCreate(r):
			close(arrived)
			<-late
		case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/jobs/work") && looks.Add(1) == 2: // the stop's second look
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
	if looks.Load() < 2 {
		close(late)
		t.Error("it did not look for a Job that is made late")
	}
	clustertest.Until(clustertest.Context(t), t, "the end of all", b.left) // its pod may come when it is being deleted
}

// TestServerHangs stops the API server while a Job runs to its end.
func TestServerHangs(t *testing.T) {
	b := newBench(t)
	done, _ := b.begin(b.job("echo begun; sleep 1", logs))
	b.awaitLog("begun")
	resume := b.cluster.Pause(t, "kube-apiserver")
	time.Sleep(3 * time.Second) // what is tried is that time passes
	resume()
	if got := b.logOf(b.output(<-done)); got != "begun\n" {
		t.Errorf("got the log %q", got)
	}
}

// TestRights runs a Job with just the rights that docs/eks-tasks.md lists, and without some of them.
func TestRights(t *testing.T) {
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

// TestNamespaceDeleted ends well said, whether the Job or its pods are seen to go first.
func TestNamespaceDeleted(t *testing.T) {
	b := newBench(t)
	done, _ := b.begin(b.job("echo begun; sleep 3600", nil))
	b.awaitLog("begun")
	if err := b.cluster.Remove(clustertest.Context(t), "/api/v1/namespaces/"+b.ns, ""); err != nil {
		t.Fatal(err)
	}
	res := <-done
	if res.Error == "States.TaskFailed" {
		b.failure(res, "States.TaskFailed", "somebody", "namespace")
		return
	}
	b.failure(res, "EKS.404", "somebody deleted it, or its namespace")
}

// TestPodDeleted tells a pod that somebody deleted from one that failed.
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
	b.failure(<-done, "States.TaskFailed", "somebody")
}

// TestRightsRevoked takes the rights away while the Job runs: its end is seen all the same, its log cannot be read.
func TestRightsRevoked(t *testing.T) {
	b := newBench(t)
	b.cfg.Default = b.cluster.Account(t, b.ns, "runner", clustertest.Rule("batch", "jobs", "create", "get", "watch", "delete"),
		clustertest.Rule("", "pods", "list"), clustertest.Rule("", "pods/log", "get"))
	b.start()
	account, err := kube.Open(b.cfg.Default)
	if err != nil {
		t.Fatal(err)
	}
	done, _ := b.begin(b.job(holds, logs))
	b.awaitLog("begun")
	bindings := kube.ObjectPath("rbac.authorization.k8s.io/v1", b.ns, "rolebindings", "runner")
	if err := b.cluster.Remove(clustertest.Context(t), bindings, ""); err != nil {
		t.Fatal(err)
	}
	clustertest.Until(clustertest.Context(t), t, "the loss of the rights", func() error {
		_, err := account.Pods(clustertest.Context(t), b.ns, nil)
		if kube.Code(err) == http.StatusForbidden {
			return nil
		}
		return fmt.Errorf("pods can be listed: %w", err)
	})
	b.letGo()
	o := b.output(<-done)
	if got := kube.Field(o, "logs", "error"); got != "EKS.403" {
		t.Errorf("the logs are %v", o["logs"])
	}
}

func FuzzArguments(f *testing.F) {
	f.Add("call", []byte(`{"Method":"GET","Path":"/api","QueryParameters":{"a":["b"]},"RequestBody":"x"}`))
	f.Add("runJob.sync", []byte(`{"Job":{"metadata":{"name":"a"}},"LogOptions":{"RetrieveLogs":true}}`))
	f.Add("runJob", []byte(`{"Job":"{\"metadata\":{\"generateName\":\"a\"}}"}`))
	f.Fuzz(func(t *testing.T, resource string, input []byte) {
		refuse := func(context.Context, string, string) (string, error) { return "", errKilled }
		runner := newRefusing(refuse)
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(task.ErrAbandon)
		res := runner.Run(ctx, &task.Request{
			Resource: prefix + resource, Input: input, Log: &tasktest.Log{},
			Keep: func(string, []byte) error { return nil }, Submitted: func([]byte) error { return nil },
		})
		if res.Error == "" {
			t.Errorf("a runner without a cluster did %s %s: %s", resource, input, res.Output)
		}
		if res.Output != nil && !json.Valid(res.Output) {
			t.Errorf("no JSON: %s", res.Output)
		}
	})
}
