package ray_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rayorch/rayorch/internal/backend/ray"
)

// A Python in ./.venv is found by its absolute path: Ray is started in another directory.
func TestFindMakesPathsAbsolute(t *testing.T) {
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
		t.Fatalf("%+v, %t, %v", p, ok, err)
	}
}
