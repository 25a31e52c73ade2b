package snapshot_test

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/task/snapshot"
)

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// tree returns the files of a directory with their contents.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, dir+"/")] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func keep(t *testing.T, s *snapshot.Store, of snapshot.Source) snapshot.Snapshot {
	t.Helper()
	kept, err := s.Keep(t.Context(), of)
	if err != nil {
		t.Fatal(err)
	}
	return kept
}

func TestKeep(t *testing.T) {
	dir := t.TempDir()
	linked := filepath.Join(t.TempDir(), "linked")
	if err := os.Symlink(dir, linked); err != nil {
		t.Fatal(err)
	}
	s := snapshot.Open(filepath.Join(linked, "state")) // inside the packed directory
	write(t, dir, map[string]string{"a.py": "1", "sub/b.py": "2", "data.bin": "3", ".gitignore": "*.bin\n"})
	first := keep(t, s, snapshot.Source{Path: dir})
	if again := keep(t, s, snapshot.Source{Path: dir}); again.Package != first.Package {
		t.Errorf("the same content is stored as %s and %s", first.Package, again.Package)
	}
	write(t, dir, map[string]string{"a.py": "changed"})
	if changed := keep(t, s, snapshot.Source{Path: dir}); changed.Package == first.Package {
		t.Error("a change of a file does not change the package")
	}
	if names, err := s.Names(time.Now().Add(time.Hour)); len(names) != 2 || err != nil {
		t.Errorf("the store contains %v, %v", names, err)
	}
	label := snapshot.Encode([]snapshot.Snapshot{first})
	to, at := filepath.Join(t.TempDir(), "copy"), time.Now().Add(-time.Hour).Truncate(time.Second)
	if err := s.Extract(t.Context(), label, snapshot.Source{Path: dir}, to, at, func(string) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if got, want := tree(t, to), map[string]string{"a.py": "1", "sub/b.py": "2", ".gitignore": "*.bin\n"}; !cmp.Equal(got, want) {
		t.Errorf("the copy differs:\n%s", cmp.Diff(want, got))
	}
	if written, err := snapshot.Written(to, at); len(written) > 0 || err != nil {
		t.Errorf("no file was written, but got %v, %v", written, err)
	}
	write(t, to, map[string]string{"sub/b.py": "3", "out/model": "x", "__pycache__/a.pyc": "x"})
	if written, err := snapshot.Written(to, at); !cmp.Equal(written, []string{"out/model", "sub/b.py"}) || err != nil {
		t.Errorf("written: %v, %v", written, err)
	}
}

// The package of a wheel is a copy, and the user's file is not changed.
func TestWheel(t *testing.T) {
	dir, s := t.TempDir(), snapshot.Open(t.TempDir())
	write(t, dir, map[string]string{"a-1.0-py3-none-any.whl": "a wheel"})
	source := snapshot.Source{Path: dir + "/a-1.0-py3-none-any.whl", Module: true}
	kept := keep(t, s, source)
	if again := keep(t, s, source); again.Package != kept.Package || kept.Bytes != 7 {
		t.Errorf("got %+v, then %+v", kept, again)
	}
	if got := tree(t, dir); got["a-1.0-py3-none-any.whl"] != "a wheel" {
		t.Errorf("the user's directory contains %v", got)
	}
	write(t, dir, map[string]string{"a-1.0-py3-none-any.whl": "another"})
	p, err := s.Package(t.Context(), snapshot.Encode([]snapshot.Snapshot{kept}), source)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if data, err := p.Bytes(); string(data) != "a wheel" || err != nil {
		t.Errorf("the package contains %s, %v", data, err)
	}
	if text, err := s.Diff(t.Context(), []snapshot.Snapshot{kept}); !strings.Contains(string(text), "the wheel differs") || err != nil {
		t.Errorf("got %s, %v", text, err)
	}
}

// A removed package is created again if its source has not changed. Otherwise the error says to start a new run.
func TestRemovedPackage(t *testing.T) {
	dir, s := t.TempDir(), snapshot.Open(t.TempDir())
	write(t, dir, map[string]string{"a.py": "1"})
	kept := keep(t, s, snapshot.Source{Path: dir})
	label := snapshot.Encode([]snapshot.Snapshot{kept})
	if err := s.Remove(kept.Package, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Size(kept.Package); !ok {
		t.Fatal("a package that was used since was removed")
	}
	remove := func() {
		t.Helper()
		if err := s.Remove(kept.Package, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	remove()
	p, err := s.Package(t.Context(), label, snapshot.Source{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	remove()
	write(t, dir, map[string]string{"a.py": "2"})
	if _, err := s.Package(t.Context(), label, snapshot.Source{Path: dir}); err == nil || !strings.Contains(err.Error(), "start a new run") {
		t.Errorf("got %v", err)
	}
	if names, err := s.Names(time.Now().Add(time.Hour)); len(names) > 0 || err != nil {
		t.Errorf("the changed content of the directory was packed: %v, %v", names, err)
	}
}

func TestDiff(t *testing.T) {
	dir, s := t.TempDir(), snapshot.Open(t.TempDir())
	noise := make([]byte, 2048)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	write(t, dir, map[string]string{"code/a.py": "one\ntwo\n", "code/gone.py": "x\n", "code/same.py": "x\n", "code/bin": "\x00" + string(noise)})
	all := []snapshot.Snapshot{keep(t, s, snapshot.Source{Path: dir + "/code"}), keep(t, s, snapshot.Source{Path: dir})}
	if text, err := s.Diff(t.Context(), all); len(text) > 0 || err != nil {
		t.Fatalf("nothing has changed: %s, %v", text, err)
	}
	write(t, dir, map[string]string{"code/a.py": "one\n2\n", "code/new.py": "y\n", "code/bin": "\x00"})
	if err := os.Remove(dir + "/code/gone.py"); err != nil {
		t.Fatal(err)
	}
	text, err := s.Diff(t.Context(), all)
	want := `--- a/code/a.py
+++ b/code/a.py
@@ -1,2 +1,2 @@
 one
-two
+2
Binary files a/code/bin and b/code/bin differ
--- a/code/gone.py
+++ /dev/null
@@ -1,1 +0,0 @@
-x
--- /dev/null
+++ b/code/new.py
@@ -0,0 +1,1 @@
+y
`
	if err != nil || string(text) != want {
		t.Errorf("got %v\n%s", err, cmp.Diff(want, string(text)))
	}
	if err := os.Chmod(dir+"/code/same.py", 0o700); err != nil {
		t.Fatal(err)
	}
	alone := []snapshot.Snapshot{keep(t, s, snapshot.Source{Path: dir + "/code"})}
	if err := os.Chmod(dir+"/code/same.py", 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := s.Diff(t.Context(), alone); !strings.Contains(string(text), "file modes differ") || err != nil {
		t.Errorf("got %s, %v", text, err)
	}
}

// The diff of a directory that was removed shows its files as removed.
func TestDiffOfRemovedDirectory(t *testing.T) {
	dir, s := t.TempDir(), snapshot.Open(t.TempDir())
	write(t, dir, map[string]string{"a/a.py": "one\n", "b/b.py": "one\n", "p.yaml": "one\n"})
	all := []snapshot.Snapshot{keep(t, s, snapshot.Source{Path: dir + "/a"}), keep(t, s, snapshot.Source{Path: dir + "/b"}),
		keep(t, s, snapshot.Source{Path: dir + "/p.yaml", File: true})}
	write(t, dir, map[string]string{"b/b.py": "two\n", "p.yaml": "two\n"})
	if err := os.RemoveAll(dir + "/a"); err != nil {
		t.Fatal(err)
	}
	text, err := s.Diff(t.Context(), all)
	want := `--- a/a/a.py
+++ /dev/null
@@ -1,1 +0,0 @@
-one
--- a/b/b.py
+++ b/b/b.py
@@ -1,1 +1,1 @@
-one
+two
--- a/p.yaml
+++ b/p.yaml
@@ -1,1 +1,1 @@
-one
+two
`
	if err != nil || string(text) != want {
		t.Errorf("got %v\n%s", err, cmp.Diff(want, string(text)))
	}
}

func TestCommit(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed: an execution then has no commit")
	}
	dir := t.TempDir()
	write(t, dir, map[string]string{"code/a.py": "1", "code/m.py": "1", "other/b.py": "1"})
	if commit, dirty := snapshot.Commit(t.Context(), snapshot.Source{Path: dir}); commit != "" || dirty {
		t.Errorf("outside of a repository: %q, %v", commit, dirty)
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-qm", "first"}} {
		c := exec.CommandContext(t.Context(), "git", args...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	commit, dirty := snapshot.Commit(t.Context(), snapshot.Source{Path: dir + "/code"})
	if len(commit) != 40 || dirty {
		t.Errorf("got %q, %v", commit, dirty)
	}
	write(t, dir, map[string]string{"other/b.py": "2", "code/m.py": "2"})
	for source, want := range map[string]bool{"/code": true, "/code/a.py": false, "/code/m.py": true, "/other": true} {
		if got, dirty := snapshot.Commit(t.Context(), snapshot.Source{Path: dir + source}); got != commit || dirty != want {
			t.Errorf("%s: %q, dirty %v", source, got, dirty)
		}
	}
}

// The configuration of a repository names programs. It may come from another user, so that Commit must not run them.
func TestCommitRunsNoProgramOfTheRepository(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed: an execution then has no commit")
	}
	dir, ran := t.TempDir(), filepath.Join(t.TempDir(), "ran")
	git := func(args ...string) {
		t.Helper()
		c := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@b.example"}, args...)...)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	write(t, dir, map[string]string{"a.py": "1", ".gitattributes": "*.py filter=x\n"})
	git("init", "-q")
	git("add", ".")
	git("commit", "-q", "-m", "x")
	program := "touch " + ran + "; cat"
	git("config", "filter.x.clean", program)
	git("config", "filter.x.process", program)
	git("config", "filter.x.required", "true")
	git("config", "core.fsmonitor", program)
	write(t, dir, map[string]string{"a.py": "2"}) // of the same size: git must read it
	if commit, dirty := snapshot.Commit(t.Context(), snapshot.Source{Path: dir}); commit == "" || !dirty {
		t.Errorf("commit %q, dirty %v", commit, dirty)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("git ran a program of the repository")
	}
}
