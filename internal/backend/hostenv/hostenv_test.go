package hostenv_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/backend/hostenv"
)

// environ is the environment of all tests; the last entry is invalid.
var environ = []string{
	"PATH=/bin", "HOME=/root", "LC_ALL=C", "https_proxy=http://p", "HTTPS_PROXY=http://p", "CUDA_VISIBLE_DEVICES=0", "PIP_INDEX_URL=u",
	"AWS_SECRET_ACCESS_KEY=s", "AWS_PROFILE=dev", "HF_TOKEN=t", "HF_HOME=/hf", "PATHOLOGY=x", "RAYORCH_STATE_DIR=/d", "EMPTY=", "odd",
}

func TestBase(t *testing.T) {
	want := []string{"PATH=/bin", "HOME=/root", "LC_ALL=C", "https_proxy=http://p", "HTTPS_PROXY=http://p", "CUDA_VISIBLE_DEVICES=0",
		"PIP_INDEX_URL=u", "HF_HOME=/hf"}
	if diff := cmp.Diff(want, hostenv.Base(environ)); diff != "" {
		t.Error(diff)
	}
}

func TestInherit(t *testing.T) {
	for text, want := range map[string][]string{
		`false`:                  {},
		`[]`:                     {},
		`["AWS_*"]`:              {"AWS_SECRET_ACCESS_KEY=s", "AWS_PROFILE=dev"},
		`["HF_TOKEN", "NOSUCH"]`: {"HF_TOKEN=t"},
		`["RAYORCH_*", "PATH"]`:  {},
		`true`:                   {"AWS_SECRET_ACCESS_KEY=s", "AWS_PROFILE=dev", "HF_TOKEN=t", "PATHOLOGY=x", "EMPTY=", "odd"},
	} {
		var i hostenv.Inherit
		if err := json.Unmarshal([]byte(text), &i); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, i.Of(environ)); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

func TestBadInherit(t *testing.T) {
	for _, text := range []string{`"AWS_*"`, `1`, `{}`, `["*"]`, `["A-B"]`, `["A_*_B"]`, `["A=1"]`, `[1]`, `[""]`} {
		var i hostenv.Inherit
		if err := json.Unmarshal([]byte(text), &i); err == nil || !strings.Contains(err.Error(), "InheritEnv") {
			t.Errorf("%s: got %+v, %v", text, i, err)
		}
	}
}

// TestAdvice has causes that mention variables, and some that do not although they contain similar names.
func TestAdvice(t *testing.T) {
	for _, test := range []struct {
		inherit hostenv.Inherit
		given   map[string]bool
		cause   string
		want    string
	}{
		{cause: "KeyError: 'HF_TOKEN'", want: "HF_TOKEN from the environment"},
		{cause: "sh: 1: HF_TOKEN: parameter not set", want: "HF_TOKEN from the environment"},
		{cause: "botocore.exceptions.NoCredentialsError: Unable to locate credentials", want: "AWS_SECRET_ACCESS_KEY, AWS_PROFILE from"},
		{cause: "the PATHOLOGY of MY_HF_TOKEN2"},
		{cause: "KeyError: 'HF_TOKEN'", given: map[string]bool{"HF_TOKEN": true}},
		{cause: "KeyError: 'HF_TOKEN'", inherit: hostenv.Inherit{Names: []string{"HF_*"}}},
		{cause: "KeyError: 'HF_TOKEN'", inherit: hostenv.Inherit{All: true}},
		{cause: "KeyError: 'NO_SUCH'"},
	} {
		if got := test.inherit.Advice(environ, test.given, test.cause); (test.want == "") != (got == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: got %q", test.cause, got)
		}
	}
}
