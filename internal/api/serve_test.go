package api_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rayorch/rayorch/internal/api"
	"github.com/rayorch/rayorch/internal/api/access"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/catalog"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/task"
)

// newServer starts a server with a new engine in memory.
func newServer(t testing.TB, account string, change func(*api.Config)) *httptest.Server {
	t.Helper()
	return newServerIn(t, "state", vfs.NewMem(), account, change)
}

// newServerIn is newServer with a directory of a file system. nil is the operating system's file system.
func newServerIn(t testing.TB, dir string, fs vfs.FS, account string, change func(*api.Config), runners ...namedRunner) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(newAPI(t, dir, fs, account, change, runners...))
	t.Cleanup(srv.Close)
	return srv
}

// newAPI returns the handler of newServerIn.
func newAPI(t testing.TB, dir string, fs vfs.FS, account string, change func(*api.Config), runners ...namedRunner) http.Handler {
	t.Helper()
	var cat *catalog.Catalog
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	sdk := api.NewSDKTasks()
	all := map[string]task.Runner{api.SDKPrefix: sdk}
	for _, r := range runners {
		all[r.prefix] = r
	}
	eng, err := engine.Open(context.Background(), engine.Config{
		Dir: dir, FS: fs, Account: account, Logger: quiet,
		Runners: all,
		Machines: func(s *store.Store) engine.Machines {
			var err error
			if cat, err = catalog.Open(catalog.Config{Docs: s, Account: account}); err != nil {
				t.Fatal(err)
			}
			return api.Machines(cat)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := api.Config{Engine: eng, Catalog: cat, Logger: quiet, SDK: sdk, Version: "test"}
	if change != nil {
		change(&c)
	}
	t.Cleanup(func() {
		if err := eng.Close(); err != nil {
			t.Error(err)
		}
	})
	return api.New(c)
}

// sender sends a request to an API: http.DefaultClient.Do, or inBubble.
type sender func(*http.Request) (*http.Response, error)

// inBubble returns a sender to a new API within a synctest bubble, where time passes only while all goroutines wait: recordings have
// timeouts of one second. It calls the handler directly, because a bubble cannot use sockets.
func inBubble(t testing.TB, account string) sender {
	h := newAPI(t, "state", vfs.NewMem(), account, nil)
	return func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result(), nil
	}
}

func serve(t testing.TB, account string) string { return newServer(t, account, nil).URL }

// signedServer starts a server that requires signatures with the key AKID.
func signedServer(t testing.TB) string {
	return newServer(t, "", func(c *api.Config) { c.Keys = access.Keys{"AKID": {Secret: "secret", Role: access.Admin}} }).URL
}

// namedRunner runs the tasks whose resource has a prefix.
type namedRunner struct {
	prefix string
	run    func(context.Context, *task.Request) task.Result
}

func (r namedRunner) Run(ctx context.Context, req *task.Request) task.Result { return r.run(ctx, req) }
