// Package clustertest provides a real Kubernetes for tests: the one whose kubeconfig RAYORCH_TEST_KUBECONFIG names, or else the one of
// e2e/cluster, which it starts as root on Linux. Otherwise, the test is skipped with the reason. Each test uses its own namespace.
// The cluster keeps running after the tests; make test, or e2e/cluster/down, stops it.
package clustertest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/backend/kube"
)

// Cluster is a Kubernetes for tests.
type Cluster struct {
	*kube.Client
	Kubeconfig string
	// Local reports whether it is the cluster of e2e/cluster, whose node is this machine.
	Local bool
}

// Busybox returns the name of an image with a shell and httpd.
func (c *Cluster) Busybox() string {
	if c.Local {
		return "local/busybox:1"
	}
	return "busybox:1"
}

var started struct {
	once       sync.Once
	kubeconfig string
	skip       string
	err        error
}

// Start returns the cluster. It starts the cluster if necessary, at most once per test binary.
func Start(t testing.TB) *Cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a real Kubernetes, which -short leaves out")
	}
	named := os.Getenv("RAYORCH_TEST_KUBECONFIG")
	if named == "" {
		started.once.Do(start)
	}
	switch {
	case named != "":
	case started.skip != "":
		t.Skip(started.skip)
	case started.err != nil:
		t.Fatal(started.err)
	}
	c := &Cluster{Kubeconfig: named, Local: named == ""}
	if c.Local {
		c.Kubeconfig = started.kubeconfig
	}
	var err error
	if c.Client, err = kube.Open(kube.Config{Kubeconfig: c.Kubeconfig, Timeout: patience}); err != nil {
		t.Fatal(err)
	}
	return c
}

// start starts the cluster of e2e/cluster, or sets the reason why tests that need it are skipped.
func start() {
	switch {
	case os.Getenv("RAYORCH_TEST_NO_CLUSTER") != "":
		started.skip = "needs a real Kubernetes, but RAYORCH_TEST_NO_CLUSTER is set"
	case runtime.GOOS != "linux" || os.Geteuid() != 0:
		started.skip = "needs a real Kubernetes: run the test as root on Linux, or set RAYORCH_TEST_KUBECONFIG"
	default:
		var out string
		out, started.err = script("up")
		started.kubeconfig = strings.Trim(strings.TrimPrefix(strings.TrimSpace(out), "export KUBECONFIG="), "'")
	}
}

// script runs a command of e2e/cluster and returns its output. The commands use a lock, so that several tests can call them.
func script(name string) (string, error) {
	_, here, _, _ := runtime.Caller(0)
	dir := filepath.Join(filepath.Dir(filepath.Dir(here)), "cluster")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Hour) // others may hold the lock, and the first call builds Kubernetes
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(dir, name))
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("e2e/cluster/%s: %w: %s", name, err, errs.String())
	}
	return string(out), nil
}

// Name returns a unique name with the prefix.
func Name(prefix string) string { return prefix + "-" + strings.ToLower(rand.Text()[:8]) }

// Namespace creates a namespace for a test, waits for the objects that Kubernetes creates in it, and deletes it at the end of the test.
func (c *Cluster) Namespace(t testing.TB) string {
	t.Helper()
	return c.namespace(t, map[string]any{})
}

// Restricted is like Namespace, with a namespace that enforces the Pod Security Standard "restricted", as in a cluster that several
// teams share.
func (c *Cluster) Restricted(t testing.TB) string {
	t.Helper()
	return c.namespace(t, map[string]any{"pod-security.kubernetes.io/enforce": "restricted"})
}

func (c *Cluster) namespace(t testing.TB, labels map[string]any) string {
	t.Helper()
	ctx := Context(t)
	name := Name("test")
	c.Apply(t, kube.Object{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name, "labels": labels}})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := c.Remove(ctx, "/api/v1/namespaces/"+name, ""); err != nil && !kube.NotFound(err) {
			t.Errorf("delete the namespace %s: %v", name, err)
		}
	})
	Until(ctx, t, "the default objects of namespace "+name, func() error {
		_, account := c.Client.Get(ctx, Object("v1", "ServiceAccount", name, "default", nil))
		_, authority := c.Client.Get(ctx, Object("v1", "ConfigMap", name, "kube-root-ca.crt", nil))
		return errors.Join(account, authority)
	})
	return name
}

