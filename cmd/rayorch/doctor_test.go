package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/rayorch/rayorch/internal/aws/deploy"
	"github.com/rayorch/rayorch/internal/aws/stack"
	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/doctor"
	"github.com/rayorch/rayorch/internal/pipeline"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// kubeAnswers are the responses of a fake Kubernetes API by path: an object as JSON, or the HTTP status of an error. DIR/* matches all
// paths in DIR; the response to other paths is 404. Access reviews are negative for the verbs in deny.
type kubeAnswers struct {
	paths map[string]any
	deny  []string
}

func (a kubeAnswers) with(changes map[string]any, deny ...string) kubeAnswers {
	paths := maps.Clone(a.paths)
	maps.Copy(paths, changes)
	return kubeAnswers{paths: paths, deny: deny}
}

func (a kubeAnswers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews") {
		var review struct {
			Spec struct{ ResourceAttributes struct{ Verb string } }
		}
		_ = json.NewDecoder(r.Body).Decode(&review)
		fmt.Fprintf(w, `{"status": {"allowed": %t}}`, !slices.Contains(a.deny, review.Spec.ResourceAttributes.Verb))
		return
	}
	answer, ok := a.paths[r.URL.Path]
	if !ok {
		answer = a.paths[path.Dir(r.URL.Path)+"/*"]
	}
	switch answer := answer.(type) {
	case string:
		fmt.Fprint(w, answer)
	case int:
		w.WriteHeader(answer)
		fmt.Fprintf(w, `{"kind": "Status", "reason": "R", "message": "refused", "code": %d}`, answer)
	default:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"kind": "Status", "reason": "NotFound", "message": "not found", "code": 404}`)
	}
}

const (
	kubeNS = "/api/v1/namespaces/ml"
	rayAPI = "/apis/ray.io/v1"
)

// rayCluster returns a RayCluster. ready is the status of its head; mounts reports whether the head and the workers mount the volume.
func rayCluster(ready, version, auth string, mounts bool) string {
	volumes := ""
	if mounts {
		volumes = `"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}], `
	}
	group := `"template": {"spec": {` + volumes + `"containers": [{"volumeMounts": [{"name": "v", "mountPath": "/data/"}]}]}}`
	return `{"metadata": {"name": "demo", "namespace": "ml"},
		"spec": {"rayVersion": "` + version + `", "authOptions": {"mode": "` + auth + `"},
			"headGroupSpec": {` + group + `}, "workerGroupSpecs": [{"groupName": "gpu", ` + group + `}]},
		"status": {"conditions": [{"type": "HeadPodReady", "status": "` + ready + `", "reason": "PodsNotReady", "message": "pulling"}], "head": {"podName": "h", "serviceName": "demo-head-svc"}}}`
}

func head(ready, version, auth string, mounts bool) map[string]any {
	one := rayCluster(ready, version, auth, mounts)
	return map[string]any{rayAPI + "/namespaces/ml/rayclusters": `{"items": [` + one + `]}`, rayAPI + "/namespaces/ml/rayclusters/demo": one}
}

func claim(phase, mode string) map[string]any {
	return map[string]any{kubeNS + "/persistentvolumeclaims/data": `{"spec": {"accessModes": ["` + mode + `"], "storageClassName": "fast"}, "status": {"phase": "` + phase + `"}}`}
}

func quota(used string) map[string]any {
	return map[string]any{kubeNS + "/resourcequotas": `{"items": [{"metadata": {"name": "tight"}, "status": {"hard": {"cpu": "2", "pods": "3"}, "used": {"cpu": "` + used + `", "pods": "1"}}}]}`}
}

// healthy is a cluster that meets all prerequisites of doctorPipeline.
func healthy() kubeAnswers {
	a := kubeAnswers{paths: map[string]any{
		"/version":             `{"gitVersion": "v1.36.0"}`,
		"/api/v1":              `{"resources": [{"name": "configmaps", "kind": "ConfigMap", "namespaced": true}]}`,
		kubeNS:                 `{"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}`,
		rayAPI:                 `{}`,
		kubeNS + "/secrets/hf": `{"data": {"token": "dA=="}}`,
		kubeNS + "/services/demo-head-svc:8265/proxy/api/version":      `{"ray_version": "2.60.0"}`,
		kubeNS + "/serviceaccounts/trainer":                            `{}`,
		"/apis/kueue.x-k8s.io/v1beta1/namespaces/ml/localqueues/short": `{}`,
		"/apis/authentication.k8s.io/v1/selfsubjectreviews":            `{"status": {"userInfo": {"username": "system:serviceaccount:ci:bot"}}}`,
	}}
	return a.with(head("True", "2.60.0", "", true)).with(claim("Bound", "ReadWriteMany")).with(quota("1"))
}

