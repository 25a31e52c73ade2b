package kubernetes_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/e2e/command"
	"github.com/rayorch/rayorch/internal/backend/kube"
)

// TestServer installs deploy/kubernetes: a server in the cluster, with its state on a claim. A second server waits for the Lease. When the
// first is killed during a run, the second must resume the run, and must not create a Job twice.
func TestServer(t *testing.T) {
	c := clustertest.Start(t)
	if !c.Local {
		t.Skip("SKIPPED: the server's image can only be loaded into the cluster of e2e/cluster")
	}
	w := &world{Sandbox: command.New(t, nil), c: c, namespace: c.Restricted(t)}
	w.use(c.Kubeconfig)
	w.claim = c.Claim(t, w.namespace)
	w.install(t)
	w.forward(t)

	dir := w.pipeline(t, "counted", "  - {name: first, job: {shell: 'until [ -e $RAYORCH_STORAGE/go ]; do sleep 1; done; echo ran >> $RAYORCH_STORAGE/ran'}}\n  - {name: second, job: {command: [echo, done]}}\n")
	w.must(t, "apply", dir, "-t", "kubernetes", "--runner", "serviceaccount:"+w.namespace+"/rayorch")
	w.must(t, "register", dir, "-t", "kubernetes")
	arn := strings.TrimSpace(w.must(t, "start", "counted").Stdout)
	ctx := clustertest.Context(t)
	clustertest.Until(ctx, t, "the first step's pod", func() error {
		var pods struct{ Items []kube.Pod }
		w.list(t, kube.CollectionPath("v1", w.namespace, "pods"), "rayorch.dev/pipeline=counted", &pods)
		if len(pods.Items) == 0 {
			return clustertest.ErrNotYet
		}
		if p := pods.Items[0]; p.Status.Phase != "Running" {
			return fmt.Errorf("%s is %s", p.Metadata.Name, p.Status.Phase)
		}
		return nil
	})
	first := w.pods(t, "app.kubernetes.io/name=rayorch")
	w.scale(t, 2)
	w.awaitStandby(t, first[0])
	w.deletePods(t, first, 0)
	w.release(t, "counted", arn[strings.LastIndex(arn, ":")+1:])
	clustertest.Until(ctx, t, "the end of the run", func() error {
		x := w.describe(t, arn)
		if x.Status != "SUCCEEDED" {
			return fmt.Errorf("the run is %q: %s", x.Status, x.Cause)
		}
		return nil
	})
	var jobs struct{ Items []kube.Job }
	w.list(t, kube.JobsPath(w.namespace), ours, &jobs)
	if len(jobs.Items) != 2 {
		t.Errorf("got %d Jobs, want one for each of the two steps", len(jobs.Items))
	}
	ran, err := filepath.Glob(filepath.Join(w.claim.Dir, "counted", "*", "ran"))
	if err != nil || len(ran) != 1 {
		t.Fatalf("got the files %v, %v, want one", ran, err)
	}
	if text, _ := os.ReadFile(ran[0]); string(text) != "ran\n" {
		t.Errorf("the step ran %d times, want once", strings.Count(string(text), "ran"))
	}
}

