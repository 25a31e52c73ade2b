package stack_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/aws/stack"
)

// bad has invalid parameters, and a text that the message must contain in addition to the parameter's name.
var bad = []struct {
	param string
	value any
	want  string
}{
	{"namespace", "", "is missing"},
	{"namespace", "Ray", `"Ray"`},
	{"namespace", "ray_one", "Kubernetes namespace"},
	{"namespace", strings.Repeat("a", 64), "Kubernetes namespace"},
	{"namespace", 42, "42"},
	{"eks_cluster_admin_role_arn", "", "is missing"},
	{"eks_cluster_admin_role_arn", "eks-admin", "ARN of an IAM role"},
	{"eks_cluster_admin_role_arn", "arn:aws:iam::123456789012:user/me", "ARN of an IAM role"},
	{"eks_cluster_admin_role_arn", "arn:aws:iam::12345:role/me", "ARN of an IAM role"},
	{"eks_handler_role_arn", "", "is missing"},
	{"eks_handler_role_arn", "arn:aws:sts::123456789012:assumed-role/me/session", "ARN of an IAM role"},
	{"eks_cluster_name", "", "is missing"},
	{"eks_cluster_name", "-eks", "name of an EKS cluster"},
	{"eks_cluster_name", strings.Repeat("a", 101), "name of an EKS cluster"},
	{"eks_cluster_endpoint", "", "is missing"},
	{"eks_cluster_endpoint", "http://abc", "https://"},
	{"eks_cluster_endpoint", "ABC.gr7.eu-west-1.eks.amazonaws.com", "https://"},
	{"eks_oidc_arn", "", "is missing"},
	{"eks_oidc_arn", "https://oidc.eks.eu-west-1.amazonaws.com/id/ABC", "oidc-provider"},
	{"eks_oidc_arn", "arn:aws-cn:iam::123456789012:oidc-provider/oidc.eks.cn-north-1.amazonaws.com.cn/id/A", "partitions"},
	{"eks_cert_auth_data", "", "is missing"},
	{"eks_cert_auth_data", "-----BEGIN CERTIFICATE-----", "base64"},
	{"eks_cert_auth_data", "aGVsbG8=", "PEM"},
	{"step_function_timeout", "0", "1 to 525600"},
	{"step_function_timeout", "6h", "minutes"},
	{"step_function_timeout", 360.5, "360.5"},
	{"data_bucket_name", "s3://bucket", "name of an S3 bucket"},
	{"data_bucket_name", "Bucket", "name of an S3 bucket"},
	{"pvc_name", "my_claim", "PersistentVolumeClaim"},
	{"dra_export_path", "ray/export", "starts with /"},
	{"dra_export_path", "/ray/../etc", "contain .."},
	{"dra_export_path", "/", "starts with /"},
	{"permissions_boundary_name", "arn:aws:iam::aws:policy/ReadOnly", "name of an IAM policy"},
	{"tags", "team=research", "a map of strings"},
	{"tags", `["team"]`, "a map of strings"},
	{"tags", `{"team": {"a": 1}}`, "a map of strings"},
	{"tags", `{"aws:team": "a"}`, "aws:team"},
	{"tags", `{"team": "a\tb"}`, "team"},
	{"custom_tags", `{"": "a"}`, "a map of strings"},
	{"submit", "push", "job, proxy or rayjob"},
	{"ray_service", "http://head", "name of a Kubernetes Service"},
	{"ray_port", "70000", "1 to 65535"},
	{"image", "an image", "container image"},
	{"state_machine_name", "Training On Eks", "letters"},
	{"log_retention_days", "-1", "1 to 3653"},
	{"schedule", "daily", "rate(1 day)"},
	{"schedule", "rate(0 days)", "rate(1 day)"},
	{"schedule_timezone", "UTC", "schedule"}, // without a schedule
	{"schedule_input", "[1]", "map of parameters"},
	{"alarm_email", "nobody", "email"},
	{"kms_key", "alias/mine", "ARN of a KMS key, or create"},
	{"access", "none", "auto, entry or aws-auth"},
	{"template_bucket", "B", "name of an S3 bucket"},
}

