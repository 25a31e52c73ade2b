// Package snapshot keeps the code that executions run as it was when they started: each working directory and each module of
// py_modules is a package in the state directory, named by the hash of its content and shared by the executions that use it. The
// engine stores the names of its packages with each execution; the task runners take the packages from here.
package snapshot

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rayorch/rayorch/internal/backend/ray"
)

// Label is the label of an execution that holds its snapshots.
const Label = "rayorch.code"

// Source is a directory or a file of which a snapshot is taken.
type Source = ray.Source

// Snapshot describes the content of a source when an execution started.
type Snapshot struct {
	Source
	// Package is the name of the package, which contains its hash.
	Package string `json:"package"`
	Bytes   int64  `json:"bytes"` // of the package
	// Commit is the git commit that was checked out, "" outside of a repository; Dirty reports that the files differed from the commit.
	Commit string `json:"commit,omitempty"`
	Dirty  bool   `json:"dirty,omitempty"`
	// LeftOut are the files that the package does not contain because they may hold keys: see ray.Source.KeyFiles.
	LeftOut []string `json:"leftOut,omitempty"`
}

// Hash returns the hash of the content.
func (s Snapshot) Hash() string {
	return strings.TrimSuffix(strings.TrimPrefix(s.Package, "_ray_pkg_"), ".zip")
}

// Encode returns the value of an execution's label.
func Encode(all []Snapshot) string {
	text, _ := json.Marshal(all) // plain fields: it cannot fail
	return string(text)
}

// Decode reads the value of an execution's label. Without a label, as in executions of older releases, there are no snapshots.
func Decode(label string) (all []Snapshot, err error) {
	if label == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(label), &all); err != nil {
		return nil, fmt.Errorf("read the snapshots in the execution's label: %w", err)
	}
	return all, nil
}

// Find returns the snapshot of a source among those of an execution.
func Find(all []Snapshot, of Source) (Snapshot, bool) {
	i := slices.IndexFunc(all, func(s Snapshot) bool {
		return s.Path == of.Path && s.Module == of.Module && s.File == of.File && slices.Equal(s.Excludes, of.Excludes)
	})
	if i < 0 {
		return Snapshot{}, false
	}
	return all[i], true
}

// Store holds the packages.
type Store struct {
	dir   string
	state string
}

// Open returns the store in a state directory. It does not write anything: Keep creates the store's directory.
func Open(stateDir string) *Store {
	return &Store{dir: filepath.Join(stateDir, "code"), state: stateDir}
}

// Keep packs a source unless the store has its package.
func (s *Store) Keep(ctx context.Context, of Source) (Snapshot, error) {
	of.Skip = s.state
	kept, err := s.keep(ctx, of)
	if err == nil {
		kept.LeftOut, err = of.KeyFiles()
	}
	return kept, err
}

// keep returns the snapshot of a source. It only packs the source if the store does not have its package: computing the name, which
// contains the hash, is faster. The name is empty if the source is too large to be hashed before packing.
func (s *Store) keep(ctx context.Context, of Source) (Snapshot, error) {
	name, err := of.Name(ctx, ray.PackageLimit)
	if err != nil {
		return Snapshot{}, err
	}
	if name != "" {
		now := time.Now()
		path := s.path(name)
		if info, err := os.Stat(path); err == nil && os.Chtimes(path, now, now) == nil { // Remove keeps a package that was just used
			return Snapshot{Source: of, Package: name, Bytes: info.Size()}, nil
		}
	}
	p, err := s.pack(ctx, of)
	if err != nil {
		return Snapshot{}, err
	}
	return Snapshot{Source: of, Package: p.Name, Bytes: p.Size}, p.Close()
}

// Name returns the package name of a source's current content.
func (s *Store) Name(ctx context.Context, of Source) (string, error) {
	of.Skip = s.state
	return of.Name(ctx, math.MaxInt64)
}

func (s *Store) pack(ctx context.Context, of Source) (*ray.Package, error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	p, err := of.Pack(ctx, s.dir)
	if err != nil {
		return nil, err
	}
	if err := p.KeepAs(s.path(p.Name)); err != nil {
		return nil, errors.Join(fmt.Errorf("store the package of %s: %w", of.Path, err), p.Close())
	}
	return p, nil
}

// Package opens the package of a source that the execution with this label has. If it has none, as for a path that is an expression, or
// in an execution of an older release, Package packs the source now.
func (s *Store) Package(ctx context.Context, label string, of Source) (*ray.Package, error) {
	all, err := Decode(label)
	if err != nil {
		return nil, err
	}
	kept, ok := Find(all, of)
	if !ok {
		if kept, err = s.Keep(ctx, of); err != nil {
			return nil, err
		}
	}
	return s.open(ctx, kept)
}

