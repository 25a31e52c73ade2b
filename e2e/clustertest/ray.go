package clustertest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/rayorch/rayorch/internal/backend/kube"
)

// RayVersion is the version of Ray in the image of e2e/cluster/ray-image.
const RayVersion = "2.60.0"

var rayImage struct {
	once sync.Once
	name string
	err  error
}

// RayImage loads the image with Ray into the cluster and returns its name. In a cluster other than that of e2e/cluster, it returns
// RAYORCH_TEST_RAY_IMAGE (default: rayproject/ray).
func (c *Cluster) RayImage(t testing.TB) string {
	t.Helper()
	if !c.Local {
		if name := os.Getenv("RAYORCH_TEST_RAY_IMAGE"); name != "" {
			return name
		}
		return "rayproject/ray:" + RayVersion
	}
	rayImage.once.Do(func() {
		out, err := script("ray-image")
		rayImage.name, rayImage.err = strings.TrimSpace(out), err
	})
	if rayImage.err != nil {
		t.Fatal(rayImage.err)
	}
	return rayImage.name
}

// Claim is a PersistentVolumeClaim that several pods can mount read-write.
type Claim struct {
	Name string
	Dir  string // its directory on the node, which is this machine for the cluster of e2e/cluster
}

// Claim creates a claim whose volume is a directory of the node.
func (c *Cluster) Claim(t testing.TB, namespace string) Claim {
	t.Helper()
	volume := Name("claim")
	dir, err := os.MkdirTemp("", "rayorch-"+volume) // t.TempDir would fail the test if a pod still writes while the directory is removed
	if err == nil {
		err = os.Chmod(dir, 0o777) // pods run as different users
	}
	if err != nil {
		t.Fatal(err)
	}
	size := map[string]any{"storage": "1Gi"}
	modes := []any{"ReadWriteMany"}
	c.Apply(t,
		Object("v1", "PersistentVolume", "", volume, kube.Object{"spec": map[string]any{
			"capacity": size, "accessModes": modes, "persistentVolumeReclaimPolicy": "Retain", "storageClassName": "",
			"hostPath": map[string]any{"path": dir, "type": "DirectoryOrCreate"},
		}}),
		Object("v1", "PersistentVolumeClaim", namespace, "data", kube.Object{"spec": map[string]any{
			"accessModes": modes, "resources": map[string]any{"requests": size}, "storageClassName": "", "volumeName": volume,
		}}))
	t.Cleanup(func() {
		_ = c.Remove(Context(t), "/api/v1/persistentvolumes/"+volume, "") // a volume that is left behind does no harm
		_ = os.RemoveAll(dir)
	})
	return Claim{Name: "data", Dir: dir}
}

// RayOptions are the options of a RayCluster.
type RayOptions struct {
	// Name is the name of the RayCluster. Default: demo.
	Name string
	// Token enables token authentication.
	Token bool
	// Claim is the name of a claim that is mounted at /data, or empty.
	Claim string
	// Env contains environment variables of Ray's pods, such as the settings of an S3 client.
	Env map[string]string
	// Secret is the name of a Kubernetes Secret whose keys are environment variables of Ray's pods.
	Secret string
	// NoWorker leaves out the worker. Head and worker have one CPU each.
	NoWorker bool
}

// RayCluster is a Ray in the cluster.
type RayCluster struct {
	Name, Namespace string
	Head            string // name of the head's service
	Token           string
	// API is the path of Ray's Jobs API in the API server's proxy, with a trailing slash.
	API string
}

// RayCluster creates a RayCluster and waits until the API of its head responds and its worker, if any, is ready.
func (c *Cluster) RayCluster(t testing.TB, namespace string, o RayOptions) *RayCluster {
	t.Helper()
	if o.Name == "" {
		o.Name = "demo"
	}
	c.Apply(t, c.rayCluster(t, namespace, o))
	r := &RayCluster{Name: o.Name, Namespace: namespace, Head: o.Name + "-head-svc"}
	r.API = kube.ObjectPath("v1", namespace, "services", "http:"+r.Head+":8265") + "/proxy/"
	ctx := Context(t)
	if o.Token {
		Until(ctx, t, "the token of "+o.Name, func() (err error) {
			r.Token, err = c.rayToken(t, namespace, o.Name)
			return err
		})
	}
	Until(ctx, t, "the Ray "+o.Name, func() error {
		_, err := c.Do(ctx, kube.Request{Path: r.API + "api/version", Header: r.header()})
		return err
	})
	if !o.NoWorker {
		Until(ctx, t, "the worker of "+o.Name, func() error {
			o, err := c.Client.Get(ctx, Object("ray.io/v1", "RayCluster", namespace, o.Name, nil))
			if n, _ := kube.Field(o, "status", "readyWorkerReplicas").(float64); err == nil && n < 1 {
				err = fmt.Errorf("its status is %v", o["status"])
			}
			return err
		})
	}
	return r
}

