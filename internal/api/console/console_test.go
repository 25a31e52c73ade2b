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
	"github.com/rayorch/rayorch/internal/api/console"
)

// send sends a request to a handler. headers alternate between names and values.
func send(t *testing.T, to http.Handler, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:8080"+path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	to.ServeHTTP(w, r)
	return w
}

// Files are sent compressed, with security headers, and not again if the browser has them. All files together have at most 200 kB.
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
		w := send(t, con, http.MethodGet, path, "", "Accept-Encoding", "gzip, br")
		total += w.Body.Len()
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") == "" || w.Header().Get("Content-Encoding") != "gzip" {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
		policy := w.Header().Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers: %v", path, w.Header())
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
		plain := send(t, con, http.MethodGet, path, "")
		if plain.Body.String() != string(want) {
			t.Errorf("%s: the uncompressed file differs", path)
		}
		if again := send(t, con, http.MethodGet, path, "", "If-None-Match", w.Header().Get("Etag")); again.Code != http.StatusNotModified || again.Body.Len() > 0 {
			t.Errorf("%s, with If-None-Match: %d, %d bytes", path, again.Code, again.Body.Len())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("all files: %d bytes compressed", total)
	if total > 200_000 || total == 0 {
		t.Errorf("all files: %d bytes compressed, want at most 200,000", total)
	}
	if w := send(t, con, http.MethodGet, "/console/nothing.js", ""); w.Code != http.StatusNotFound {
		t.Errorf("file that does not exist: %d", w.Code)
	}
}

// The scripts do not use functions that parse markup, so that the output of a job cannot become part of the page.
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
			t.Errorf("%s contains %s", name, found)
		}
	}
	page, err := os.ReadFile("assets/index.html")
	if err != nil {
		t.Fatal(err)
	}
	if found := regexp.MustCompile(`(?i)<script>|<style|\son\w+=|\sstyle=`).Find(page); found != nil {
		t.Errorf("index.html contains %s, which the Content-Security-Policy forbids", found)
	}
}

func TestLayout(t *testing.T) {
	con := console.New(console.Config{Open: true})
	w := send(t, con, http.MethodPost, "/console/layout", `{"StartAt":"a","States":{"a":{"Type":"Succeed"}}}`)
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"name":"a"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := send(t, con, http.MethodPost, "/console/layout", "{"); w.Code != http.StatusBadRequest {
		t.Errorf("invalid definition: %d", w.Code)
	}
	if w := send(t, con, http.MethodPost, "/console/layout", strings.Repeat(" ", 3<<20)); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("large definition: %d", w.Code)
	}
	closed := console.New(console.Config{Keys: access.Keys{"id": {Secret: "secret", Role: access.Admin}}})
	if w := send(t, closed, http.MethodPost, "/console/layout", "{}"); w.Code != http.StatusUnauthorized {
		t.Errorf("without sign-in: %d", w.Code)
	}
}
