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

// walker lists the files of a directory in a stable order. It follows links inside the directory.
type walker struct {
	root    string
	real    string      // root without links
	skip    fs.FileInfo // nil for none
	files   []packFile
	leftOut []string // what patterns exclude
	keys    []string // key files
	outside []string // links that leave the directory, with their targets
	// above holds the real paths of the directories being read: a link to one of them is not followed.
	above []string
}

// firstKeys are the first key files: at most 10, then "...".
func (w *walker) firstKeys() []string {
	const most = 10
	if len(w.keys) > most {
		return append(w.keys[:most:most], "...")
	}
	return w.keys
}

func (s Source) walk() (w *walker, err error) {
	w = &walker{root: s.Path}
	if s.Skip != "" {
		w.skip, _ = os.Stat(s.Skip) // one that does not exist yet is not packed
	}
	if w.real, err = filepath.EvalSymlinks(s.Path); err != nil {
		return w, err
	}
	return w, w.walk("", []ignoreRules{parseIgnore("", strings.Join(s.Excludes, "\n"))})
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
		if err := w.entry(path.Join(rel, entry.Name()), entry, filepath.Join(target, entry.Name()), rules); err != nil {
			return err
		}
	}
	if len(w.files) == kept && rel != "" { // an empty directory is content, too
		w.files = append(w.files, packFile{path: rel + "/", mode: fs.ModeDir | 0o755})
	}
	return nil
}

// entry adds what is at a path; target is the path without the links above it.
func (w *walker) entry(rel string, entry fs.DirEntry, target string, rules []ignoreRules) error {
	source := filepath.Join(w.root, filepath.FromSlash(rel))
	info, err := os.Stat(source) // follows links, as the other side has no target for them
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a link to nowhere, or gone meanwhile
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
