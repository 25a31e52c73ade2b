package ekstask

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/task"
)

// target specifies the cluster of a Task. Step Functions requires all three fields. rayorch also accepts only a ClusterName, which is then
// a context of the kubeconfig, or none of the fields for the current context.
type target struct {
	ClusterName          string
	CertificateAuthority string
	Endpoint             string
}

// jobArguments are the arguments of eks:runJob and eks:runJob.sync.
type jobArguments struct {
	target
	Namespace  string
	Job        json.RawMessage // an object, or a string that contains the object as JSON
	LogOptions struct {
		RetrieveLogs  bool
		RawLogs       bool
		LogParameters map[string][]string
	}
}

// callArguments are the arguments of eks:call.
type callArguments struct {
	target
	Method          string
	Path            string
	QueryParameters map[string][]string
	RequestBody     json.RawMessage // an object, or a string that is sent unchanged
}

var methods = []string{"GET", "POST", "PUT", "DELETE", "HEAD", "PATCH"}

// decode decodes the arguments of a resource. Fields that Step Functions does not have are an error.
func decode(resource string, input []byte, into any) error {
	if err := task.Decode(input, into); err != nil {
		return fmt.Errorf("the arguments of eks:%s: %w", resource, err)
	}
	return nil
}

func parseCall(input []byte) (*callArguments, error) {
	var a callArguments
	if err := decode(call, input, &a); err != nil {
		return nil, err
	}
	switch {
	case !slices.Contains(methods, a.Method):
		return nil, fmt.Errorf("the argument Method %q must be one of %s", a.Method, strings.Join(methods, ", "))
	case !strings.HasPrefix(a.Path, "/"):
		return nil, fmt.Errorf("the argument Path %q must start with /", a.Path)
	}
	return &a, nil
}

// body returns the body of the request and its content type. For PATCH, an object is a merge patch and a list is a JSON patch: custom
// resources do not support Kubernetes' strategic merge patch.
func (a *callArguments) body() (body []byte, contentType string, err error) {
	body = a.RequestBody
	if len(body) == 0 || string(body) == "null" {
		return nil, "", nil
	}
	if body[0] == '"' {
		var text string
		if err := json.Unmarshal(body, &text); err != nil {
			return nil, "", err
		}
		body = []byte(text)
	}
	switch trimmed := bytes.TrimSpace(body); {
	case !json.Valid(trimmed):
		return body, "text/plain; charset=utf-8", nil
	case a.Method == http.MethodPatch && trimmed[0] == '[':
		return body, "application/json-patch+json", nil
	case a.Method == http.MethodPatch:
		return body, "application/merge-patch+json", nil
	}
	return body, "application/json", nil
}

// parseJob decodes the arguments, and the Job in them.
func parseJob(resource string, input []byte) (*jobArguments, map[string]any, error) {
	var a jobArguments
	if err := decode(resource, input, &a); err != nil {
		return nil, nil, err
	}
	if a.Namespace == "" {
		a.Namespace = "default" // as in Step Functions, even if the context has another namespace
	}
	raw := []byte(a.Job)
	var text string
	if json.Unmarshal(raw, &text) == nil {
		raw = []byte(text)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // keeps the text of numbers
	var job map[string]any
	if err := d.Decode(&job); err != nil || job == nil {
		return nil, nil, fmt.Errorf("the argument Job of eks:%s must be a Job: an object, or a string that contains the object as JSON", resource)
	}
	return &a, job, nil
}
