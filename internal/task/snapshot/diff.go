package snapshot

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
)

// Diff returns a unified diff from snapshots to the current content of their sources, empty if they are the same.
func (s *Store) Diff(ctx context.Context, all []Snapshot) ([]byte, error) {
	var out bytes.Buffer
	seen := map[string]bool{} // a directory may be inside another one
	for _, kept := range all {
		text, err := s.diff(ctx, kept, seen)
		if err != nil {
			return nil, err
		}
		out.Write(text)
	}
	return out.Bytes(), nil
}

// diff returns the differences between a snapshot and its source. A file in seen is left out, because it was compared as a part of
// another snapshot.
func (s *Store) diff(ctx context.Context, kept Snapshot, seen map[string]bool) ([]byte, error) {
	if name, err := s.Name(ctx, kept.Source); err == nil && name == kept.Package {
		return nil, nil
	}
	if strings.HasSuffix(kept.Package, ".whl") {
		return fmt.Appendf(nil, "%s: the wheel differs from the run's (%s)\n", kept.Path, kept.Package), nil
	}
	then, err := s.contents(ctx, kept)
	if err != nil {
		return nil, err
	}
	now, err := s.now(ctx, kept.Source)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	differ := false
	for _, name := range slices.Sorted(maps.Keys(merged(then, now))) {
		before, was := then[name]
		after, is := now[name]
		at, file := path.Join(path.Base(kept.Path), name), path.Join(kept.Path, name)
		if kept.Module || kept.File {
			at, file = name, path.Join(path.Dir(kept.Path), name)
		}
		text := difference(at, before, after, was, is)
		differ = differ || len(text) > 0
		if !seen[file] {
			seen[file] = true
			out.Write(text)
		}
	}
	if !differ { // the hash includes the executable bits of files
		fmt.Fprintf(&out, "%s: file modes differ\n", kept.Path)
	}
	return out.Bytes(), nil
}

// now returns the current content of the files of a source that would be packed. It is empty if the source was deleted.
func (s *Store) now(ctx context.Context, of Source) (map[string][]byte, error) {
	if _, err := os.Stat(of.Path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	of.Skip = s.state
	p, err := of.Pack(ctx, "")
	if err != nil {
		return nil, err
	}
	defer p.Close()
	r, err := p.Zip()
	if err != nil {
		return nil, err
	}
	return texts(r)
}

// contents returns the files in the package of a snapshot, by name.
func (s *Store) contents(ctx context.Context, kept Snapshot) (map[string][]byte, error) {
	p, err := s.open(ctx, kept)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	r, err := p.Zip()
	if err != nil {
		return nil, fmt.Errorf("read the package of %s: %w", kept.Path, err)
	}
	return texts(r)
}

func texts(r *zip.Reader) (map[string][]byte, error) {
	all := map[string][]byte{}
	for _, f := range r.File {
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		in, err := f.Open()
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(in)
		if err := errors.Join(err, in.Close()); err != nil {
			return nil, err
		}
		all[f.Name] = data
	}
	return all, nil
}

func merged(a, b map[string][]byte) map[string][]byte {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// maxDiff is the maximum size of a file that is compared line by line, in bytes.
const maxDiff = 1 << 20

// difference returns the unified diff of a file. was and is report whether the file exists in the snapshot and in the source.
func difference(name string, before, after []byte, was, is bool) []byte {
	from, to := "a/"+name, "b/"+name
	if !was {
		from = "/dev/null"
	}
	if !is {
		to = "/dev/null"
	}
	switch {
	case was && is && bytes.Equal(before, after):
		return nil
	case len(before) > maxDiff || len(after) > maxDiff || bytes.IndexByte(before, 0) >= 0 || bytes.IndexByte(after, 0) >= 0:
		return fmt.Appendf(nil, "Binary files %s and %s differ\n", from, to)
	case len(before)+len(after) == 0:
		return fmt.Appendf(nil, "--- %s\n+++ %s\n", from, to)
	}
	text := diff.Diff(from, before, to, after)
	_, text, _ = bytes.Cut(text, []byte("\n")) // its first line is a diff command
	return text
}
