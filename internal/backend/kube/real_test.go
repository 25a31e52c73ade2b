package kube_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/internal/backend/kube"
)

func configMap(ns, name string, data map[string]any) kube.Object {
	o := clustertest.Object("v1", "ConfigMap", ns, name, kube.Object{"data": data})
	o["metadata"].(map[string]any)["labels"] = map[string]any{kube.ManagedBy: kube.Manager}
	return o
}

func actions(done []kube.Applied) []string {
	var all []string
	for _, a := range done {
		all = append(all, kube.Kind(a.Object)+" "+kube.Name(a.Object)+" "+a.Action)
	}
	return all
}

func TestApply(t *testing.T) {
	c := clustertest.Start(t)
	ns := c.Namespace(t)
	ctx := clustertest.Context(t)
	account := clustertest.Object("v1", "ServiceAccount", ns, "sa", nil)
	objects := []kube.Object{configMap(ns, "a", map[string]any{"x": "1"}), configMap(ns, "b", nil), account}
	check := func(what string, objects []kube.Object, o kube.ApplyOptions, want ...string) {
		t.Helper()
		done, err := c.Client.Apply(ctx, objects, o)
		if err != nil {
			t.Fatal(what, err)
		}
		if diff := cmp.Diff(want, actions(done)); diff != "" {
			t.Error(what, diff)
		}
	}
	check("dry run", objects, kube.ApplyOptions{DryRun: true}, "ServiceAccount sa created", "ConfigMap a created", "ConfigMap b created")
	check("first", objects, kube.ApplyOptions{}, "ServiceAccount sa created", "ConfigMap a created", "ConfigMap b created")
	check("again", objects, kube.ApplyOptions{}, "ServiceAccount sa unchanged", "ConfigMap a unchanged", "ConfigMap b unchanged")
	objects[0] = configMap(ns, "a", map[string]any{"x": "2", "y": "1"})
	check("dry run of a change", objects, kube.ApplyOptions{DryRun: true}, "ServiceAccount sa unchanged", "ConfigMap a configured", "ConfigMap b unchanged")
	differences, err := c.Diff(ctx, objects, kube.ApplyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if d := differences[1]; d.Action != kube.Changed || !strings.Contains(d.Text, "-  x: \"1\"\n+  x: \"2\"\n+  \"y\": \"1\"\n") || strings.Contains(d.Text, "managedFields") {
		t.Errorf("%s %s", d.Action, d.Text)
	}
	check("change", objects, kube.ApplyOptions{}, "ServiceAccount sa unchanged", "ConfigMap a configured", "ConfigMap b unchanged")
	done, err := c.Delete(ctx, append(objects, configMap(ns, "never", nil)))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"ConfigMap never not there", "ConfigMap b deleted", "ConfigMap a deleted", "ServiceAccount sa not ours"}
	if diff := cmp.Diff(want, actions(done)); diff != "" {
		t.Error(diff)
	}
}

