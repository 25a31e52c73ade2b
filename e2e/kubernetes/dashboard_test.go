package kubernetes_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rayorch/rayorch/e2e/clustertest"
)

// dashboard opens Ray's dashboard through the port-forward, which must survive a restart of the head. The browser is a script that writes
// its arguments to a file.
func (w *world) dashboard(t *testing.T) {
	seen := filepath.Join(t.TempDir(), "seen")
	browser := filepath.Join(t.TempDir(), "browser")
	if err := os.WriteFile(browser, []byte("#!/bin/sh\nprintf '%s' \"$*\" > "+seen+".new && mv "+seen+".new "+seen+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	dir := w.pipeline(t, "watched", "  - {name: one, ray: {entrypoint: 'true'}}\n")
	before := w.Env
	w.Env = append(w.Env[:len(w.Env):len(w.Env)], "BROWSER="+browser)
	cmd, wait := w.Start(t, "dashboard", dir, "--port", "0", "--address", "0.0.0.0")
	w.Env = before
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	var url string
	clustertest.Until(clustertest.Context(t), t, "the browser", func() error {
		text, err := os.ReadFile(seen)
		url = string(text)
		return err
	})
	first := w.page(t, url, "")
	w.deletePods(t, w.pods(t, "ray.io/node-type=head"), 0)
	w.page(t, url, first)

	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	res := wait()
	t.Logf("%s%s", res.Stdout, res.Stderr)
	if res.Code != 0 || !strings.Contains(res.Stdout, "the dashboard of ray is at "+url+"\n") {
		t.Errorf("exit code %d, want 0; the output must contain the URL %s: %s", res.Code, url, res.Stdout)
	}
	if !strings.Contains(res.Stderr, "warning: anyone who can reach 0.0.0.0 can run code on the Ray cluster") {
		t.Errorf("the warning about 0.0.0.0 is missing: %s", res.Stderr)
	}
}

// page waits for Ray's dashboard and returns the name of the Ray session, which must differ from old.
func (w *world) page(t *testing.T, url, old string) (session string) {
	t.Helper()
	clustertest.Until(clustertest.Context(t), t, "a Ray session other than "+old, func() error {
		text, err := get(url + "/api/version")
		if err == nil {
			session, err = newSession(text, old)
		}
		return err
	})
	clustertest.Until(clustertest.Context(t), t, "the dashboard", func() error {
		text, err := get(url)
		if err == nil && !strings.Contains(string(text), "<title>Ray Dashboard</title>") {
			err = fmt.Errorf("got the page %.200s", text)
		}
		return err
	})
	return session
}

// newSession returns the name of the session in a response of Ray's version API. It is an error if it does not differ from old.
func newSession(answer []byte, old string) (string, error) {
	var version struct {
		Session string `json:"session_name"`
	}
	err := json.Unmarshal(answer, &version)
	if err == nil && (version.Session == "" || version.Session == old) {
		err = fmt.Errorf("the session is %q", version.Session)
	}
	return version.Session, err
}

func get(url string) ([]byte, error) {
	res, err := (&http.Client{Timeout: time.Minute}).Get(url) // the callers retry
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return io.ReadAll(res.Body)
}
