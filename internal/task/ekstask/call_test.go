package ekstask_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/e2e/clustertest"
	"github.com/rayorch/rayorch/internal/backend/kube"
)

// body makes a call that must succeed, and returns the response body.
func (b *bench) body(method, path string, more map[string]any) map[string]any {
	b.t.Helper()
	args := map[string]any{"Method": method, "Path": path}
	for key, v := range more {
		args[key] = v
	}
	o, _ := b.output(b.run("call", args))["ResponseBody"].(map[string]any)
	return o
}

func TestCall(t *testing.T) {
	b := newBench(t)
	maps := kube.CollectionPath("v1", b.ns, "configmaps")
	made := map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{
		"name": "one", "labels": map[string]any{"test": "call"}}, "data": map[string]any{"a": "1"}}
	if o := b.body("POST", maps, map[string]any{"RequestBody": made}); kube.Name(o) != "one" {
		t.Errorf("POST: %v", o)
	}
	o := b.body("PATCH", maps+"/one", map[string]any{"RequestBody": map[string]any{"data": map[string]any{"b": "2"}}})
	if diff := cmp.Diff(map[string]any{"a": "1", "b": "2"}, o["data"]); diff != "" {
		t.Error("merge patch", diff)
	}
	o = b.body("PATCH", maps+"/one", map[string]any{"RequestBody": `[{"op": "remove", "path": "/data/a"}]`})
	if diff := cmp.Diff(map[string]any{"b": "2"}, o["data"]); diff != "" {
		t.Error("json patch", diff)
	}
	o["data"] = map[string]any{"c": "3"}
	if o = b.body("PUT", maps+"/one", map[string]any{"RequestBody": asJSON(t, o)}); kube.Field(o, "data", "c") != "3" {
		t.Errorf("PUT: %v", o)
	}
	found := b.body("GET", maps, map[string]any{"QueryParameters": map[string]any{"labelSelector": []any{"test=call"}}})
	if items, _ := found["items"].([]any); len(items) != 1 {
		t.Errorf("GET by label: %v", found)
	}
	b.body("DELETE", maps+"/one", nil)
	b.failure(b.run("call", map[string]any{"Method": "GET", "Path": maps + "/one"}), "EKS.404", `"StatusCode":404`, `"StatusText":"Not Found"`)
}

func TestCallFails(t *testing.T) {
	b := newBench(t)
	maps := kube.CollectionPath("v1", b.ns, "configmaps")
	taken := map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "kube-root-ca.crt"}}
	tests := []struct {
		name  string
		args  map[string]any
		err   string
		cause string
	}{
		{"exists", map[string]any{"Method": "POST", "Path": maps, "RequestBody": taken}, "EKS.409", "AlreadyExists"},
		{"invalid", map[string]any{"Method": "POST", "Path": maps, "RequestBody": map[string]any{"kind": "Pod"}}, "EKS.400", "StatusCode"},
		{"no endpoints", map[string]any{"Method": "GET",
			"Path": kube.ObjectPath("v1", b.ns, "services", "no-such:80") + "/proxy/"}, "EKS.404", "not found"},
		{"method", map[string]any{"Method": "SEND", "Path": "/"}, "States.Runtime", `Method "SEND" must be one of GET`},
		{"path", map[string]any{"Method": "GET", "Path": "api"}, "States.Runtime", "must start with /"},
		{"another host", map[string]any{"Method": "GET", "Path": "//example.com/api"}, "States.TaskFailed", "not contain a host"},
		{"unknown field", map[string]any{"Method": "GET", "Path": "/api", "Header": "x"}, "States.Runtime", `unknown field "Header"`},
		{"unknown cluster", map[string]any{"ClusterName": "no-such", "Method": "GET", "Path": "/api"}, "EKS.ClusterNotFound", "choose one of"},
		{"no credentials", map[string]any{"ClusterName": "x", "Endpoint": "https://127.0.0.1:1", "Method": "GET", "Path": "/api"},
			"EKS.ClusterNotFound", "no credentials"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			one := &bench{t: t}
			one.failure(b.run("call", test.args), test.err, test.cause)
		})
	}
	res := b.run("call", tests[0].args)
	var cause struct {
		ResponseBody struct{ Reason string }
		StatusCode   int
		StatusText   string
	}
	if err := json.Unmarshal([]byte(res.Cause), &cause); err != nil || cause.ResponseBody.Reason != "AlreadyExists" ||
		cause.StatusCode != 409 || cause.StatusText != "Conflict" {
		t.Errorf("%v: %s", err, res.Cause)
	}
}

