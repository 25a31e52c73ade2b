package ray

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// walker lists the files of a directory in a stable order. It follows symbolic links whose targets are inside the directory.
type walker struct {
	root    string
	real    string      // root without symbolic links
	skip    fs.FileInfo // directory that is never packed; may be nil
	files   []packFile
	leftOut []string // paths that patterns exclude
	keys    []string // paths of key files
	outside []string // links whose targets are outside the directory: "link -> target"
	// above contains the real paths of the directories that are being read. A link to one of them is a cycle and is not followed.
	above []string
}

// firstKeys returns the first key files: at most 10, then "...".
func (w *walker) firstKeys() []string {
	const most = 10
	if len(w.keys) > most {
		return append(w.keys[:most:most], "...")
	}
	return w.keys
}

// walk walks the source, which must be a directory.
func (s Source) walk() (w *walker, err error) {
	w = &walker{root: s.Path}
	if s.Skip != "" {
		w.skip, _ = os.Stat(s.Skip) // nil if it does not exist
	}
	if w.real, err = filepath.EvalSymlinks(s.Path); err != nil {
		return w, err
	}
	return w, w.walk("", []ignoreRules{parseIgnore("", strings.Join(s.Excludes, "\n"))})
}

// walk adds the files of the directory with the relative path rel. rules are those of the directories above it.
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
		if err := w.entry(path.Join(rel, entry.Name()), entry, filepath.Join(target, entry.Name()), rules); err != nil {
			return err
		}
	}
	if len(w.files) == kept && rel != "" { // empty directories are packed, too
		w.files = append(w.files, packFile{path: rel + "/", mode: fs.ModeDir | 0o755})
	}
	return nil
}

// entry adds the file or directory at a relative path. target is its real path if it is not a link itself.
func (w *walker) entry(rel string, entry fs.DirEntry, target string, rules []ignoreRules) error {
	source := filepath.Join(w.root, filepath.FromSlash(rel))
	info, err := os.Stat(source) // follows links: packages do not contain links
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a dangling link, or a file that was just deleted
	}
	if err != nil {
		return err
	}
	if w.skip != nil && os.SameFile(info, w.skip) {
		return nil
	}
	if skippedNames[entry.Name()] && info.IsDir() || ignored(rules, rel, info.IsDir()) {
		w.leftOut = append(w.leftOut, rel)
		return nil
	}
	if !info.IsDir() && !info.Mode().IsRegular() {
		return nil // sockets, pipes and devices have no content
	}
	if entry.Type()&fs.ModeSymlink != 0 {
		if target, err = filepath.EvalSymlinks(source); err != nil {
			return err
		}
	}
	inside, ok := below(w.real, target)
	switch {
	case !ok:
		w.outside = append(w.outside, rel+" -> "+target)
		return nil
	case keyFile(rules, rel, info.IsDir()) || keyFile(rules, inside, info.IsDir()):
		w.keys = append(w.keys, rel)
		return nil
	case info.IsDir():
		return w.walk(rel, rules)
	}
	mode := fs.FileMode(0o644)
	if info.Mode()&0o111 != 0 {
		mode = 0o755
	}
	w.files = append(w.files, packFile{path: rel, source: source, mode: mode, size: info.Size()})
	return nil
}

// withIgnoreFiles returns the rules with those of the ignore files in a directory added.
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
		parsed := parseIgnore(rel, string(text))
		parsed.git = name == ".gitignore"
		rules = append(rules, parsed)
	}
	return rules, nil
}
