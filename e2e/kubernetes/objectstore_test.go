package kubernetes_test

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/e2e/awstest"
	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/e2e/command"
)

// TestObjectStore uploads a working directory to an object store, from which Ray downloads it in its pods. The object store is moto on this
// machine.
func TestObjectStore(t *testing.T) {
	needsFull(t)
	c := clustertest.Start(t)
	moto := awstest.Moto(t)
	here := moto.Env()
	env := map[string]string{}
	for _, v := range append(here, "AWS_ENDPOINT_URL="+c.Open(t, moto.URL)) {
		name, text, _ := strings.Cut(v, "=")
		env[name] = text
	}
	w := &world{Sandbox: command.New(t, nil), c: c, namespace: c.Restricted(t)}
	w.claim = c.Claim(t, w.namespace)
	w.ray = c.RayCluster(t, w.namespace, clustertest.RayOptions{Name: "ray", Claim: w.claim.Name, NoWorker: true, Env: env})
	w.use(c.Kubeconfig)
	w.Env = append(w.Env, here...)

	target := strings.Replace(w.target(t), "kind: kubernetes,", "kind: kubernetes, workingDir: {via: objectStore, uri: s3://packages/dirs},", 1)
	dir := filepath.Join(w.Dir, "store")
	w.Write(t, "store/pipeline.yaml", "version: 1\nname: store\ntimeout: 60m\n"+target+
		"steps:\n  - {name: read, ray: {entrypoint: 'cat sub/text >$RAYORCH_OUTPUT', workingDir: files}}\n")
	w.Write(t, "store/files/sub/text", `"from afar"`)
	res := w.Run(t.Context(), t, "run", dir, "-t", "kubernetes", "--name", "early")
	if res.Code != 1 || !strings.Contains(res.Stderr, "upload the working directory to s3://packages/dirs/store/") || !strings.Contains(res.Stderr, "hint: check the name of the bucket") {
		t.Errorf("without a bucket: exit code %d, want 1 and a hint about the bucket's name\n%s", res.Code, res.Stderr)
	}
	if x := w.describe(t, "early"); x.Status != "" {
		t.Errorf("without a bucket: the run was started: %+v", x)
	}
	request(t, http.MethodPut, moto.URL+"/packages")
	for i, mode := range modes {
		res := w.must(t, "run", dir, "-t", "kubernetes", "--submit", mode, "--name", mode)
		if x := w.describe(t, mode); string(x.Output["read"]) != `"from afar"` {
			t.Errorf("%s: status %s, error %s, cause %s, output %s; want \"from afar\"", mode, x.Status, x.Error, x.Cause, x.Output)
		}
		if uploads := strings.Count(res.Stderr, "uploaded the working directory"); uploads != map[bool]int{true: 1}[i == 0] {
			t.Errorf("%s: uploaded the unchanged directory %d times, want only in the first run:\n%s", mode, uploads, res.Stderr)
		}
		if x := w.describe(t, mode); len(x.Code) != 1 || x.Code[0].Path != filepath.Join(dir, "files") || x.Code[0].Hash == "" {
			t.Errorf("%s: the code of the run is %+v, want one directory with a hash", mode, x.Code)
		}
		w.nothingRuns(t)
	}
	w.Write(t, "store/files/sub/text", "changed\n")
	if res := w.must(t, "describe", "job", "--code-diff"); !strings.Contains(res.Stdout, "+changed\n") {
		t.Errorf("describe --code-diff printed %s, want the changed line", res.Stdout)
	}
	if list := request(t, http.MethodGet, moto.URL+"/packages?list-type=2"); strings.Count(list, "<Key>dirs/store/") != 1 {
		t.Errorf("the bucket contains %s, want one package", list)
	}
}

// request sends an unsigned request to S3, which the emulator accepts, and returns the body of the response.
func request(t *testing.T, method, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(clustertest.Context(t), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(fmt.Errorf("%s %s: %s %s %w", method, url, res.Status, text, err))
	}
	return string(text)
}
