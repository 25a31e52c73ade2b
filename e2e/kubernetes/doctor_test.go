package kubernetes_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/internal/backend/kube"
)

// doctor runs rayorch doctor on a pipeline without problems, and then with one problem at a time, each of which it must report with a fix.
func (w *world) doctor(t *testing.T) {
	dir := w.pipeline(t, "checked", "  - {name: one, ray: {entrypoint: 'true', secrets: [TOKEN]}}\n")
	file := filepath.Join(dir, "pipeline.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	good := "secrets: {TOKEN: {kubernetesSecret: {name: hf, key: token}}}\n" + string(text)
	w.c.Apply(t, clustertest.Object("v1", "Secret", w.namespace, "hf", kube.Object{"stringData": map[string]any{"token": "t"}}))
	check := func(text string, code int, words ...string) {
		t.Helper()
		w.Write(t, "checked/pipeline.yaml", text)
		w.says(t, code, words, "doctor", dir, "-t", "kubernetes")
	}
	w.Write(t, "checked/pipeline.yaml", good)
	clustertest.Until(clustertest.Context(t), t, "a head that is ready", func() error {
		if res := w.Run(t.Context(), t, "doctor", dir, "-t", "kubernetes"); res.Code != 0 {
			return fmt.Errorf("exit code %d: %s%s", res.Code, res.Stdout, res.Stderr)
		}
		return nil
	})
	check(good, 0, "ok    pod security     the namespace enforces restricted and admits the pods", "ok    ray head", "ok    ray version", "ok    ray storage", "ok    claim", "ok    secret hf", "ok    permissions", "ok    upload files")
	for _, c := range []struct{ old, new, problem, fix string }{
		{"namespace: " + w.namespace, "namespace: nowhere", "FAIL  namespace        namespace nowhere not found", "rayorch apply "},
		{"cluster: ray", "cluster: rai", "no Ray cluster rai", "choose one of ray"},
		{"claim: data", "claim: lost", `"lost" not found`, "create the PersistentVolumeClaim lost in namespace"},
		{"path: /data", "path: /elsewhere", "do not mount the claim data at /elsewhere: head", "mount the claim in the pod templates of the RayCluster"},
		{"name: hf", "name: none", `secrets "none" not found; needed by one`, "kubectl create secret generic none -n " + w.namespace + " --from-file=token=FILE"},
		{"key: token", "key: other", "key other: missing; needed by one", "kubectl edit secret hf -n " + w.namespace},
		{"ray: {cluster: ray}", "ray: {cluster: ray}, pods: {securityContext: {}}", "the namespace enforces restricted and rejects the pods of the submitters: " +
			"allowPrivilegeEscalation != false, unrestricted capabilities", "change or remove securityContext"},
		{"ray: {cluster: ray}", "ray: {cluster: ray}, pods: {serviceAccount: trainer}", `serviceaccounts "trainer" not found`, "rayorch apply "},
	} {
		check(strings.Replace(good, c.old, c.new, 1), 1, "FAIL  ", c.problem, c.fix)
	}
	quota := clustertest.Object("v1", "ResourceQuota", w.namespace, "tight", kube.Object{"spec": map[string]any{"hard": map[string]any{"count/configmaps": "0"}}})
	w.c.Apply(t, quota)
	defer func() {
		if err := w.c.Remove(clustertest.Context(t), kube.ObjectPath("v1", w.namespace, "resourcequotas", "tight"), ""); err != nil {
			t.Error(err)
		}
	}()
	clustertest.Until(clustertest.Context(t), t, "the status of the quota", func() error {
		o, err := w.c.Client.Get(clustertest.Context(t), quota)
		if err == nil && kube.Field(o, "status", "hard") == nil {
			err = fmt.Errorf("the status is %v", o["status"])
		}
		return err
	})
	check(good, 0, "note  quota tight      used up: count/configmaps ")
}
