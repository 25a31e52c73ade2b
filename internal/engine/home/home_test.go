package home_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/engine/home"
)

func TestDir(t *testing.T) {
	for _, tc := range []struct {
		name, flag string
		env        map[string]string
		want       string
	}{
		{"flag takes precedence", "/a", map[string]string{"RAYORCH_STATE_DIR": "/b", "HOME": "/h"}, "/a"},
		{"then RAYORCH_STATE_DIR", "", map[string]string{"RAYORCH_STATE_DIR": "/b", "HOME": "/h"}, "/b"},
		{"then XDG_STATE_HOME", "", map[string]string{"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/rayorch"},
		{"a relative XDG_STATE_HOME is ignored", "", map[string]string{"XDG_STATE_HOME": "x", "HOME": "/h"}, "/h/.local/state/rayorch"},
		{"nothing", "", nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := home.Dir(tc.flag, func(k string) string { return tc.env[k] })
			if got != tc.want || (err != nil) != (tc.want == "") {
				t.Errorf("got %q, %v; want %q", got, err, tc.want)
			}
		})
	}
}

func TestFind(t *testing.T) {
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), strings.Repeat("long/", 20))} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := home.Find(t.Context(), dir); !errors.Is(err, home.ErrNoOwner) {
			t.Fatalf("an empty directory: %v", err)
		}
		l, addr, err := home.Listen(dir, "v1")
		if err != nil {
			t.Fatal(err)
		}
		if short := filepath.Dir(addr.Address); short != dir { // below the system's temporary directory
			t.Cleanup(func() { _ = os.RemoveAll(short) })
		}
		remove, err := home.Announce(dir, addr)
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })}
		go func() { _ = srv.Serve(l) }()
		found, err := home.Find(t.Context(), dir)
		if err != nil || found != addr {
			t.Fatalf("found %+v, %v; want %+v", found, err, addr)
		}
		resp, err := found.Client().Get(home.BaseURL + "/")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || string(body) != "hello" {
			t.Fatalf("body %q, %v", body, err)
		}
		_ = resp.Body.Close()
		_ = srv.Close()
		if _, err := home.Find(t.Context(), dir); !errors.Is(err, home.ErrNoOwner) {
			t.Fatalf("the address of an owner that has exited: %v", err)
		}
		remove()
		if _, err := os.Stat(filepath.Join(dir, "api.json")); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("the address was not removed: %v", err)
		}
	}
}

// A response is not truncated if the body of the request becomes unreadable when the response begins, as with the AWS SDK. With a local
// server, this happens before net/http has read the end of the body.
func TestResponseSurvivesClosedBody(t *testing.T) {
	dir := t.TempDir()
	l, addr, err := home.Listen(dir, "v1")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, strings.Repeat("x", 8<<20))
	})}
	go func() { _ = srv.Serve(l) }()
	defer func() { _ = srv.Close() }()
	client := addr.Client()
	for range 20 {
		body := &taken{text: strings.NewReader("{}"), gone: make(chan struct{})}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, home.BaseURL, body)
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = 2
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		close(body.gone)
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
}

// taken is a body whose end cannot be read after gone is closed. Before that, reading the end takes 10 ms.
type taken struct {
	text *strings.Reader
	gone chan struct{}
}

func (b *taken) Read(p []byte) (int, error) {
	if b.text.Len() > 0 {
		return b.text.Read(p)
	}
	select {
	case <-b.gone:
		return 0, errors.New("the body is closed")
	case <-time.After(10 * time.Millisecond):
		return 0, io.EOF
	}
}

func (b *taken) Close() error { return nil }
