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
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// PackageLimit is what Ray's HTTP server takes at most (ray issues 55877, 45602): tried with 2.60.0.
const PackageLimit = 100 << 20

// skippedNames are left out everywhere, as newer releases of Ray's own client do.
var skippedNames = map[string]bool{".git": true, ".venv": true, "venv": true, "__pycache__": true}

// Package is a working directory or a module as a zip in a temporary file, the same bytes for the same content, or a wheel.
// Close removes the temporary file.
type Package struct {
	// Name has the hash of the content: paths, executable bits and bytes.
	Name  string
	Size  int64
	Files int
	file  *os.File
	wheel bool // the file is the user's
}

// URI is what a runtime environment's working_dir or py_modules names.
func (p *Package) URI() string { return "gcs://" + p.Name }

// Bytes is the whole zip, for those who do not send it to Ray.
func (p *Package) Bytes() ([]byte, error) { return os.ReadFile(p.file.Name()) }

// Close removes the file.
func (p *Package) Close() error {
	if p.wheel {
		return p.file.Close()
	}
	return errors.Join(p.file.Close(), os.Remove(p.file.Name()))
}

// packFile is a file to pack. Path is within the package, Source on disk; without a source it holds a text.
type packFile struct {
	path, source string
	text         string
	mode         fs.FileMode
	size         int64
}

// Pack zips a directory, without what .gitignore and .rayignore files and excludes (patterns of the same kind) name. It
// stops with an error that names the ways out when the zip grows over PackageLimit.
func Pack(ctx context.Context, dir string, excludes []string) (*Package, error) {
	return packUpTo(ctx, dir, excludes, PackageLimit)
}

func packUpTo(ctx context.Context, dir string, excludes []string, limit int64) (*Package, error) {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the working directory %s does not exist", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("read the working directory: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("the working directory %s is a file", dir)
	}
	files, err := walkDir(dir, excludes)
	if err != nil {
		return nil, fmt.Errorf("read the working directory %s: %w", dir, err)
	}
	return packFiles(ctx, "working directory "+dir, files, limit)
}

// packFiles zips files; what names them in errors.
func packFiles(ctx context.Context, what string, files []packFile, limit int64) (*Package, error) {
	out, err := os.CreateTemp("", "rayorch-package-*.zip")
	if err != nil {
		return nil, err
	}
	p := &Package{Files: len(files), file: out}
	hash := sha256.New()
	zipped := zip.NewWriter(&limited{out, limit})
	for _, f := range files {
		if err = addFile(ctx, zipped, hash, f); err != nil {
			break
		}
	}
	if err == nil {
		err = zipped.Close()
	}
	if errors.Is(err, errOverLimit) {
		err = tooLarge(what, files, limit)
	}
	if err == nil {
		p.Name = "_ray_pkg_" + hex.EncodeToString(hash.Sum(nil))[:32] + ".zip"
		p.Size, err = out.Seek(0, io.SeekCurrent)
	}
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// tooLarge names the files that count most.
func tooLarge(what string, files []packFile, limit int64) error {
	slices.SortStableFunc(files, func(a, b packFile) int { return cmp.Compare(b.size, a.size) })
	var biggest []string
	for _, f := range files[:min(3, len(files))] {
		biggest = append(biggest, fmt.Sprintf("%s (%d MiB)", f.path, f.size>>20))
	}
	return fmt.Errorf("the %s is over ray's upload limit of %d MiB, zipped; its largest files are %s: "+
		"leave out data by a .rayignore file, or put it on storage that the job reads, or name a zip there in its place (s3://, gs:// or https://)",
		what, limit>>20, strings.Join(biggest, ", "))
}

var errOverLimit = errors.New("over the limit")

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

// zipTime is the earliest that zip knows: when a file was last written must not change the package.
var zipTime = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

func addFile(ctx context.Context, zipped *zip.Writer, hash io.Writer, f packFile) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	header := &zip.FileHeader{Name: f.path, Method: zip.Deflate, Modified: zipTime}
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

// walker lists the files of a directory in a stable order.
type walker struct {
	root  string
	files []packFile
	// above holds the real paths of the directories being read: a link to one of them is not followed.
	above []string
}

func walkDir(dir string, excludes []string) ([]packFile, error) {
	w := &walker{root: dir}
	base := []ignoreRules{parseIgnore("", strings.Join(excludes, "\n"))}
	if err := w.walk("", base); err != nil {
		return nil, err
	}
	return w.files, nil
}

func (w *walker) walk(rel string, rules []ignoreRules) error {
	dir := filepath.Join(w.root, filepath.FromSlash(rel))
	target, err := filepath.EvalSymlinks(dir)
	if err != nil || slices.Contains(w.above, target) {
		return err
	}
	w.above = append(w.above, target)
	defer func() { w.above = w.above[:len(w.above)-1] }()
	rules, err = withIgnoreFiles(dir, rel, rules)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	kept := len(w.files)
	for _, entry := range entries {
		if err := w.entry(path.Join(rel, entry.Name()), entry.Name(), rules); err != nil {
			return err
		}
	}
	if len(w.files) == kept && rel != "" { // an empty directory is content, too
		w.files = append(w.files, packFile{path: rel + "/", mode: fs.ModeDir | 0o755})
	}
	return nil
}

func (w *walker) entry(rel, name string, rules []ignoreRules) error {
	source := filepath.Join(w.root, filepath.FromSlash(rel))
	info, err := os.Stat(source) // follows links, as the other side has no target for them
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a link to nowhere, or gone meanwhile
	}
	if err != nil {
		return err
	}
	if skippedNames[name] && info.IsDir() || ignored(rules, rel, info.IsDir()) {
		return nil
	}
	if info.IsDir() {
		return w.walk(rel, rules)
	}
	if !info.Mode().IsRegular() {
		return nil // sockets, pipes and devices have no content
	}
	mode := fs.FileMode(0o644)
	if info.Mode()&0o111 != 0 {
		mode = 0o755
	}
	w.files = append(w.files, packFile{path: rel, source: source, mode: mode, size: info.Size()})
	return nil
}

func withIgnoreFiles(dir, rel string, rules []ignoreRules) ([]ignoreRules, error) {
	rules = slices.Clip(rules)
	for _, name := range []string{".gitignore", ".rayignore"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		rules = append(rules, parseIgnore(rel, string(text)))
	}
	return rules, nil
}

// HasPackage asks whether Ray holds a package; asking keeps it there for 600 s more.
func (c *Client) HasPackage(ctx context.Context, name string) (bool, error) {
	err := c.do(ctx, call{op: "look for the package", method: http.MethodGet, path: packagePath(name), timeout: submitTimeout})
	if KindOf(err) == NotFound {
		return false, nil
	}
	return err == nil, err
}

// Upload puts a package into Ray unless it is there.
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
