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

// If reading the log fails, the response is aborted, so that the client does not mistake the part that it received for the whole log.
// If the server is about to exit, the response ends regularly.
func TestStream(t *testing.T) {
	closing, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tc := range map[string]struct {
		ctx context.Context
		err error
		cut bool
	}{
		"end of the log":        {t.Context(), io.EOF, false},
		"failed read":           {t.Context(), errors.New("the disk is gone"), true},
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

// The owner of the state directory gets the text of an internal error. Other callers are referred to the server's log.
func TestInternalErrors(t *testing.T) {
	for owner, want := range map[bool]string{true: "the engine's error", false: "the request failed; see the server's log"} {
		url := newServer(t, "", func(c *api.Config) { c.Owner, c.Code = owner, failingCode{} }).URL
		if status, body := fetch(t, url+"/rayorch/v1/code"); status != http.StatusInternalServerError || strings.TrimSpace(body) != want {
			t.Errorf("owner %t: %d %s", owner, status, body)
		}
	}
}

// failingCode fails to list the packages that are in use.
type failingCode struct{ keptCode }

func (failingCode) Users() (map[string][]string, error) {
	return nil, errors.New("the engine's error")
}