// install builds the image and applies the manifests and the Secret that they need.
func (w *world) install(t *testing.T) {
	t.Helper()
	image := "local/" + clustertest.Name("rayorch") + ":1"
	root := t.TempDir()
	binary, err := os.ReadFile(w.Binary)
	if err == nil {
		err = os.WriteFile(filepath.Join(root, "rayorch"), binary, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("../cluster/load-image", image, root, "--entrypoint", "/rayorch").CombinedOutput(); err != nil {
		t.Fatalf("load-image: %v\n%s", err, out)
	}
	cert, key := certificate(t)
	w.Env = append(w.Env, "SSL_CERT_FILE="+filepath.Join(w.Dir, "cert.pem"), "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=the-secret-of-the-test", "AWS_REGION=us-east-1")
	w.Write(t, "cert.pem", cert)
	w.c.Apply(t, clustertest.Object("v1", "Secret", w.namespace, "rayorch", kube.Object{
		"stringData": map[string]any{"access": "test:the-secret-of-the-test", "tls.crt": cert, "tls.key": key},
	}))
	w.c.Apply(t, w.manifests(t, image)...)
}

// manifests returns the objects of deploy/kubernetes with the test's namespace, image and claim.
func (w *world) manifests(t *testing.T, image string) []kube.Object {
	t.Helper()
	text, err := os.ReadFile("../../deploy/kubernetes/rayorch.yaml")
	if err != nil {
		t.Fatal(err)
	}
	policy, err := os.ReadFile("../../deploy/kubernetes/networkpolicy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text = append(append(text, "---\n"...), policy...)
	text = bytes.ReplaceAll(text, []byte("image: rayorch "), []byte("image: "+image+" "))
	text = bytes.ReplaceAll(text, []byte("claimName: rayorch-state"), []byte("claimName: "+w.claim.Name))
	var all []kube.Object
	for dec := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var o kube.Object
		err := dec.Decode(&o)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		o["metadata"].(map[string]any)["namespace"] = w.namespace
		if kube.Kind(o) != "PersistentVolumeClaim" {
			all = append(all, o)
		}
	}
}

// certificate creates a self-signed certificate for 127.0.0.1, the address of the test's port-forward.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

// forward waits until the server is ready, and forwards a port to its service for the test's commands.
func (w *world) forward(t *testing.T) {
	t.Helper()
	ctx := clustertest.Context(t)
	clustertest.Until(ctx, t, "the server", func() error {
		var pods struct{ Items []kube.Pod }
		w.list(t, kube.CollectionPath("v1", w.namespace, "pods"), "app.kubernetes.io/name=rayorch", &pods)
		for _, p := range pods.Items {
			for _, cond := range p.Status.Conditions {
				if cond.Type == "Ready" && cond.Status == "True" {
					return nil
				}
			}
		}
		return w.notReady(pods.Items)
	})
	f, err := w.c.Forward(t.Context(), kube.ForwardOptions{Namespace: w.namespace, Service: "rayorch", Port: 443})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	w.endpoint = "https://" + f.Address()
}

// notReady returns an error with the states of the server's pods.
func (w *world) notReady(pods []kube.Pod) error {
	text := "no pod is ready"
	for _, p := range pods {
		text += fmt.Sprintf("; %s is %s %+v", p.Metadata.Name, p.Status.Phase, p.Status.ContainerStatuses)
	}
	return errors.New(text)
}

// scale sets the number of servers.
func (w *world) scale(t *testing.T, n int) {
	t.Helper()
	_, err := w.c.Do(clustertest.Context(t), kube.Request{
		Method: http.MethodPatch, Path: kube.ObjectPath("apps/v1", w.namespace, "deployments", "rayorch"),
		ContentType: "application/merge-patch+json", Body: fmt.Appendf(nil, `{"spec": {"replicas": %d}}`, n),
	})
	if err != nil {
		t.Fatal(err)
	}
}

// awaitStandby waits until the other server logs that it waits for the Lease of the holder, and checks the Lease.
func (w *world) awaitStandby(t *testing.T, holder string) {
	t.Helper()
	ctx := clustertest.Context(t)
	clustertest.Until(ctx, t, "a second server that waits", func() error {
		for _, name := range w.pods(t, "app.kubernetes.io/name=rayorch") {
			if name == holder {
				continue
			}
			log, err := w.c.PodLog(ctx, w.namespace, name, "rayorch", kube.LogOptions{})
			if err != nil {
				return err
			}
			text, err := io.ReadAll(log)
			if strings.Contains(string(text), "waiting for the lease "+w.namespace+"/rayorch, held by "+holder) {
				return log.Close()
			}
			return errors.Join(fmt.Errorf("its log is %q", text), err, log.Close())
		}
		return clustertest.ErrNotYet
	})
	var l kube.Object
	res, err := w.c.Do(ctx, kube.Request{Path: kube.ObjectPath("coordination.k8s.io/v1", w.namespace, "leases", "rayorch")})
	if err == nil {
		err = json.Unmarshal(res.Body, &l)
	}
	if who, _ := kube.Field(l, "spec", "holderIdentity").(string); err != nil || !strings.HasPrefix(who, holder) {
		t.Errorf("%q holds the lease, want %s: %v", who, holder, err)
	}
}
