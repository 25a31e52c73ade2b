package limit_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/rayorch/rayorch/internal/api/limit"
)

// Connections are limited with TLS as well: of four, two are reserved for unauthenticated callers.
func TestTLS(t *testing.T) {
	limits := limit.New(limit.Config{Conns: 4})
	stay := make(chan struct{})
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = limits.Server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !limit.MarkAuthenticated(r.Context()) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_ = http.NewResponseController(w).Flush()
		<-stay
	}))
	srv.Listener = limits.Listener(srv.Listener)
	srv.StartTLS()
	defer srv.Close()
	defer close(stay)
	for i, want := range []int{200, 200, 503} {
		resp, err := srv.Client().Post(srv.URL, "text/plain", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		if resp.StatusCode != want {
			t.Errorf("connection %d: got %d, want %d", i, resp.StatusCode, want)
		}
		if want == http.StatusServiceUnavailable {
			_, _ = io.Copy(io.Discard, resp.Body)
		}
	}
}
