package main

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/home"
)

// TestOwnerOfAnOlderRelease does not start a run with an owner whose task runners do not know what the definition asks of them.
func TestOwnerOfAnOlderRelease(t *testing.T) {
	old := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(old.Close)
	s := &session{
		remote: &remote{http: old.Client(), base: old.URL}, dir: t.TempDir(), addr: home.Address{PID: 7, Version: "0.0.1"},
	}
	err := s.nameCode(t.Context(), "arn", filepath.Join("testdata", "script", "code.txtar"), nil)
	if err == nil || !strings.Contains(err.Error(), "process 7 (rayorch 0.0.1) owns the state directory and is of an older release") {
		t.Errorf("got %v", err)
	}
}
