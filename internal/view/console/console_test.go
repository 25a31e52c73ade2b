package console_test

import (
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/api/access"
	"github.com/rayorch/rayorch/internal/view/console"
)

// ask sends a request to a handler; headers come as name and value in turn.
func ask(t *testing.T, to http.Handler, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:8080"+path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	to.ServeHTTP(w, r)
	return w
}

// TestAssets sends every file as a browser asks for it: compressed, with headers that keep the page to itself, and not
// again when the browser has it. All of them together stay below 200 kB.
func TestAssets(t *testing.T) {
	con, total := console.New(console.Config{Open: true}), 0
	err := filepath.WalkDir("assets", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		path := "/console" + strings.TrimPrefix(name, "assets")
		if d.Name() == "index.html" {
			path = "/console/"
		}
		w := ask(t, con, http.MethodGet, path, "", "Accept-Encoding", "gzip, br")
		total += w.Body.Len()
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") == "" || w.Header().Get("Content-Encoding") != "gzip" {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
		policy := w.Header().Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: the headers are %v", path, w.Header())
		}
		z, err := gzip.NewReader(w.Body)
		if err != nil {
			return err
		}
		got, err := io.ReadAll(z)
		if err != nil {
			return err
		}
		want, err := os.ReadFile(name)
		if string(got) != string(want) {
			t.Errorf("%s: the file differs", path)
		}
		plain := ask(t, con, http.MethodGet, path, "")
		if plain.Body.String() != string(want) {
			t.Errorf("%s: without compression the file differs", path)
		}
		if again := ask(t, con, http.MethodGet, path, "", "If-None-Match", w.Header().Get("Etag")); again.Code != http.StatusNotModified || again.Body.Len() > 0 {
			t.Errorf("%s: again: %d, %d bytes", path, again.Code, again.Body.Len())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("all files: %d bytes compressed", total)
	if total > 200_000 || total == 0 {
		t.Errorf("all files are %d bytes", total)
	}
	if w := ask(t, con, http.MethodGet, "/console/nothing.js", ""); w.Code != http.StatusNotFound {
		t.Errorf("a file that is not there: %d", w.Code)
	}
}

// TestNoMarkupFromText holds the scripts to building pages from text nodes: what a job says can then be no markup.
func TestNoMarkupFromText(t *testing.T) {
	never := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|setHTML|srcdoc|https?://`)
	known := strings.NewReplacer("http://www.w3.org/2000/svg", "")
	files, err := filepath.Glob("assets/*")
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if found := never.FindString(known.Replace(string(text))); found != "" {
			t.Errorf("%s holds %s", name, found)
		}
	}
	page, err := os.ReadFile("assets/index.html")
	if err != nil {
		t.Fatal(err)
	}
	if found := regexp.MustCompile(`(?i)<script>|<style|\son\w+=|\sstyle=`).Find(page); found != nil {
		t.Errorf("index.html holds %s, which its policy forbids", found)
	}
}

func TestLayout(t *testing.T) {
	con := console.New(console.Config{Open: true})
	w := ask(t, con, http.MethodPost, "/console/layout", `{"StartAt":"a","States":{"a":{"Type":"Succeed"}}}`)
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"name":"a"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := ask(t, con, http.MethodPost, "/console/layout", "{"); w.Code != http.StatusBadRequest {
		t.Errorf("a broken definition: %d", w.Code)
	}
	if w := ask(t, con, http.MethodPost, "/console/layout", strings.Repeat(" ", 3<<20)); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a large definition: %d", w.Code)
	}
	closed := console.New(console.Config{Keys: access.Keys{"id": {Secret: "secret", Role: access.Admin}}})
	if w := ask(t, closed, http.MethodPost, "/console/layout", "{}"); w.Code != http.StatusUnauthorized {
		t.Errorf("without signing in: %d", w.Code)
	}
}