// header returns a header with the token. It is not Authorization, because the API server's proxy does not forward that one.
func (r *RayCluster) header() http.Header {
	h := http.Header{}
	if r.Token != "" {
		h.Set("X-Ray-Authorization", "Bearer "+r.Token)
	}
	return h
}

// rayToken reads the token from the Secret that KubeRay creates, which has the name of the RayCluster.
func (c *Cluster) rayToken(t testing.TB, namespace, name string) (string, error) {
	o, err := c.Client.Get(Context(t), Object("v1", "Secret", namespace, name, nil))
	if err != nil {
		return "", err
	}
	text, _ := kube.Field(o, "data", "auth_token").(string)
	token, err := base64.StdEncoding.DecodeString(text)
	return string(token), err
}

// rayCluster returns the manifest of a RayCluster.
func (c *Cluster) rayCluster(t testing.TB, namespace string, o RayOptions) kube.Object {
	image := c.RayImage(t)
	group := func(params map[string]any) map[string]any {
		return map[string]any{"rayStartParams": params, "template": map[string]any{"spec": rayPod(image, o)}}
	}
	params := func() map[string]any { return map[string]any{"num-cpus": "1", "object-store-memory": "100000000"} }
	head := params()
	head["dashboard-host"] = "0.0.0.0"
	spec := map[string]any{"rayVersion": RayVersion, "headGroupSpec": group(head)}
	if o.Token {
		spec["authOptions"] = map[string]any{"mode": "token"}
	}
	if !o.NoWorker {
		workers := group(params())
		workers["groupName"], workers["replicas"], workers["minReplicas"], workers["maxReplicas"] = "workers", 1, 0, 1
		spec["workerGroupSpecs"] = []any{workers}
	}
	return Object("ray.io/v1", "RayCluster", namespace, o.Name, kube.Object{"spec": spec})
}

// rayPod returns the pod spec of the head and the worker, which the Pod Security Standard "restricted" admits.
func rayPod(image string, o RayOptions) map[string]any {
	env := []any{}
	for name, v := range o.Env {
		env = append(env, map[string]any{"name": name, "value": v})
	}
	container := map[string]any{"name": "ray", "image": image, "env": env, "resources": map[string]any{
		"requests": map[string]any{"cpu": "100m", "memory": "512Mi"}, "limits": map[string]any{"memory": "2Gi"},
	}}
	if o.Secret != "" {
		container["envFrom"] = []any{map[string]any{"secretRef": map[string]any{"name": o.Secret}}}
	}
	if !o.Token {
		container["readinessProbe"], container["livenessProbe"] = probe(1, 120), probe(10, 120)
	}
	container["securityContext"] = map[string]any{"allowPrivilegeEscalation": false, "capabilities": map[string]any{"drop": []any{"ALL"}}}
	pod := map[string]any{"containers": []any{container}, "securityContext": map[string]any{ // runAsNonRoot needs a numeric user, but the image has a name
		"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": map[string]any{"type": "RuntimeDefault"}}}
	if o.Claim != "" {
		container["volumeMounts"] = []any{map[string]any{"name": "data", "mountPath": "/data"}}
		pod["volumes"] = []any{map[string]any{"name": "data", "persistentVolumeClaim": map[string]any{"claimName": o.Claim}}}
	}
	return pod
}

// probe returns a probe that sends HTTP requests to Ray's agent. KubeRay's default probes, which a Ray with a token needs, run shells in
// the pod every few seconds, which needs much CPU time on a small machine, and start only after ten seconds.
func probe(period, failures int) map[string]any {
	return map[string]any{"httpGet": map[string]any{"path": "/api/local_raylet_healthz", "port": 52365},
		"periodSeconds": period, "timeoutSeconds": 60, "failureThreshold": failures}
}

func decode(t testing.TB, data []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(fmt.Errorf("%w: %.200s", err, data))
	}
}
