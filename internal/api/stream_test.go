package api_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/rayorch/rayorch/internal/api"
	"github.com/rayorch/rayorch/internal/engine"
)

// TestStream cuts a response off if the log behind it cannot be read: a client must not take what it got for the whole log. A server
// that is about to exit ends it.
func TestStream(t *testing.T) {
	closing, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tc := range map[string]struct {
		ctx context.Context
		err error
		cut bool
	}{
		"the end":               {t.Context(), io.EOF, false},
		"a failed read":         {t.Context(), errors.New("the disk is gone"), true},
		"the engine is closing": {t.Context(), engine.ErrClosing, true},
		"the server is closing": {closing, closing.Err(), false},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				api.Stream(tc.ctx, w, io.MultiReader(strings.NewReader("hello\n"), iotest.ErrReader(tc.err)))
			}))
			defer srv.Close()
			resp, err := http.Get(srv.URL)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			if string(text) != "hello\n" || (err != nil) != tc.cut || resp.Body.Close() != nil {
				t.Errorf("read %q, %v", text, err)
			}
		})
	}
}

// TestReasons gives the owner of the state directory an error in full, which others are only told to look up in the server's log.
func TestReasons(t *testing.T) {
	for owner, want := range map[bool]string{true: "the engine's own words", false: "the request failed; see the server's log"} {
		url := newServer(t, "", func(c *api.Config) { c.Owner, c.Code = owner, failingCode{} }).URL
		if status, body := fetch(t, url+"/rayorch/v1/code"); status != http.StatusInternalServerError || strings.TrimSpace(body) != want {
			t.Errorf("owner %t: %d %s", owner, status, body)
		}
	}
}

// failingCode cannot list the code that is in use.
type failingCode struct{ keptCode }

func (failingCode) Users() (map[string][]string, error) {
	return nil, errors.New("the engine's own words")
}
