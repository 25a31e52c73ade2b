package doctor

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
)

// TestSecretsInACluster checks a key that exists, one that does not, a missing Secret, and one that the user cannot read.
func TestSecretsInACluster(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/api/v1/namespaces/ml/secrets/hf":
			fmt.Fprint(w, `{"data": {"token": "dA=="}}`)
		case "/api/v1/namespaces/ml/secrets/closed":
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"kind": "Status", "reason": "Forbidden", "message": "no", "code": 403}`)
		default:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"kind": "Status", "reason": "NotFound", "message": "secrets \"none\" not found", "code": 404}`)
		}
	}))
	defer srv.Close()
	config := filepath.Join(t.TempDir(), "config")
	text := "{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}], users: [{name: u, user: {}}], clusters: [{name: c, cluster: {server: '" + srv.URL + "'}}]}"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := kube.Open(kube.Config{Kubeconfig: config})
	if err != nil {
		t.Fatal(err)
	}
	p, err := pipeline.Decode("f", []byte(`
version: 1
name: p
secrets:
  A: {kubernetesSecret: {name: hf, key: token}}
  B: {kubernetesSecret: {name: hf, key: other}}
steps: [{name: one, job: {shell: x, secrets: [A]}}, {name: two, forEach: {items: [1], steps: [{name: three, ray: {entrypoint: x, secrets: [A, B]}}]}}]
`))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[compile.SecretKey]Result{
		{Name: "hf", Key: "token"}:   {OK: true, Needed: true, Found: "key token: found"},
		{Name: "hf", Key: "other"}:   {Needed: true, Found: "key other: missing; needed by three"},
		{Name: "none", Key: "token"}: {Needed: true, Found: `GET /api/v1/namespaces/ml/secrets/none: 404 secrets "none" not found`},
		{Name: "closed", Key: "k"}:   {Found: "not allowed to read it; it needs the key k"},
	} {
		want.Name = "secret " + key.Name
		got := Run(t.Context(), []Check{secretCheck(func() *kube.Client { return c }, "ml", key, clusterUsers(p, key))})[0]
		if (got.Advice == "") != got.OK {
			t.Errorf("%v: the advice is %q", key, got.Advice)
		}
		got.Advice = ""
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v:\n%s", key, diff)
		}
	}
	if diff := cmp.Diff([]string{"one", "three"}, clusterUsers(p, compile.SecretKey{Name: "hf", Key: "token"})); diff != "" {
		t.Error(diff)
	}
}
