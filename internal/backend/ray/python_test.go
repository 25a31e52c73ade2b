package ray_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rayorch/rayorch/internal/backend/ray"
)

// TestFindReturnsAbsolutePaths finds a Python in ./.venv. Its path must be absolute, because Ray is started in another directory.
func TestFindReturnsAbsolutePaths(t *testing.T) {
	dir := t.TempDir()
	bin := filepath.Join(dir, ".venv", "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "python"), []byte("#!/bin/sh\necho 9.9.9\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	p, ok, err := ray.PythonFinder{}.Find(t.Context())
	if err != nil || !ok || !filepath.IsAbs(p.Path) || p.RayVersion != "9.9.9" {
		t.Fatalf("got %+v, %t, %v", p, ok, err)
	}
}