// Object returns an object with a name and the additional fields in more. A cluster-wide object has an empty namespace.
func Object(version, kind, namespace, name string, more kube.Object) kube.Object {
	meta := map[string]any{"name": name}
	if namespace != "" {
		meta["namespace"] = namespace
	}
	o := kube.Object{"apiVersion": version, "kind": kind, "metadata": meta}
	for key, v := range more {
		o[key] = v
	}
	return o
}

// Apply applies the objects. If this fails, the test fails.
func (c *Cluster) Apply(t testing.TB, objects ...kube.Object) {
	t.Helper()
	err := kube.Retry(Context(t), func(ctx context.Context) error {
		_, err := c.Client.Apply(ctx, objects, kube.ApplyOptions{Force: true})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Do sends a request. It retries while the API server is not available, because another test may have paused it, or the machine may be
// busy. It does not retry requests to a service behind the API server's proxy: tests check the responses of these services.
func (c *Cluster) Do(ctx context.Context, r kube.Request) (res kube.Response, err error) {
	if strings.Contains(r.Path, "/proxy") {
		return c.Client.Do(ctx, r)
	}
	err = kube.Retry(ctx, func(ctx context.Context) error {
		res, err = c.Client.Do(ctx, r)
		return err
	})
	return res, err
}

// Remove deletes the object at a path, like the client's method. It retries while the API server is not available.
func (c *Cluster) Remove(ctx context.Context, path, uid string) error {
	again := false
	return kube.Retry(ctx, func(ctx context.Context) error {
		err := c.Client.Remove(ctx, path, uid)
		if again && kube.NotFound(err) {
			return nil // deleted by a request whose response was lost
		}
		again = true
		return err
	})
}

// patience is longer than any step of a test takes on a busy machine.
const patience = 10 * time.Minute

// Context returns a context that ends well after the slowest step of a test, so that no test hangs forever.
func Context(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// Until calls check until it returns nil. When ctx ends, the test fails with the last error. what names the expected state, such as "the
// end of the job", for the failure message.
func Until(ctx context.Context, t testing.TB, what string, check func() error) {
	t.Helper()
	var last error
	for {
		begin := time.Now()
		err := check()
		if err == nil {
			return
		}
		if last == nil || ctx.Err() == nil { // an error because ctx has ended would hide the real one
			last = err
		}
		select {
		case <-ctx.Done():
			t.Fatalf("timed out waiting for %s: %v", what, last)
		case <-time.After(max(50*time.Millisecond, time.Since(begin))): // checks take at most half of the time, even on a busy machine
		}
	}
}

// ErrNotYet is for checks that have nothing to report yet. Other checks return an error that describes the current state.
var ErrNotYet = errors.New("not yet")

// Token creates a token for a service account.
func (c *Cluster) Token(t testing.TB, namespace, account string) string {
	t.Helper()
	path := kube.ObjectPath("v1", namespace, "serviceaccounts", account) + "/token"
	res, err := c.Do(Context(t), kube.Request{Method: http.MethodPost, Path: path, Body: []byte(
		`{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}`)})
	if err != nil {
		t.Fatal(err)
	}
	var answer struct{ Status struct{ Token string } }
	decode(t, res.Body, &answer)
	return answer.Status.Token
}

// Open gives the pods of the cluster access to a server on this machine that listens only on loopback, through a proxy. It returns the URL
// for the pods.
func (c *Cluster) Open(t testing.TB, server string) string {
	t.Helper()
	if !c.Local {
		t.Skip("SKIPPED: the pods of another cluster cannot reach this machine")
	}
	at, err := url.Parse(server)
	node, err2 := url.Parse(c.Server())
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	// The pods can reach the address that this machine uses to connect to the node.
	conn, err := new(net.Dialer).DialContext(Context(t), "tcp", node.Host)
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ := net.SplitHostPort(conn.LocalAddr().String())
	_ = conn.Close()
	l, err := new(net.ListenConfig).Listen(Context(t), "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: httputil.NewSingleHostReverseProxy(at), ReadHeaderTimeout: time.Minute}
	var done sync.WaitGroup
	done.Go(func() { _ = s.Serve(l) }) // until it is closed
	t.Cleanup(func() { _ = s.Close(); done.Wait() })
	return "http://" + l.Addr().String()
}

// Pause stops a component of the cluster's node, such as kube-apiserver or kubelet, with SIGSTOP, to simulate one that hangs. The returned
// function resumes it, and so does the end of the test. Pause works only with the cluster of e2e/cluster. Other tests use this cluster at
// the same time, so resume soon. Only one test at a time can pause a component.
func (c *Cluster) Pause(t testing.TB, part string) (resume func()) {
	t.Helper()
	if !c.Local {
		t.Skip("cannot pause components of another cluster: needs the cluster of e2e/cluster")
	}
	node, err := os.ReadFile("/run/rayorch-cluster-" + cmp.Or(os.Getenv("RAYORCH_CLUSTER_NAME"), "rayorch") + ".pid")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(Context(t), "pgrep", "-P", strings.TrimSpace(string(node)), part).Output()
	if err != nil {
		t.Fatalf("find %s: %v", part, err)
	}
	pid := strings.TrimSpace(string(out))
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatalf("want one process %s, got the pids %q", part, pid)
	}
	release := c.keepUp(t)
	resume = sync.OnceFunc(func() {
		_ = syscall.Kill(n, syscall.SIGCONT) // fails only if the process has ended
		release()
	})
	t.Cleanup(resume)
	time.AfterFunc(patience/2, resume) // even if the test hangs
	if err := syscall.Kill(n, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	return resume
}

// keepUp holds the lock of e2e/cluster, because `up` in another test would consider a cluster that hangs as broken and restart it. If the
// test is killed, the kernel releases the lock, and the next `up` resumes all stopped components.
func (c *Cluster) keepUp(t testing.TB) (release func()) {
	t.Helper()
	// The kubeconfig is CACHE/run/NAME/admin.kubeconfig.
	cache := filepath.Dir(filepath.Dir(filepath.Dir(c.Kubeconfig)))
	lock, err := os.OpenFile(filepath.Join(cache, "lock"), os.O_RDWR, 0)
	if err == nil {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() { _ = lock.Close() }
}

// Account creates a service account with the permissions in rules, and returns a configuration that uses this account.
func (c *Cluster) Account(t testing.TB, namespace, name string, rules ...map[string]any) kube.Config {
	t.Helper()
	list := make([]any, len(rules))
	for i, r := range rules {
		list[i] = r
	}
	c.Apply(t,
		Object("v1", "ServiceAccount", namespace, name, nil),
		Object("rbac.authorization.k8s.io/v1", "Role", namespace, name, kube.Object{"rules": list}),
		Object("rbac.authorization.k8s.io/v1", "RoleBinding", namespace, name, kube.Object{
			"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
			"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": name, "namespace": namespace}},
		}))
	token := c.Token(t, namespace, name)
	cfg := kube.Config{
		Endpoint: c.Server(), CertificateAuthority: c.authority(t),
		Token: func(context.Context) (string, error) { return token, nil },
	}
	c.granted(t, cfg, namespace, rules)
	return cfg
}

// granted waits until the API server applies a Role, which happens a little later than its creation.
func (c *Cluster) granted(t testing.TB, cfg kube.Config, namespace string, rules []map[string]any) {
	t.Helper()
	client, err := kube.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	wanted := make([]kube.Rule, len(rules))
	for i, r := range rules {
		one := func(key string) string { return r[key].([]any)[0].(string) }
		wanted[i] = kube.Rule{Verb: one("verbs"), Group: one("apiGroups"), Resource: one("resources"), Namespace: namespace}
	}
	Until(Context(t), t, "the permissions of the role", func() error {
		answers, err := client.Can(Context(t), wanted)
		for _, a := range answers {
			if !a.Allowed {
				err = errors.Join(err, fmt.Errorf("not allowed yet: %s", a.Rule))
			}
		}
		return err
	})
}

// authority returns the cluster's certificate authority, encoded as in the arguments of a task.
func (c *Cluster) authority(t testing.TB) string {
	t.Helper()
	var pem string
	Until(Context(t), t, "the certificate authority", func() error {
		o, err := c.Client.Get(Context(t), Object("v1", "ConfigMap", "kube-system", "kube-root-ca.crt", nil))
		pem, _ = kube.Field(o, "data", "ca.crt").(string)
		return err
	})
	return base64.StdEncoding.EncodeToString([]byte(pem))
}

// Rule returns a rule of a Role.
func Rule(group, resource string, verbs ...string) map[string]any {
	list := make([]any, len(verbs))
	for i, v := range verbs {
		list[i] = v
	}
	return map[string]any{"apiGroups": []any{group}, "resources": []any{resource}, "verbs": list}
}