const doctorPipeline = `version: 1
name: words
secrets: {TOKEN: {kubernetesSecret: {name: hf, key: token}}}
targets:
  cluster:
    kind: kubernetes
    namespace: ml
    ray: {cluster: demo}
    pods: {serviceAccount: trainer}
storage: {claim: data, path: /data}
steps:
  - {name: count, ray: {entrypoint: echo 1, secrets: [TOKEN]}}
  - {name: plain, job: {shell: 'true', image: x, secrets: [TOKEN]}}
`

const ownCluster = `ray: {clusterSpec: {rayVersion: 2.60.0, headGroupSpec: {template: {spec: {containers: [{name: h, image: x}]}}}}}
    queue: short
    submit: rayjob`

// severalClusters has steps in two contexts. One of them is the current context, which must be checked only once.
const severalClusters = "steps:\n  - {name: away, context: other, job: {shell: 'true', image: x}}\n  - {name: back, context: here, ray: {entrypoint: echo}}"

// TestDoctorGolden compares the output of doctor for a cluster, as text and as JSON, with golden files. In each case, one thing is missing.
func TestDoctorGolden(t *testing.T) {
	closed := map[string]any{kubeNS + "/services": 403, kubeNS + "/services/demo-head-svc": 403, rayAPI + "/namespaces/ml/rayclusters": 403}
	for name, c := range map[string]struct {
		answers kubeAnswers
		args    []string
		old     string // in the pipeline file
		new     string
	}{
		"healthy":                 {answers: healthy()},
		"healthy-json":            {answers: healthy(), args: []string{"-o", "json"}},
		"head-unknown-json":       {answers: healthy().with(closed), args: []string{"-o", "json"}},
		"several-clusters":        {answers: healthy(), old: "steps:", new: severalClusters},
		"files-there":             {answers: healthy().with(map[string]any{kubeNS + "/configmaps/*": "{}"})},
		"no-version":              {answers: healthy().with(map[string]any{"/version": 500})},
		"no-namespace":            {answers: healthy().with(map[string]any{kubeNS: nil})},
		"namespace-closed":        {answers: healthy().with(map[string]any{kubeNS: 403})},
		"namespace-broken":        {answers: healthy().with(map[string]any{kubeNS: 500})},
		"pod-security":            {answers: healthy(), old: "serviceAccount: trainer", new: "securityContext: {}"},
		"rights":                  {answers: healthy().with(nil, "create", "patch")},
		"rights-of-a-user":        {answers: healthy().with(map[string]any{"/apis/authentication.k8s.io/v1/selfsubjectreviews": `{"status": {"userInfo": {"username": "Ada B"}}}`}, "create")},
		"rights-of-nobody":        {answers: healthy().with(map[string]any{"/apis/authentication.k8s.io/v1/selfsubjectreviews": 403}, "get")},
		"no-head":                 {answers: healthy().with(map[string]any{rayAPI + "/namespaces/ml/rayclusters": `{"items": []}`})},
		"head-by-service":         {answers: healthy().with(map[string]any{rayAPI + "/namespaces/ml/rayclusters": `{"items": []}`, kubeNS + "/services/demo-head-svc": `{}`})},
		"head-unknown":            {answers: healthy().with(closed)},
		"head-not-ready":          {answers: healthy().with(head("False", "2.60.0", "", false))},
		"head-of-another-version": {answers: healthy().with(head("True", "2.9.0", "token", true))},
		"version-unknown":         {answers: healthy().with(map[string]any{kubeNS + "/services/demo-head-svc:8265/proxy/api/version": 503})},
		"token-rayjob":            {answers: healthy().with(head("True", "2.60.0", "token", true)), args: []string{"--submit", "rayjob"}, old: ", secrets: [TOKEN]", new: ""},
		"no-kuberay":              {answers: healthy().with(map[string]any{rayAPI: nil}), args: []string{"--submit", "rayjob"}, old: ", secrets: [TOKEN]", new: ""},
		"head-without-storage":    {answers: healthy().with(head("True", "2.60.0", "", false))},
		"own-cluster":             {answers: healthy(), old: "ray: {cluster: demo}", new: ownCluster},
		"no-queue":                {answers: healthy().with(map[string]any{"/apis/kueue.x-k8s.io/v1beta1/namespaces/ml/localqueues/short": nil}), old: "ray: {cluster: demo}", new: ownCluster},
		"no-claim":                {answers: healthy().with(map[string]any{kubeNS + "/persistentvolumeclaims/data": nil})},
		"claim-closed":            {answers: healthy().with(map[string]any{kubeNS + "/persistentvolumeclaims/data": 403})},
		"claim-of-one-node":       {answers: healthy().with(claim("Bound", "ReadWriteOnce"))},
		"claim-pending":           {answers: healthy().with(claim("Pending", "ReadWriteMany"))},
		"claim-binds-late": {answers: healthy().with(claim("Pending", "ReadWriteMany")).with(map[string]any{
			"/apis/storage.k8s.io/v1/storageclasses/fast": `{"volumeBindingMode": "WaitForFirstConsumer"}`})},
		"no-secret":      {answers: healthy().with(map[string]any{kubeNS + "/secrets/hf": nil})},
		"no-account":     {answers: healthy().with(map[string]any{kubeNS + "/serviceaccounts/trainer": nil})},
		"account-closed": {answers: healthy().with(map[string]any{kubeNS + "/serviceaccounts/trainer": 403})},
		"quota":          {answers: healthy().with(quota("2000m"))},
		"files-closed":   {answers: healthy().with(map[string]any{"/api/v1": 403})},
	} {
		t.Run(name, func(t *testing.T) {
			file := strings.Replace(doctorPipeline, c.old, c.new, 1)
			checkGolden(t, name, runDoctor(t, c.answers, file, c.args...))
		})
	}
}

