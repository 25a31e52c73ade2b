package ekstask

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// target is the cluster that a Task names. Step Functions requires all three fields; here a ClusterName may stand alone,
// as a context of the kubeconfig, and none of them means the current one.
type target struct {
	ClusterName          string
	CertificateAuthority string
	Endpoint             string
}

// jobArguments are those of runJob and runJob.sync.
type jobArguments struct {
	target
	Namespace  string
	Job        json.RawMessage // an object, or a string that holds one
	LogOptions struct {
		RetrieveLogs  bool
		RawLogs       bool
		LogParameters map[string][]string
	}
}

// callArguments are those of call.
type callArguments struct {
	target
	Method          string
	Path            string
	QueryParameters map[string][]string
	RequestBody     json.RawMessage // an object, or a string that is sent as it is
}

var methods = []string{"GET", "POST", "PUT", "DELETE", "HEAD", "PATCH"}

// decodeStrict refuses fields that Step Functions does not have.
func decodeStrict(resource string, input []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(input))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, end := d.Token(); !errors.Is(end, io.EOF) {
			err = errors.New("one JSON object is expected")
		}
	}
	if err != nil {
		return fmt.Errorf("the arguments of eks:%s: %s", resource, strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

func parseCall(input []byte) (*callArguments, error) {
	var a callArguments
	if err := decodeStrict(call, input, &a); err != nil {
		return nil, err
	}
	switch {
	case !slices.Contains(methods, a.Method):
		return nil, fmt.Errorf("the argument Method %q is none of %s", a.Method, strings.Join(methods, ", "))
	case !strings.HasPrefix(a.Path, "/"):
		return nil, fmt.Errorf("the argument Path %q must start with /", a.Path)
	}
	return &a, nil
}

// body is what is sent, and as what. A patch of an object is a merge patch, of a list a JSON patch: those two custom
// resources take, too.
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

// parseJob reads the arguments, and the Job in them as an object.
func parseJob(resource string, input []byte) (*jobArguments, map[string]any, error) {
	var a jobArguments
	if err := decodeStrict(resource, input, &a); err != nil {
		return nil, nil, err
	}
	if a.Namespace == "" {
		a.Namespace = "default" // as Step Functions does, whatever the context says
	}
	raw := []byte(a.Job)
	var text string
	if json.Unmarshal(raw, &text) == nil {
		raw = []byte(text)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // numbers go on as they were written
	var job map[string]any
	if err := d.Decode(&job); err != nil || job == nil {
		return nil, nil, fmt.Errorf("the argument Job of eks:%s must be a Job as an object, or a string that holds one", resource)
	}
	return &a, job, nil
}
