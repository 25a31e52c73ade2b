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
type localFiles struct {
	out *printer
	// reported are the directories whose key files have been reported: a command may compile a pipeline twice.
	reported []string
}

func (*localFiles) Stat(path string) (fs.FileInfo, error) { return os.Stat(path) }

func (*localFiles) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }

// PackModule returns the name and the bytes of a package with a Python module.
func (f *localFiles) PackModule(path string, excludes []string) (string, []byte, error) {
	return f.pack(ray.Source{Path: path, Excludes: excludes, Module: true})
}

// PackDirectory returns a package with a working directory.
func (f *localFiles) PackDirectory(dir string, excludes []string) ([]byte, error) {
	_, data, err := f.pack(ray.Source{Path: dir, Excludes: excludes})
	return data, err
}

// pack returns the name and the bytes of a package. It reports key files that are left out, once for each directory.
func (f *localFiles) pack(of ray.Source) (string, []byte, error) {
	p, err := of.Pack(context.Background(), "")
	if err != nil {
		return "", nil, err
	}
	if len(p.KeyFiles) > 0 && !slices.Contains(f.reported, of.Path) {
		f.reported = append(f.reported, of.Path)
		f.out.say(leftOutText(of.Path, p.KeyFiles))
	}
	data, err := p.Bytes()
	return p.Name, data, errors.Join(err, p.Close())
}
