package ekstask_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/task/ekstask"
)

const proxy = "/api/v1/namespaces/ml/services/demo-head-svc:8265/proxy"

// TestRayJobOfCalls checks which calls start, continue and end the follower of a Ray job's log.
func TestRayJobOfCalls(t *testing.T) {
	for name, c := range map[string]struct {
		request kube.Request
		answer  string
		want    string
	}{
		"submitted":   {kube.Request{Method: "POST", Path: proxy + "/api/jobs/", Body: []byte(`{"submission_id": "j1"}`)}, `{}`, proxy + " j1"},
		"without id":  {kube.Request{Method: "POST", Path: proxy + "/api/jobs/", Body: []byte(`{}`)}, `{}`, ""},
		"read":        {kube.Request{Method: "GET", Path: proxy + "/api/jobs/j1"}, `{"status": "RUNNING"}`, proxy + " j1"},
		"ended":       {kube.Request{Method: "GET", Path: proxy + "/api/jobs/j1"}, `{"status": "FAILED"}`, proxy + " j1 ended"},
		"listed":      {kube.Request{Method: "GET", Path: proxy + "/api/jobs/"}, `[]`, ""},
		"stopped":     {kube.Request{Method: "POST", Path: proxy + "/api/jobs/j1/stop"}, `{}`, ""},
		"another API": {kube.Request{Method: "GET", Path: "/api/v1/namespaces/ml/pods"}, `{}`, ""},
		"a RayJob": {
			kube.Request{Method: "GET", Path: "/apis/ray.io/v1/namespaces/ml/rayjobs/r"},
			`{"status": {"jobId": "j2", "jobStatus": "RUNNING", "jobDeploymentStatus": "Running", "rayClusterName": "demo"}}`, proxy + " j2",
		},
		"a RayJob that has not started": {
			kube.Request{Method: "GET", Path: "/apis/ray.io/v1/namespaces/ml/rayjobs/r"}, `{"status": {"jobDeploymentStatus": "Initializing"}}`, "",
		},
	} {
		if diff := cmp.Diff(c.want, ekstask.RayJobOf(c.request, []byte(c.answer))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func FuzzRayJobOf(f *testing.F) {
	f.Add("GET", proxy+"/api/jobs/j1", []byte(nil), []byte(`{"status": "RUNNING"}`))
	f.Add("POST", proxy+"/api/jobs/", []byte(`{"submission_id": "j1"}`), []byte(`[]`))
	f.Add("GET", "/apis/ray.io/v1/namespaces/ml/rayjobs/r", []byte(nil), []byte(`{"status": {"jobStatus": "RUNNING", "rayClusterName": "x"}}`))
	f.Fuzz(func(_ *testing.T, method, path string, body, answer []byte) {
		ekstask.RayJobOf(kube.Request{Method: method, Path: path, Body: body}, answer)
	})
}
