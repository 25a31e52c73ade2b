// Package clustertest gives tests a real Kubernetes: the one whose kubeconfig RAYORCH_TEST_KUBECONFIG names, else the one
// of e2e/cluster, which it starts when this is root on Linux, else the test is skipped and says why. Each test works in a
// namespace of its own. It stays up: who ran the tests takes it down (e2e/cluster/down).
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
	// Here tells that it is the one of e2e/cluster: its node is this machine.
	Here bool
}

// Busybox is an image with a shell and httpd.
func (c *Cluster) Busybox() string {
	if c.Here {
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

// Start finds the cluster or starts it, once a test binary.
func Start(t testing.TB) *Cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("the real Kubernetes is left out with -short")
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
	c := &Cluster{Kubeconfig: named, Here: named == ""}
	if c.Here {
		c.Kubeconfig = started.kubeconfig
	}
	var err error
	if c.Client, err = kube.Open(kube.Config{Kubeconfig: c.Kubeconfig, Timeout: patience}); err != nil {
		t.Fatal(err)
	}
	return c
}

func start() {
	switch {
	case os.Getenv("RAYORCH_TEST_NO_CLUSTER") != "":
		started.skip = "RAYORCH_TEST_NO_CLUSTER is set: the real Kubernetes is left out"
	case runtime.GOOS != "linux" || os.Geteuid() != 0:
		started.skip = "a real Kubernetes needs root on Linux here, or RAYORCH_TEST_KUBECONFIG"
	default:
		var out string
		out, started.err = script("up")
		started.kubeconfig = strings.Trim(strings.TrimPrefix(strings.TrimSpace(out), "export KUBECONFIG="), "'")
	}
}

// script runs one of e2e/cluster's commands; they lock each other out where they must.
func script(name string) (string, error) {
	_, here, _, _ := runtime.Caller(0)
	dir := filepath.Join(filepath.Dir(filepath.Dir(here)), "cluster")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Hour) // others may hold the lock, and the first one builds
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

// Name makes one that no other test has.
func Name(prefix string) string { return prefix + "-" + strings.ToLower(rand.Text()[:8]) }

// Namespace makes a namespace for one test, waits for what Kubernetes puts into each, and deletes it at the test's end.
func (c *Cluster) Namespace(t testing.TB) string {
	t.Helper()
	return c.namespace(t, map[string]any{})
}

// Restricted makes a namespace that enforces the Pod Security Standard "restricted", as one does that several teams share.
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
	Until(ctx, t, "what Kubernetes puts into "+name, func() error {
		_, account := c.Client.Get(ctx, Object("v1", "ServiceAccount", name, "default", nil))
		_, authority := c.Client.Get(ctx, Object("v1", "ConfigMap", name, "kube-root-ca.crt", nil))
		return errors.Join(account, authority)
	})
	return name
}

// Object makes one: more are its fields beside the metadata.
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

// Apply applies objects, or fails the test.
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

// Do makes a call. It makes it again while the API server has trouble of its own: another test may have stopped it for a
// while, or the machine be busy. What a service behind it answers is the test's to judge.
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

// Remove deletes what is at a path, as the client does, and again while the API server has trouble of its own.
func (c *Cluster) Remove(ctx context.Context, path, uid string) error {
	again := false
	return kube.Retry(ctx, func(ctx context.Context) error {
		err := c.Client.Remove(ctx, path, uid)
		if again && kube.NotFound(err) {
			return nil // by a try whose answer was lost
		}
		again = true
		return err
	})
}

// patience is more than a machine needs for a step of a test that has other work besides.
const patience = 10 * time.Minute

// Context ends well after the slowest step of a test, so that nothing hangs for ever.
func Context(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// Until repeats a look until it finds no error any more, or fails the test when ctx ends, with what the last look found.
func Until(ctx context.Context, t testing.TB, what string, look func() error) {
	t.Helper()
	var last error
	for {
		begin := time.Now()
		err := look()
		if err == nil {
			return
		}
		if last == nil || ctx.Err() == nil { // that ctx has ended is not what there was to see
			last = err
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s did not come: %v", what, last)
		case <-time.After(max(50*time.Millisecond, time.Since(begin))): // looks take half of a busy machine's time at most
		}
	}
}

// ErrNotYet is for looks that found nothing at all yet. Others say what they found.
var ErrNotYet = errors.New("not yet")

// Token makes one for a service account.
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

// Open makes a server of this machine, one that listens on loopback alone, known to the cluster's pods, and returns its
// address for them.
func (c *Cluster) Open(t testing.TB, server string) string {
	t.Helper()
	if !c.Here {
		t.Skip("SKIPPED: another cluster's pods do not reach this machine")
	}
	at, err := url.Parse(server)
	node, err2 := url.Parse(c.Server())
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	// Whatever address this machine has where the node is, its pods reach.
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

// Pause stops a part of the cluster's node, such as kube-apiserver or kubelet, as one that hangs, and returns what lets it
// go on; the test's end does so, too. It is for a cluster that is here. Others use that cluster as well: be quick. Nobody
// else pauses a part meanwhile.
func (c *Cluster) Pause(t testing.TB, part string) (resume func()) {
	t.Helper()
	if !c.Here {
		t.Skip("parts of another cluster cannot be paused: this needs the one of e2e/cluster")
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
		t.Fatalf("there is more than one %s: %q", part, pid)
	}
	release := c.keepUp(t)
	resume = sync.OnceFunc(func() {
		_ = syscall.Kill(n, syscall.SIGCONT) // one that ended needs it no more
		release()
	})
	t.Cleanup(resume)
	time.AfterFunc(patience/2, resume) // whatever becomes of the test
	if err := syscall.Kill(n, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	return resume
}

// keepUp holds the lock of e2e/cluster: another one's up would take a cluster that hangs for broken, and start it afresh.
// The kernel releases it when the test is killed; the next up lets go on what it finds stopped.
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

// Account makes a service account that may do what the rules say, and returns how to reach the cluster as it.
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

// granted waits until the API server goes by a Role, which it does a little later than it has it.
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
	Until(Context(t), t, "what was granted", func() error {
		answers, err := client.Can(Context(t), wanted)
		for _, a := range answers {
			if !a.Allowed {
				err = errors.Join(err, fmt.Errorf("not allowed yet: %s", a.Rule))
			}
		}
		return err
	})
}

// authority is the cluster's, as tasks name it. Every namespace has it.
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

// Rule is one of a Role's.
func Rule(group, resource string, verbs ...string) map[string]any {
	list := make([]any, len(verbs))
	for i, v := range verbs {
		list[i] = v
	}
	return map[string]any{"apiGroups": []any{group}, "resources": []any{resource}, "verbs": list}
}
