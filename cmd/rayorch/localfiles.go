package main

import (
	"context"
	"io/fs"
	"os"

	"github.com/rayorch/rayorch/internal/ray"
)

// localFiles reads files of this machine for the compiler.
type localFiles struct{}

func (localFiles) Stat(path string) (fs.FileInfo, error) { return os.Stat(path) }

func (localFiles) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }

func (localFiles) PackModule(path string, excludes []string) (string, []byte, error) {
	return packed(ray.PackModule(context.Background(), path, excludes))
}
