package ray

import (
	"archive/zip"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// PackageLimit is the maximum size of an upload to Ray, in bytes (ray-project/ray#55877, #45602; tested with 2.60.0).
const PackageLimit = 100 << 20

// skippedNames are directories that packages never contain. Newer releases of Ray's own client exclude the same.
var skippedNames = map[string]bool{".git": true, ".venv": true, "venv": true, "__pycache__": true}

// Package is a working directory or a module as a zip in a temporary file, or a wheel. The zip has the same bytes for the same content.
// Close deletes the temporary file.
type Package struct {
	// Name contains the hash of the content: paths, executable bits and bytes.
	Name  string
	Size  int64 // bytes
	Files int   // number of files
	// KeyFiles is the result of Source.KeyFiles. It is nil for a package from OpenPackage.
	KeyFiles []string
	file     *os.File
	kept     bool // Close does not delete the file
}

// OpenPackage opens a package that was stored under its name.
func OpenPackage(path string) (*Package, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &Package{Name: filepath.Base(path), Size: info.Size(), file: file, kept: true}, nil
}

// KeepAs moves the temporary file to a path on the same file system, where Close does not delete it. A wheel is a file of the user, so
// KeepAs copies it.
func (p *Package) KeepAs(path string) error {
	if p.kept {
		return p.copyTo(path)
	}
	if err := p.file.Sync(); err != nil {
		return err
	}
	if err := os.Rename(p.file.Name(), path); err != nil {
		return err
	}
	p.kept = true
	return nil
}

func (p *Package) copyTo(path string) error {
	out, err := os.CreateTemp(filepath.Dir(path), "rayorch-package-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.NewSectionReader(p.file, 0, p.Size))
	err = errors.Join(err, out.Sync(), out.Close())
	if err == nil {
		err = os.Rename(out.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(out.Name()))
	}
	return nil
}

// URI returns the URI of the uploaded package, for working_dir or py_modules of a runtime environment.
func (p *Package) URI() string { return "gcs://" + p.Name }

// Bytes returns the content of the zip.
func (p *Package) Bytes() ([]byte, error) { return os.ReadFile(p.file.Name()) }

// Zip reads the package, which must not be a wheel.
func (p *Package) Zip() (*zip.Reader, error) { return zip.NewReader(p.file, p.Size) }

// Close deletes the temporary file, unless KeepAs has moved it.
func (p *Package) Close() error {
	if p.kept {
		return p.file.Close()
	}
	return errors.Join(p.file.Close(), os.Remove(p.file.Name()))
}

// packFile is a file to pack.
type packFile struct {
	path   string // in the package
	source string // on disk; empty if the content is text
	text   string
	mode   fs.FileMode
	size   int64
}

// Source identifies the content of a package: a working directory, a module in py_modules, or a single file.
type Source struct {
	// Path is absolute. For a module, it is the path of a directory, a .py file or a wheel.
	Path   string `json:"path"`
	Module bool   `json:"module,omitempty"`
	File   bool   `json:"file,omitempty"`
	// Excludes are patterns of files to exclude, in addition to those in .gitignore and .rayignore files.
	Excludes []string `json:"excludes,omitempty"`
	// Skip is the path of a directory below Path that is never packed, such as the state directory.
	Skip string `json:"-"`
}

// Pack packs a directory, except for files that match patterns in excludes or in .gitignore and .rayignore files. If the zip exceeds
// PackageLimit, it returns an error that describes the alternatives.
func Pack(ctx context.Context, dir string, excludes []string) (*Package, error) {
	return Source{Path: dir, Excludes: excludes}.Pack(ctx, "")
}

// Pack creates the package as a temporary file in tempDir. If tempDir is empty, it uses the system's directory for temporary files.
func (s Source) Pack(ctx context.Context, tempDir string) (*Package, error) {
	return s.packUpTo(ctx, tempDir, PackageLimit)
}

func (s Source) packUpTo(ctx context.Context, tempDir string, limit int64) (*Package, error) {
	if s.wheel() {
		return packWheel(s.Path)
	}
	files, keys, err := s.files()
	if err != nil {
		return nil, err
	}
	p, err := packFiles(ctx, tempDir, s.what(), files, limit)
	if err == nil {
		p.KeyFiles = keys
	}
	return p, err
}

// Name returns the name of the package without packing it. It returns "" if there are more than limit bytes of content, because
// computing the name takes about as long as packing.
func (s Source) Name(ctx context.Context, limit int64) (string, error) {
	if s.wheel() {
		p, err := packWheel(s.Path)
		if err != nil {
			return "", err
		}
		return p.Name, p.Close()
	}
	files, _, err := s.files()
	if err != nil {
		return "", err
	}
	name, err := zipFiles(ctx, &limited{io.Discard, limit}, files, zip.Store)
	if errors.Is(err, errOverLimit) {
		return "", nil
	}
	return name, err
}

// Excluded returns the relative paths in a working directory that its package does not contain. It returns excluded directories without
// their content.
func (s Source) Excluded() ([]string, error) {
	w, err := s.walk()
	return slices.Concat(w.leftOut, w.keys), err
}

// KeyFiles returns the first paths that a package does not contain because the files may contain keys: at most 10, then "...".
func (s Source) KeyFiles() ([]string, error) {
	if info, err := os.Stat(s.Path); err != nil || !info.IsDir() {
		return nil, err
	}
	w, err := s.walk()
	return w.firstKeys(), err
}

// what describes the source in errors.
func (s Source) what() string {
	switch {
	case s.Module:
		return "module " + s.Path
	case s.File:
		return "file " + s.Path
	}
	return "working directory " + s.Path
}

func (s Source) wheel() bool { return s.Module && filepath.Ext(s.Path) == ".whl" }

// files returns the files to pack, and the first key files that are excluded. The source must not be a wheel.
func (s Source) files() (files []packFile, keys []string, err error) {
	info, err := os.Stat(s.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, fmt.Errorf("the %s does not exist", s.what())
	case err != nil:
		return nil, nil, fmt.Errorf("read the %s: %w", s.what(), err)
	case s.File:
		return []packFile{{path: filepath.Base(s.Path), source: s.Path, mode: 0o644, size: info.Size()}}, nil, nil
	case !info.IsDir() && s.Module:
		files, err := moduleFile(s.Path, info.Size())
		return files, nil, err
	case !info.IsDir():
		return nil, nil, fmt.Errorf("the %s is a file", s.what())
	}
	w, err := s.walk()
	if errors.Is(err, fs.ErrPermission) {
		return nil, nil, fmt.Errorf("read the %s: %w: exclude that path in a .rayignore file; a plain job with inPlace: true runs in the "+
			"directory itself", s.what(), err)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the %s: %w", s.what(), err)
	}
	if len(w.outside) > 0 {
		return nil, nil, fmt.Errorf("the %s has links to targets outside it: %s: copy their targets into the directory, or exclude the links "+
			"in a .rayignore file; a plain job with inPlace: true runs in the directory itself", s.what(), strings.Join(w.outside, ", "))
	}
	if s.Module { // the directory itself must be in the package, so that it can be imported
		for i := range w.files {
			w.files[i].path = filepath.Base(s.Path) + "/" + w.files[i].path
		}
	}
	return w.files, w.firstKeys(), nil
}

// packFiles packs files into a temporary file. what describes them in errors.
func packFiles(ctx context.Context, tempDir, what string, files []packFile, limit int64) (*Package, error) {
	out, err := os.CreateTemp(tempDir, "rayorch-package-*.zip")
	if err != nil {
		return nil, err
	}
	p := &Package{Files: len(files), file: out}
	p.Name, err = zipFiles(ctx, &limited{out, limit}, files, zip.Deflate)
	if errors.Is(err, errOverLimit) {
		err = tooLarge(what, files, limit)
	}
	if err == nil {
		p.Size, err = out.Seek(0, io.SeekCurrent)
	}
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// zipFiles writes a zip. name contains the hash of the content, which does not depend on the compression method.
func zipFiles(ctx context.Context, out io.Writer, files []packFile, method uint16) (name string, err error) {
	hash := sha256.New()
	zipped := zip.NewWriter(out)
	for _, f := range files {
		if err := addFile(ctx, zipped, hash, f, method); err != nil {
			return "", err
		}
	}
	return "_ray_pkg_" + hex.EncodeToString(hash.Sum(nil))[:32] + ".zip", zipped.Close()
}

// tooLarge returns the error for a package that exceeds the limit. It names the largest files.
func tooLarge(what string, files []packFile, limit int64) error {
	slices.SortStableFunc(files, func(a, b packFile) int { return cmp.Compare(b.size, a.size) })
	var biggest []string
	for _, f := range files[:min(3, len(files))] {
		biggest = append(biggest, f.path+" ("+sizeText(f.size)+")")
	}
	return fmt.Errorf("the zip of the %s is larger than the limit of %d MiB; the largest files are %s: "+
		"exclude data in a .rayignore file, or put it on storage that the job can read; a Ray job can also use a zip file on storage instead "+
		"of the directory (s3://, gs:// or https://), and a plain job with inPlace: true runs in the directory itself",
		what, limit>>20, strings.Join(biggest, ", "))
}

// sizeText formats a size in bytes, in the largest suitable unit.
func sizeText(size int64) string {
	switch {
	case size >= 1<<20:
		return fmt.Sprintf("%d MiB", size>>20)
	case size >= 1<<10:
		return fmt.Sprintf("%d KiB", size>>10)
	}
	return fmt.Sprintf("%d bytes", size)
}

var errOverLimit = errors.New("over the limit")

// limited is a writer that fails with errOverLimit after left bytes.
type limited struct {
	w    io.Writer
	left int64
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= int64(len(p)); l.left < 0 {
		return 0, errOverLimit
	}
	return l.w.Write(p)
}

// zipTime is the modification time of all files in a package, so that modification times do not change the package. It is the earliest
// time of the zip format.
var zipTime = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// addFile adds a file to the zip, and its path, mode and content to the hash.
func addFile(ctx context.Context, zipped *zip.Writer, hash io.Writer, f packFile, method uint16) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	header := &zip.FileHeader{Name: f.path, Method: method, Modified: zipTime}
	header.SetMode(f.mode)
	w, err := zipped.CreateHeader(header)
	if err != nil || f.mode.IsDir() {
		fmt.Fprintf(hash, "%q d\n", f.path)
		return err
	}
	in, err := f.open()
	if err != nil {
		return err
	}
	defer in.Close()
	content := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, content), in)
	fmt.Fprintf(hash, "%q %o %d %x\n", f.path, f.mode.Perm(), n, content.Sum(nil))
	return err
}

func (f packFile) open() (io.ReadCloser, error) {
	if f.source == "" {
		return io.NopCloser(strings.NewReader(f.text)), nil
	}
	return os.Open(f.source)
}

// HasPackage reports whether Ray has a package. The request also makes Ray keep the package for 600 more seconds.
func (c *Client) HasPackage(ctx context.Context, name string) (bool, error) {
	err := c.do(ctx, call{op: "look for the package", method: http.MethodGet, path: packagePath(name), timeout: submitTimeout})
	if KindOf(err) == NotFound {
		return false, nil
	}
	return err == nil, err
}

// Upload uploads a package unless Ray already has it.
func (c *Client) Upload(ctx context.Context, p *Package) error {
	if has, err := c.HasPackage(ctx, p.Name); has || err != nil {
		return err
	}
	return c.do(ctx, call{
		op: "upload the package", method: http.MethodPut, path: packagePath(p.Name), timeout: uploadTimeout,
		body: io.NewSectionReader(p.file, 0, p.Size), size: p.Size, kind: "application/octet-stream",
	})
}

func packagePath(name string) string { return "/api/packages/gcs/" + url.PathEscape(name) }