// open opens a package. It recreates one that was removed if the source has not changed.
func (s *Store) open(ctx context.Context, kept Snapshot) (*ray.Package, error) {
	p, err := ray.OpenPackage(s.path(kept.Package))
	if !errors.Is(err, fs.ErrNotExist) {
		return p, err
	}
	gone := fmt.Errorf("the code that the run started with is gone (%s of %s): start a new run", kept.Hash(), kept.Path)
	switch name, err := s.Name(ctx, kept.Source); {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", gone, err)
	case name != kept.Package:
		return nil, gone
	}
	if _, err := s.Keep(ctx, kept.Source); err != nil {
		return nil, fmt.Errorf("%w: %w", gone, err)
	}
	return ray.OpenPackage(s.path(kept.Package))
}

func (s *Store) path(name string) string { return filepath.Join(s.dir, filepath.Base(name)) }

// Size returns the size of a package on disk. ok is false if the package does not exist.
func (s *Store) Size(name string) (bytes int64, ok bool) {
	info, err := os.Stat(s.path(name))
	if err != nil {
		return 0, false
	}
	return info.Size(), true
}

// Names returns the names of the packages that were last used before a time.
func (s *Store) Names(before time.Time) ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if info, err := e.Info(); err == nil && e.Name() != releasedFile && info.ModTime().Before(before) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// Remove removes a package unless it was used since a time: an execution that is being started may use it.
func (s *Store) Remove(name string, since time.Time) error {
	path := s.path(name)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.ModTime().After(since) {
		return nil
	}
	return os.Remove(path)
}

// releasedFile has a line for each execution that no longer needs its code, with the time.
const releasedFile = "released"

// Release records that an execution no longer needs its code. A redrive at a later time needs it again.
func (s *Store) Release(execution string, at time.Time) error {
	if _, err := os.Stat(s.dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	file, err := os.OpenFile(filepath.Join(s.dir, releasedFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(execution + " " + at.UTC().Format(time.RFC3339Nano) + "\n")
	return errors.Join(err, file.Close())
}

// Released returns the executions that no longer need their code, each with the newest time at which that was recorded.
func (s *Store) Released() (map[string]time.Time, error) {
	text, err := os.ReadFile(filepath.Join(s.dir, releasedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	all := map[string]time.Time{}
	for line := range strings.Lines(string(text)) {
		execution, at, _ := strings.Cut(strings.TrimSpace(line), " ")
		all[execution], _ = time.Parse(time.RFC3339Nano, at)
	}
	return all, err
}

// Extract unpacks a working directory's package into a directory that does not exist yet, and calls more to add to it before it
// appears there. All files get the time at, so that a file with another time was written since.
func (s *Store) Extract(ctx context.Context, label string, of Source, dir string, at time.Time, more func(dir string) error) error {
	p, err := s.Package(ctx, label, of)
	if err != nil {
		return err
	}
	defer p.Close()
	r, err := p.Zip()
	if err != nil {
		return fmt.Errorf("read the package of %s: %w", of.Path, err)
	}
	temp := dir + ".new"
	if err := os.RemoveAll(temp); err != nil { // left by a process that was killed
		return err
	}
	if err := extract(ctx, r, of, temp, at); err != nil {
		return errors.Join(err, os.RemoveAll(temp))
	}
	if err := more(temp); err != nil {
		return errors.Join(err, os.RemoveAll(temp))
	}
	return os.Rename(temp, dir)
}

func extract(ctx context.Context, r *zip.Reader, of Source, dir string, at time.Time) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, f := range r.File {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := extractFile(f, dir, at); err != nil {
			return fmt.Errorf("unpack %s: %w", of.Path, err)
		}
	}
	return nil
}

func extractFile(f *zip.File, dir string, at time.Time) error {
	if !filepath.IsLocal(f.Name) {
		return fmt.Errorf("the package has a path outside of it: %q", f.Name)
	}
	path := filepath.Join(dir, filepath.FromSlash(f.Name))
	if strings.HasSuffix(f.Name, "/") {
		return os.MkdirAll(path, 0o755) //nolint:gosec // the directory of the package has mode 0700
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // as above
		return err
	}
	in, err := f.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, f.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in) //nolint:gosec // of our own package, whose size was bounded when it was packed
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	return os.Chtimes(path, at, at)
}

// Written returns the files below an extracted directory that were created or changed since, except Python's caches.
func Written(dir string, at time.Time) (paths []string, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && e.Name() == "__pycache__":
			return fs.SkipDir
		case !e.Type().IsRegular():
			return nil
		}
		info, err := e.Info()
		if err == nil && !info.ModTime().Equal(at) {
			rel, _ := filepath.Rel(dir, path)
			paths = append(paths, rel)
		}
		return err
	})
	return paths, err
}
