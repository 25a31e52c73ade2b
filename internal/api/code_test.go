package api_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/api"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/task/snapshot"
)

// keptCode implements api.Code, and api.Secrets, which must be set for the endpoint that names directories.
type keptCode struct{ named map[string][]snapshot.Source }

func (k keptCode) Code(execution string) ([]snapshot.Snapshot, error) {
	switch execution {
	case "none":
		return nil, engine.ErrExecutionDoesNotExist
	case "without":
		return nil, nil
	}
	return []snapshot.Snapshot{{Source: snapshot.Source{Path: "/src", Excludes: []string{"*.bin"}}, Package: "_ray_pkg_1.zip", Bytes: 2, Commit: "c", Dirty: true}}, nil
}

func (k keptCode) Users() (map[string][]string, error) {
	return map[string][]string{"_ray_pkg_1.zip": {"arn"}}, nil
}

func (k keptCode) AddSources(execution string, sources []snapshot.Source) error {
	k.named[execution] = sources
	return nil
}

func (k keptCode) Missing(string) ([]string, error)    { return nil, nil }
func (k keptCode) Add(string, map[string]string) error { return nil }

func TestCode(t *testing.T) {
	kept := keptCode{map[string][]snapshot.Source{}}
	base := newServer(t, "123456789012", func(c *api.Config) { c.Code, c.Secrets = kept, kept }).URL
	for _, c := range []struct {
		path   string
		status int
		body   string
	}{
		{"?execution=x", 200, `[{"path":"/src","excludes":["*.bin"],"package":"_ray_pkg_1.zip","bytes":2,"commit":"c","dirty":true}]`},
		{"?execution=without", 200, `[]`},
		{"?execution=none", 404, `the execution does not exist`},
		{"", 200, `{"_ray_pkg_1.zip":["arn"]}`},
	} {
		if status, body := fetch(t, base+"/rayorch/v1/code"+c.path); status != c.status || !strings.Contains(strings.ToLower(body), c.body) {
			t.Errorf("%s: %d %s, want %d %s", c.path, status, body, c.status, c.body)
		}
	}
	post := func(base, body string) int {
		t.Helper()
		resp, err := http.Post(base+"/rayorch/v1/code?execution=x", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	if status := post(base, `[{"path": "/src", "excludes": ["a"]}]`); status != http.StatusNoContent || len(kept.named["x"]) != 1 || kept.named["x"][0].Path != "/src" {
		t.Errorf("%d, %+v", status, kept.named)
	}
	if status := post(base, `{"path": 1}`); status != http.StatusBadRequest {
		t.Errorf("body that is not a list: %d", status)
	}
	// A server that other users can reach must not read directories for them.
	open := newServer(t, "123456789012", func(c *api.Config) { c.Code = kept }).URL
	if status := post(open, `[]`); status == http.StatusNoContent {
		t.Error("a server that other users can reach accepts directories")
	}
}
