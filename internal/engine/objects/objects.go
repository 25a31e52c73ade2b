// Package objects has the object stores for distributed Maps: Dir keeps buckets in directories, S3 uses Amazon S3 or a compatible service.
// They implement engine.Objects: they only read, write and list objects.
package objects

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/engine"
)

// Dir stores buckets as directories below a root, and objects as files in them. Keys cannot refer to files outside of the root, neither
// with .. nor through a symbolic link.
type Dir struct{ Root string }

// fileOf returns the path of an object's file, relative to the root.
func fileOf(bucket, key string) (string, error) {
	if bucket == "" || key == "" || strings.ContainsAny(bucket, `/\`) || !filepath.IsLocal(filepath.Join(bucket, key)) ||
		bucket == ".." || bucket == "." {
		return "", fmt.Errorf("invalid name of an object: key %q in bucket %q", key, bucket)
	}
	return filepath.Join(bucket, filepath.FromSlash(key)), nil
}

// Get opens an object for reading.
func (d Dir) Get(_ context.Context, bucket, key string) (io.ReadCloser, error) {
	name, err := fileOf(bucket, key)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(d.Root)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.Open(name)
}

// Put writes an object atomically, or replaces it.
func (d Dir) Put(_ context.Context, bucket, key string, body io.ReadSeeker) error {
	name, err := fileOf(bucket, key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(d.Root, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(d.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := root.Create(name + ".part")
	if err != nil {
		return err
	}
	_, err = io.Copy(f, body)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, root.Remove(name+".part"))
	}
	return root.Rename(name+".part", name)
}

// List calls fn for the objects whose keys begin with prefix, in the order of their keys.
func (d Dir) List(_ context.Context, bucket, prefix string, fn func(engine.Object) error) error {
	if _, err := fileOf(bucket, "x"); err != nil {
		return err
	}
	root, err := os.OpenRoot(d.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	var found []engine.Object
	err = fs.WalkDir(root.FS(), bucket, func(path string, e fs.DirEntry, err error) error {
		key := strings.TrimPrefix(path, bucket+"/")
		if err != nil || e.IsDir() || !strings.HasPrefix(key, prefix) {
			return err
		}
		info, err := e.Info()
		if err == nil {
			found = append(found, engine.Object{Key: key, Size: info.Size(), Modified: info.ModTime(), StorageClass: "STANDARD"})
		}
		return err
	})
	if err != nil {
		return err
	}
	slices.SortFunc(found, func(a, b engine.Object) int { return cmp.Compare(a.Key, b.Key) })
	for _, o := range found {
		if err := fn(o); err != nil {
			return err
		}
	}
	return nil
}