func TestApplyFails(t *testing.T) {
	c := clustertest.Start(t)
	ns := c.Namespace(t)
	ctx := clustertest.Context(t)
	c.Apply(t, configMap(ns, "a", map[string]any{"x": "1"}))
	tests := []struct {
		name   string
		object kube.Object
		want   string
	}{
		{"another's field", configMap(ns, "a", map[string]any{"x": "2"}), "take over the fields with --force"},
		{"unknown kind", clustertest.Object("batch/v1", "Nothing", ns, "a", nil), "has no kind Nothing"},
		{"unknown group", clustertest.Object("no.such/v1", "Nothing", ns, "a", nil), "install the operator or the CRD"},
		{"no name", kube.Object{"apiVersion": "v1", "kind": "ConfigMap"}, "needs apiVersion, kind and metadata.name"},
		{"unknown field", clustertest.Object("v1", "ConfigMap", ns, "b", kube.Object{"dta": "x"}), ".dta: field not declared"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := c.Client.Apply(ctx, []kube.Object{test.object}, kube.ApplyOptions{FieldManager: "somebody"})
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "apply ") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestCan(t *testing.T) {
	c := clustertest.Start(t)
	ns := c.Namespace(t)
	client, err := kube.Open(c.Account(t, ns, "little", clustertest.Rule("", "pods/log", "get")))
	if err != nil {
		t.Fatal(err)
	}
	rules := []kube.Rule{
		{Verb: "get", Resource: "pods/log", Namespace: ns},
		{Verb: "get", Resource: "pods", Namespace: ns},
		{Verb: "create", Group: "batch", Resource: "jobs", Namespace: ns},
	}
	all, err := client.Can(clustertest.Context(t), rules)
	if err != nil || len(all) != 3 || !all[0].Allowed || all[1].Allowed || all[2].Allowed {
		t.Errorf("%v: %+v", err, all)
	}
	if got := rules[2].String(); got != "create jobs.batch in namespace "+ns {
		t.Errorf("got %q", got)
	}
}

// TestForward connects to a pod through a Service, to its replacement after the pod was deleted, and to a pod by name.
func TestForward(t *testing.T) {
	c := clustertest.Start(t)
	ns := c.Namespace(t)
	ctx := clustertest.Context(t)
	web(t, c, ns)
	f, err := c.Forward(ctx, kube.ForwardOptions{Namespace: ns, Service: "web", Port: 80, OnError: func(err error) { t.Log(err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !strings.HasPrefix(f.Address(), "127.0.0.1:") {
		t.Errorf("the address is %s", f.Address())
	}
	first := fetch(ctx, t, f.Address())
	if again := fetch(ctx, t, f.Address()); again != first {
		t.Errorf("got %q, then %q", first, again)
	}
	if err := c.Remove(ctx, kube.ObjectPath("v1", ns, "pods", first), ""); err != nil {
		t.Fatal(err)
	}
	clustertest.Until(ctx, t, "the replacement pod", func() error {
		if now := fetch(ctx, t, f.Address()); now == first {
			return fmt.Errorf("still connected to %s", first)
		}
		return nil
	})
	second := fetch(ctx, t, f.Address())
	g, err := c.Forward(ctx, kube.ForwardOptions{Namespace: ns, Pod: second, Port: 8080})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if got := fetch(ctx, t, g.Address()); got != second {
		t.Errorf("got %q", got)
	}
	overSPDY(ctx, t, c, kube.ObjectPath("v1", ns, "pods", second)+"/portforward", second)
	if _, err := c.Forward(ctx, kube.ForwardOptions{Namespace: ns, Service: "none", Port: 80}); !kube.NotFound(err) {
		t.Errorf("got %v", err)
	}
}

// overSPDY connects to a pod as with an API server before 1.31.
func overSPDY(ctx context.Context, t *testing.T, c *clustertest.Cluster, path, want string) {
	t.Helper()
	conn, err := kube.DialUpgraded(ctx, c.Client, path, 8080)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /hostname HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(text), want) {
		t.Errorf("%v: %q", err, text)
	}
}

// TestForwardToClosedPort verifies the error for a port on which no process listens.
func TestForwardToClosedPort(t *testing.T) {
	c := clustertest.Start(t)
	ns := c.Namespace(t)
	ctx := clustertest.Context(t)
	web(t, c, ns)
	trouble := make(chan error, 8)
	f, err := c.Forward(ctx, kube.ForwardOptions{Namespace: ns, Service: "web", Port: 81, OnError: func(err error) { trouble <- err }})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+f.Address(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := http.DefaultClient.Do(req); err == nil {
		t.Errorf("got %s", res.Status)
	}
	select {
	case err := <-trouble:
		if !strings.Contains(err.Error(), "refused") {
			t.Errorf("got %v", err)
		}
	case <-ctx.Done():
		t.Error("timed out waiting for the error of the connection")
	}
}

// fetch reads the name of the pod behind an address. It retries until ctx ends, because a pod that is deleted closes connections.
func fetch(ctx context.Context, t *testing.T, address string) (body string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	clustertest.Until(ctx, t, address, func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/hostname", http.NoBody)
		if err != nil {
			return err
		}
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if body = strings.TrimSpace(string(text)); err == nil && body == "" {
			err = errors.New("the response is empty")
		}
		return err
	})
	return body
}

// web creates a Deployment, with a Service, of a web server that returns the name of its pod.
func web(t *testing.T, c *clustertest.Cluster, ns string) {
	t.Helper()
	labels := map[string]any{"app": "web"}
	container := map[string]any{"name": "httpd", "image": c.Busybox(), "ports": []any{map[string]any{"name": "http", "containerPort": 8080}},
		"command": []any{"sh", "-c", "mkdir /www; hostname >/www/hostname; exec httpd -f -p 8080 -h /www"}}
	c.Apply(t,
		clustertest.Object("apps/v1", "Deployment", ns, "web", kube.Object{"spec": map[string]any{
			"replicas": 1, "selector": map[string]any{"matchLabels": labels}, "template": map[string]any{
				"metadata": map[string]any{"labels": labels},
				"spec":     map[string]any{"terminationGracePeriodSeconds": 1, "containers": []any{container}},
			}}}),
		clustertest.Object("v1", "Service", ns, "web", kube.Object{"spec": map[string]any{"selector": labels, "ports": []any{
			map[string]any{"name": "web", "port": 80, "targetPort": "http"}, map[string]any{"name": "closed", "port": 81}}}}))
	clustertest.Until(clustertest.Context(t), t, "the web server", func() error {
		pods, err := c.Pods(clustertest.Context(t), ns, map[string]string{"app": "web"})
		if err == nil && !slices.ContainsFunc(pods, func(p kube.Pod) bool { return p.Status.Phase == "Running" }) {
			err = fmt.Errorf("none of %d pods runs: %s", len(pods), asJSON(pods))
		}
		return err
	})
}

func TestHeads(t *testing.T) {
	c := clustertest.Start(t)
	ns := c.Namespace(t)
	ctx := clustertest.Context(t)
	if _, err := c.FindHead(ctx, ns, ""); !errors.Is(err, kube.ErrNoHead) {
		t.Errorf("got %v", err)
	}
	c.RayCluster(t, ns, clustertest.RayOptions{Name: "one", NoWorker: true})
	var h kube.Head
	var err error
	clustertest.Until(ctx, t, "a head with a pod in the status of the RayCluster", func() error { // Ray responds earlier
		if h, err = c.FindHead(ctx, ns, ""); err == nil && h.Pod == "" {
			err = fmt.Errorf("the head is %+v", h)
		}
		return err
	})
	if h.Cluster != "one" || h.Service != "one-head-svc" || h.Auth || h.RayVersion != clustertest.RayVersion {
		t.Errorf("got %+v", h)
	}
	if _, err := c.FindHead(ctx, ns, "two"); err == nil || !strings.Contains(err.Error(), "choose one of one") {
		t.Errorf("got %v", err)
	}
	// Without the permission to read RayClusters, the client finds the head by its Service.
	client, err := kube.Open(c.Account(t, ns, "little", clustertest.Rule("", "services", "list"), clustertest.Rule("", "pods", "list")))
	if err != nil {
		t.Fatal(err)
	}
	if by, err := client.FindHead(ctx, ns, "one"); err != nil || by.Service != h.Service || by.Pod != h.Pod {
		t.Errorf("%v: %+v, want %+v", err, by, h)
	}
}

// TestFollowThroughPause follows an object while the API server hangs for a while.
func TestFollowThroughPause(t *testing.T) {
	c := clustertest.Start(t)
	ns := c.Namespace(t)
	ctx := clustertest.Context(t)
	c.Apply(t, configMap(ns, "a", map[string]any{"n": "0"}))
	seen := make(chan string, 16)
	go func() {
		defer close(seen)
		_ = c.Follow(ctx, kube.CollectionPath("v1", ns, "configmaps"), "a", func(e kube.Event) bool {
			if e.Object == nil {
				return true
			}
			var o struct{ Data struct{ N string } }
			parse(t, string(e.Object), &o)
			seen <- o.Data.N
			return false
		})
	}()
	// After an interruption, Follow reads the object again and may repeat a state: next skips repetitions.
	next := func(was string) (got string, ok bool) {
		for got, ok = <-seen; ok && got == was; {
			got, ok = <-seen
		}
		return got, ok
	}
	if got, _ := next(""); got != "0" {
		t.Errorf("the first state is %q", got)
	}
	resume := c.Pause(t, "kube-apiserver")
	time.AfterFunc(2*time.Second, resume)
	c.Apply(t, configMap(ns, "a", map[string]any{"n": "1"})) // no response before the server resumes
	if got, _ := next("0"); got != "1" {
		t.Errorf("the second state is %q", got)
	}
	if err := c.Remove(ctx, kube.ObjectPath("v1", ns, "configmaps", "a"), ""); err != nil {
		t.Fatal(err)
	}
	if more, ok := next("1"); ok {
		t.Errorf("unexpected state %q after the deletion", more)
	}
}

func asJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
