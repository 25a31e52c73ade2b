package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"

	"github.com/rayorch/rayorch/internal/backend/ray"
)

// localFiles gives the compiler, which does no I/O itself, access to the files of this machine.
type localFiles struct{ app *app }

func (localFiles) Stat(path string) (fs.FileInfo, error) { return os.Stat(path) }

func (localFiles) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }

func (f localFiles) PackModule(path string, excludes []string) (string, []byte, error) {
	return f.app.pack(ray.Source{Path: path, Excludes: excludes, Module: true})
}

// packDirectory packs a working directory for the compiler.
func (a *app) packDirectory(dir string, excludes []string) ([]byte, error) {
	_, data, err := a.pack(ray.Source{Path: dir, Excludes: excludes})
	return data, err
}

// pack returns the name and the bytes of a package. It reports key files that are left out, once for each directory.
func (a *app) pack(of ray.Source) (string, []byte, error) {
	p, err := of.Pack(context.Background(), "")
	if err != nil {
		return "", nil, err
	}
	if len(p.KeyFiles) > 0 && !slices.Contains(a.reported, of.Path) {
		a.reported = append(a.reported, of.Path)
		a.out.say(leftOutText(of.Path, p.KeyFiles))
	}
	data, err := p.Bytes()
	return p.Name, data, errors.Join(err, p.Close())
}
