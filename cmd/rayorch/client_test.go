package main

import (
	"bytes"
	"io"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/api"
	"github.com/rayorch/rayorch/internal/api/client"
)

// TestServerOfAnotherRelease checks the hint for an execution that fails because a server of another release does not know an argument of
// a task.
func TestServerOfAnotherRelease(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{"AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none, "AWS_ACCESS_KEY_ID": "", "RAYORCH_PYTHON": ""} {
		t.Setenv(name, value)
	}
	dir := t.TempDir()
	server := testApp(dir, io.Discard)
	own, err := server.own(t.Context(), dir, ownerOptions{Resume: true, Run: true, Server: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = own.close() })
	for release, hinted := range map[string]bool{"0.0.1": true, version: false} {
		srv := httptest.NewServer(own.handler(api.Config{Version: release}))
		t.Cleanup(srv.Close)
		_, err = client.Local(own.addr).Register(t.Context(), client.Machine{
			Name: "fails", Definition: `{"StartAt":"F","States":{"F":{"Type":"Fail","Cause":"the arguments of ray:submitJob.sync: unknown field \"New\""}}}`,
		})
		if err != nil {
			t.Fatal(err)
		}
		var errs bytes.Buffer
		a := testApp("", &errs)
		code := a.run(t.Context(), []string{"start", "fails", "--watch", "--endpoint", srv.URL})
		want := "rayorch: hint: the server at " + srv.URL + " is rayorch 0.0.1 and this command is rayorch " + version + ": use the same release for both"
		if code != exitFailed || strings.Contains(errs.String(), want) != hinted {
			t.Errorf("with a server of release %s, the exit code is %d\n%s", release, code, errs.String())
		}
	}
}