func TestBadParameters(t *testing.T) {
	for _, c := range bad {
		t.Run(c.param, func(t *testing.T) {
			_, err := stack.Read(source(with(map[string]any{c.param: c.value})))
			var problems stack.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("%v: got %v, want problems", c.value, err)
			}
			text := problems.Error()
			if len(problems) != 1 || !strings.Contains(text, c.want) {
				t.Errorf("want one problem that contains %q, got:\n%s", c.want, text)
			}
		})
	}
}

// TestAllAtOnce verifies that one error reports all problems, each with the name of its parameter.
func TestAllAtOnce(t *testing.T) {
	_, err := stack.Read(source(map[string]any{"tags": "x", "ray_port": "y", "eks_oidc_arn": "z"}))
	var problems stack.Problems
	if !errors.As(err, &problems) || len(problems) != 9 {
		t.Fatalf("want 9 problems, for 6 missing and 3 invalid parameters, got:\n%v", err)
	}
	for _, p := range problems {
		if !strings.HasPrefix(p.Error(), p.Param+": ") {
			t.Errorf("%s: the name of the parameter is missing", p)
		}
	}
}

// TestPrecedence verifies the order of sources, and that only strict sources reject unknown keys.
func TestPrecedence(t *testing.T) {
	flags := stack.Source{Name: func(p stack.Param) string { return "--" + p.Flag() }, Values: map[string]any{"namespace": "of-flag"}, Strict: true}
	file := stack.Source{Name: func(stack.Param) string { return "file" }, Values: map[string]any{"namespace": "of-file", "pvc_name": "of-file"}, Strict: true}
	env := source(with(map[string]any{"pvc_name": "of-env", "ray_port": "1", "not_ours": "x"}))
	p, err := stack.Read(flags, file, env)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := []any{p.Namespace, p.Claim, p.RayPort}, []any{"of-flag", "of-file", 1}; !cmp.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	file.Values["namspace"] = "x"
	if _, err := stack.Read(flags, file, env); err == nil || !strings.Contains(err.Error(), "namspace: unknown parameter") {
		t.Errorf("a misspelled key in a file: got %v", err)
	}
}

func TestDefaults(t *testing.T) {
	p := read(t, required())
	got := []any{p.TimeoutMinutes, p.MountPath, p.RayService, p.RayPort, p.LogRetentionDays, p.Access, p.TimeoutGiven, p.MountGiven}
	want := []any{360, "/ray/export/", "kuberay-head-svc", 8265, 90, "auto", false, false}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestValuesRoundTrip verifies that parameters stay the same if their values are written as JSON and read again.
func TestValuesRoundTrip(t *testing.T) {
	p := read(t, with(options()["all"]))
	data, err := json.Marshal(p.Values())
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&values); err != nil {
		t.Fatal(err)
	}
	again := read(t, values)
	if diff := cmp.Diff(p.Values(), again.Values()); diff != "" {
		t.Error(diff)
	}
}

// TestTable verifies that every parameter has descriptions and a unique, lower-case name.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range stack.All() {
		if p.Want == "" || p.Doc == "" || seen[p.Name] || strings.ToLower(p.Name) != p.Name {
			t.Errorf("%s: a description is missing, or the name is not unique or not lower-case", p.Name)
		}
		if strings.Contains(p.Want+p.Doc, "`") {
			t.Errorf("%s: a description contains a backquote", p.Name)
		}
		seen[p.Name] = true
	}
}

// FuzzRead verifies that every set of parameters that Read accepts gives a valid template.
func FuzzRead(f *testing.F) {
	f.Add("tags", `{"a": "b"}`)
	f.Add("step_function_timeout", "1e3")
	f.Add("eks_oidc_arn", "arn:aws:iam::123456789012:oidc-provider/x")
	f.Fuzz(func(t *testing.T, name, text string) {
		p, err := stack.Read(source(with(map[string]any{name: text})))
		if err != nil {
			return
		}
		s, err := stack.Build(stack.Input{Params: p, Names: stack.NewNames(seedfarmer, p.Machine), Pipeline: "p", Compiled: compiledSmall()})
		if err != nil || !json.Valid(s.Template) {
			t.Errorf("%s=%q is valid, but Build fails: %v", name, text, err)
		}
	})
}
