package jobenv_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/task/jobenv"
)

func TestAddParams(t *testing.T) {
	env := map[string]string{"A": "b"}
	if err := jobenv.AddParams(env, []byte(`{"text": "é\n", "n": 10, "f": 1.50, "e": 1e3, "yes": true, "list": [1, "x"], "o": {}}`)); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"A": "b", "RAYORCH_PARAM_TEXT": "é\n", "RAYORCH_PARAM_N": "10", "RAYORCH_PARAM_F": "1.5", "RAYORCH_PARAM_E": "1000",
		"RAYORCH_PARAM_YES": "true", "RAYORCH_PARAM_LIST": `[1,"x"]`, "RAYORCH_PARAM_O": "{}",
		"RAYORCH_PARAMS": `{"text":"é\n","n":10,"f":1.5,"e":1000,"yes":true,"list":[1,"x"],"o":{}}`}
	if diff := cmp.Diff(want, env); diff != "" {
		t.Error(diff)
	}
	for _, none := range []string{"", "null"} {
		if err := jobenv.AddParams(nil, []byte(none)); err != nil {
			t.Error(err)
		}
	}
	if err := jobenv.AddParams(env, []byte("[1]")); err == nil {
		t.Error("AddParams accepted a list")
	}
}

func TestRemoveLong(t *testing.T) {
	fits := strings.Repeat("x", jobenv.MaxVariable-len("RAYORCH_ITEM=")-1)
	env := map[string]string{"RAYORCH_ITEM": fits, "RAYORCH_PARAMS": fits, "B": "b"}
	long, err := jobenv.RemoveLong(env)
	if err != nil || len(long) != 1 || long["RAYORCH_PARAMS"] != fits || len(env) != 2 {
		t.Errorf("got %d long variables and %d others, error %v; want 1 and 2", len(long), len(env), err)
	}
	env["MINE"] = fits + strings.Repeat("x", 20)
	want := "the environment variable MINE has 131084 bytes including its name, but Linux allows at most 131072: "
	if _, err := jobenv.RemoveLong(env); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got error %v, want one that starts with %q", err, want)
	}
}

func FuzzAddParams(f *testing.F) {
	f.Add([]byte(`{"a": "b", "n": 1.0}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		env := map[string]string{}
		if err := jobenv.AddParams(env, data); err == nil && len(env) > 0 && env["RAYORCH_PARAMS"] == "" {
			t.Errorf("%q: RAYORCH_PARAMS is not set in %v", data, env)
		}
	})
}