// runDoctor returns the output of doctor for a pipeline in the fake cluster, and its exit code.
func runDoctor(t *testing.T, answers kubeAnswers, file string, args ...string) string {
	srv := httptest.NewServer(answers)
	defer srv.Close()
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("RAYORCH_STATE_DIR", filepath.Join(dir, "state"))
	write(t, "pipeline.yaml", file)
	write(t, "config", kubeconfig(srv.URL))
	var out bytes.Buffer
	a := testApp("", &out)
	code := a.run(t.Context(), append([]string{"doctor", "--kubeconfig", "config", "-t", "cluster"}, args...))
	fmt.Fprintf(&out, "exit code %d\n", code)
	return strings.NewReplacer(srv.URL, "SERVER", dir, "DIR").Replace(out.String())
}

// TestDoctorOfADeployment compares the output of doctor for the cluster of a deployment with golden files.
func TestDoctorOfADeployment(t *testing.T) {
	p, err := pipeline.Decode("f", []byte(doctorPipeline))
	if err != nil {
		t.Fatal(err)
	}
	found := deploy.Deployment{
		Record: stack.Record{Machine: "words", Cluster: "eks", AdminRole: "admin", Namespace: "ml", User: "trainer"}, Outputs: map[string]string{"EksServiceAccountRoleArn": "arn:role"},
	}
	annotated := func(role string) map[string]any {
		return map[string]any{kubeNS + "/serviceaccounts/trainer": `{"metadata": {"annotations": {"eks.amazonaws.com/role-arn": "` + role + `"}}}`}
	}
	pods := func(users ...string) map[string]any {
		var items []string
		for _, user := range users {
			items = append(items, `{"spec": {"serviceAccountName": "`+user+`"}}`)
		}
		return map[string]any{kubeNS + "/pods": `{"items": [` + strings.Join(items, ", ") + `]}`}
	}
	for name, answers := range map[string]kubeAnswers{
		"aws-healthy":    healthy().with(annotated("arn:role")).with(pods("trainer", "trainer")),
		"aws-other-role": healthy().with(annotated("")).with(pods("trainer", "z", "default", "z")),
		"aws-nothing":    {},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(answers)
			defer srv.Close()
			config := filepath.Join(t.TempDir(), "config")
			write(t, config, kubeconfig(srv.URL))
			c, err := kube.Open(kube.Config{Kubeconfig: config})
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			fmt.Fprintln(&got, showChecks(testApp("", &got).out, deploymentChecks(t.Context(), found, c, p)))
			checkGolden(t, name, strings.ReplaceAll(got.String(), srv.URL, "SERVER"))
		})
	}
}

func deploymentChecks(ctx context.Context, found deploy.Deployment, c *kube.Client, p *pipeline.Pipeline) []doctor.Result {
	d := &doctor.Deployment{Found: found, Connect: func(context.Context) (*kube.Client, error) { return c, nil }}
	return append(doctor.Run(ctx, d.Checks()), doctor.Run(ctx, d.Secrets(p))...)
}

func kubeconfig(server string) string {
	return "{apiVersion: v1, kind: Config, current-context: here, users: [{name: u, user: {}}], clusters: [{name: c, cluster: {server: '" + server + "'}}]," +
		"contexts: [{name: here, context: {cluster: c, user: u}}, {name: other, context: {cluster: c, user: u}}]}"
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// goldenFile is an archive with the expected output of each case. The path is absolute because tests change the directory.
var goldenFile, _ = filepath.Abs(filepath.Join("testdata", "doctor.golden.txtar"))

// checkGolden compares got with a file in goldenFile. go test -update writes the file instead.
func checkGolden(t *testing.T, name, got string) {
	t.Helper()
	archive, err := txtar.ParseFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	i, found := slices.BinarySearchFunc(archive.Files, name, func(f txtar.File, name string) int { return strings.Compare(f.Name, name) })
	if *update {
		if !found {
			archive.Files = slices.Insert(archive.Files, i, txtar.File{Name: name})
		}
		archive.Files[i].Data = []byte(got)
		write(t, goldenFile, string(txtar.Format(archive)))
		return
	}
	if !found {
		t.Fatalf("%s has no file %s; to add it: go test -update", goldenFile, name)
	}
	if diff := cmp.Diff(string(archive.Files[i].Data), got); diff != "" {
		t.Error(diff)
	}
}