// TestServiceProxy calls a web server in a pod through the API server, as tasks reach Ray's Jobs API.
func TestServiceProxy(t *testing.T) {
	b := newBench(t)
	b.web("web", `{"from": "the pod"}`)
	path := kube.ObjectPath("v1", b.ns, "services", "http:web:80") + "/proxy/"
	clustertest.Until(clustertest.Context(t), t, "the web server", func() error {
		_, err := b.cluster.Do(clustertest.Context(t), kube.Request{Path: path + "data.json"})
		return err
	})
	if o := b.body("GET", path+"data.json", nil); o["from"] != "the pod" {
		t.Errorf("got %v", o)
	}
	o := b.output(b.run("call", map[string]any{"Method": "GET", "Path": path + "text"}))
	if o["ResponseBody"] != "not JSON\n" {
		t.Errorf("got %v for a body that is not JSON", o)
	}
	b.failure(b.run("call", map[string]any{"Method": "GET", "Path": path + "none"}), "EKS.404", "StatusCode")
}

// web creates a pod with a web server that serves data.json, and a service in front of it.
func (b *bench) web(name, data string) {
	b.t.Helper()
	labels := map[string]any{"app": name}
	script := "mkdir /www; echo '" + data + "' >/www/data.json; echo not JSON >/www/text; hostname >/www/hostname; exec httpd -f -p 8080 -h /www"
	b.cluster.Apply(b.t,
		kube.Object{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": name, "namespace": b.ns, "labels": labels},
			"spec": map[string]any{"terminationGracePeriodSeconds": 1, "containers": []any{map[string]any{
				"name": "httpd", "image": b.cluster.Busybox(), "command": []any{"sh", "-c", script},
				"ports": []any{map[string]any{"name": "http", "containerPort": 8080}},
			}}}},
		kube.Object{"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": name, "namespace": b.ns},
			"spec": map[string]any{"selector": labels, "ports": []any{map[string]any{"port": 80, "targetPort": "http"}}}})
}

// TestEndpoint reaches a cluster as Step Functions does: with the Endpoint and CertificateAuthority of the Task.
func TestEndpoint(t *testing.T) {
	b := newBench(t)
	as := b.cluster.Account(t, b.ns, "caller", clustertest.Rule("", "configmaps", "get"))
	args := map[string]any{"ClusterName": "my-eks", "Endpoint": as.Endpoint, "CertificateAuthority": as.CertificateAuthority,
		"Method": "GET", "Path": kube.ObjectPath("v1", b.ns, "configmaps", "kube-root-ca.crt")}
	asked := ""
	b.cfg.Token = nil
	b.cfg.Token = tokenFor(as, &asked)
	b.start()
	b.output(b.run("call", args))
	if asked != "my-eks "+as.Endpoint {
		t.Errorf("Token was called for %q", asked)
	}
	args["Path"] = kube.CollectionPath("v1", b.ns, "secrets")
	b.failure(b.run("call", args), "EKS.403", "cannot list resource", "Forbidden")
	args["CertificateAuthority"] = ""
	b.failure(b.run("call", args), "EKS.Unreachable", "certificate")
	b.cfg.Token = staticToken("wrong")
	b.start()
	args["CertificateAuthority"] = as.CertificateAuthority
	b.failure(b.run("call", args), "EKS.401", "Unauthorized")
	b.cfg.Clusters = map[string]kube.Config{"my-eks": as}
	b.start()
	args["Path"], args["Endpoint"] = kube.ObjectPath("v1", b.ns, "configmaps", "kube-root-ca.crt"), "https://127.0.0.1:1"
	if o := b.output(b.run("call", args)); !strings.Contains(asJSON(t, o), "kube-root-ca.crt") {
		t.Errorf("Config.Clusters does not take precedence over the Endpoint: got %v", o)
	}
}
