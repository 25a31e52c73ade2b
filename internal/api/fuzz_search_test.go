package api_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// FuzzSearch checks that a search with any query returns a page or status 400, but never an internal error.
func FuzzSearch(f *testing.F) {
	srv := newServer(f, "", nil)
	machineWith(f, srv.URL, "m", "one", "two")
	for _, query := range []string{"", "name=o&limit=1", "after=1&before=99999999999", "after=2020-01-01T00:00:00Z", "status=FAILED", "next=AAAAAAAAAAAAAAAAAAAAAA", "machine=arn%3Aaws&limit=-1", "after=1e300&before=NaN"} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		for _, path := range []string{"/rayorch/v1/executions", "/rayorch/v1/counts"} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost"+path, nil)
			r.URL.RawQuery = query
			w := httptest.NewRecorder()
			srv.Config.Handler.ServeHTTP(w, r)
			if w.Code != http.StatusOK && w.Code != http.StatusBadRequest {
				t.Errorf("%s?%q: %d %s", path, query, w.Code, w.Body)
			}
		}
	})
}
