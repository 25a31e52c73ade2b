package stack_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/aws/stack"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/value"
)

var update = flag.Bool("update", false, "write the golden files")

// certificate is only the first line of a PEM certificate in base64, which is all that the parameter check needs.
const certificate = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg=="

// required returns values of the required parameters.
func required() map[string]any {
	return map[string]any{
		"namespace":                  "ray",
		"eks_cluster_admin_role_arn": "arn:aws:iam::123456789012:role/eks-admin",
		"eks_handler_role_arn":       "arn:aws:iam::123456789012:role/eks-handler",
		"eks_cluster_name":           "eks-cluster",
		"eks_cluster_endpoint":       "https://ABC.gr7.eu-west-1.eks.amazonaws.com",
		"eks_oidc_arn":               "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/ABC",
		"eks_cert_auth_data":         certificate,
	}
}

func with(more map[string]any) map[string]any {
	out := required()
	for k, v := range more {
		out[k] = v
	}
	return out
}

func source(values map[string]any) stack.Source {
	return stack.Source{Name: stack.Param.Env, Values: values}
}

func read(t *testing.T, values map[string]any) stack.Params {
	t.Helper()
	p, err := stack.Read(source(values))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// small is a definition with everything that needs special treatment: a resource ARN with a partition, a shell's ${...},
// quotes, and JSONata.
const small = `{"Comment":"small","QueryLanguage":"JSONata","StartAt":"train","States":{"train":{"Type":"Task",
"Resource":"arn:aws:states:::eks:runJob.sync","Arguments":{"ClusterName":"eks-cluster","Endpoint":"https://ABC","CertificateAuthority":"` + certificate + `",
"Job":{"spec":{"template":{"spec":{"containers":[{"name":"c","command":["sh","-c","{% 'echo ${HOME:-/} \"' & $states.input.x & '\"' %}"]}]}}}}},
"End":true}}}`

const smallCleanup = `{"QueryLanguage":"JSONata","StartAt":"stop","States":{"stop":{"Type":"Task","Resource":"arn:aws:states:::eks:call",
"Arguments":{"ClusterName":"eks-cluster","Endpoint":"https://ABC","CertificateAuthority":"` + certificate + `","Method":"GET","Path":"/apis/batch/v1/namespaces/ray/jobs"},"End":true}}}`

func compiledSmall() *compile.Result {
	return &compile.Result{
		Definition: []byte(small), Cleanup: []byte(smallCleanup),
		Access: []compile.Rule{{APIGroups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: []string{"create", "get", "list", "delete"}}},
		Files:  []compile.ConfigMap{{Name: "rayorch-files-1234", Data: map[string]string{"submit.py": "print(1)\n"}, Binary: map[string][]byte{"dir.zip": []byte("PK")}}},
	}
}

func build(t *testing.T, values map[string]any, id stack.Identity) *stack.Stack {
	t.Helper()
	p := read(t, values)
	s, err := stack.Build(stack.Input{Params: p, Names: stack.NewNames(id, p.Machine), Pipeline: "shakespeare", Compiled: compiledSmall()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var seedfarmer = stack.Identity{Project: "aiops", Deployment: "ray-on-eks", Module: "ray-orchestrator"}

// options returns parameters by the name of their golden file: none, all, and each one that changes the template.
func options() map[string]map[string]any {
	all := map[string]any{
		"data_bucket_name": "data-bucket", "permissions_boundary_name": "boundary", "tags": map[string]any{"team": "research"},
		"custom_tags": `{"cost centre": "42"}`, "schedule": "rate(1 day)", "schedule_timezone": "Europe/Berlin",
		"schedule_input": `{"steps": 100}`, "alarm_email": "a@example.org", "kms_key": "create",
	}
	out := map[string]map[string]any{"default": {}, "all": all,
		"key":     {"kms_key": "arn:aws:kms:eu-west-1:123456789012:key/12345678-1234-1234-1234-123456789012", "alarm_email": "a@example.org", "schedule": "rate(1 day)"},
		"awsauth": {"access": "aws-auth"}, "named": {"state_machine_name": "Mine", "log_retention_days": 100}}
	for name, v := range all {
		if name != "schedule_timezone" && name != "schedule_input" {
			out[strings.ReplaceAll(name, "_", "-")] = map[string]any{name: v}
		}
	}
	return out
}

// TestGolden compares the templates and objects with golden files, and verifies that Build is deterministic.
func TestGolden(t *testing.T) {
	for name, values := range options() {
		t.Run(name, func(t *testing.T) {
			s := build(t, with(values), seedfarmer)
			golden(t, filepath.Join("testdata", name+".json"), s.Template)
			if again := build(t, with(values), seedfarmer); !bytes.Equal(again.Template, s.Template) {
				t.Error("the same input gives a different template the second time")
			}
		})
	}
	s := build(t, with(options()["all"]), seedfarmer)
	golden(t, filepath.Join("testdata", "objects.json"), indented(t, s.Objects("arn:aws:iam::123456789012:role/pods")))
}

func indented(t *testing.T, objects []*value.Object) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, o := range objects {
		if err := json.Indent(&out, value.Bytes(o), "", "  "); err != nil {
			t.Fatal(err)
		}
		out.WriteByte('\n')
	}
	return out.Bytes()
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (to rewrite it, run: go test -update):\n%s", path, diff)
	}
}
