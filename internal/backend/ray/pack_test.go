package ray_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/backend/ray/raytest"
)

// packed packs a directory and returns the name of the package and the paths in it.
func packed(t *testing.T, dir string, excludes ...string) (string, []string) {
	t.Helper()
	pack, err := ray.Pack(t.Context(), dir, excludes)
	if err != nil {
		t.Fatal(err)
	}
	fake := raytest.NewFake("")
	defer fake.Close()
	if err := errors.Join(fake.Client(t).Upload(t.Context(), pack), pack.Close()); err != nil {
		t.Fatal(err)
	}
	data := fake.Package(pack.URI())
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range r.File {
		names = append(names, file.Name)
	}
	return pack.Name, names
}

func TestPackExcludes(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"main.py": "", "data.csv": "", "sub/data.csv": "", "sub/keep.csv": "", "sub/.gitignore": "!keep.csv\n",
		".gitignore": "*.csv\n", ".rayignore": "/big\n", "big/file": "", "sub/big": "", ".git/config": "", ".venv/bin/python": "",
		"venv/x": "", "sub/__pycache__/y.pyc": "", "notes.md": "", "node/venv.txt": "",
	} {
		write(t, dir, name, text)
	}
	if err := errors.Join(os.Symlink("main.py", filepath.Join(dir, "link.py")), os.Symlink("..", filepath.Join(dir, "sub", "loop")),
		os.Symlink("nowhere", filepath.Join(dir, "dangling"))); err != nil {
		t.Fatal(err)
	}
	_, got := packed(t, dir, "*.md")
	want := []string{".gitignore", ".rayignore", "link.py", "main.py", "node/venv.txt", "sub/.gitignore", "sub/big", "sub/keep.csv"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPackageNameDependsOnContent(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	for _, dir := range []string{one, two} {
		write(t, dir, "b/a", "x")
		write(t, dir, "a", "y")
	}
	if err := os.Chtimes(filepath.Join(two, "a"), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	first, _ := packed(t, one)
	if second, _ := packed(t, two); second != first {
		t.Errorf("the same content: got names %s and %s", first, second)
	}
	if err := os.Chmod(filepath.Join(two, "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	if second, _ := packed(t, two); second == first {
		t.Error("the name does not depend on executable bits")
	}
	write(t, one, "a", "z")
	if second, _ := packed(t, one); second == first {
		t.Error("the name does not depend on the content of files")
	}
}

func TestPackErrors(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "file", "")
	for path, want := range map[string]string{"none": "does not exist", "file": "is a file"} {
		if _, err := ray.Pack(t.Context(), filepath.Join(dir, path), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ray.Pack(canceled, dir, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: got %v", err)
	}
}

func TestPackOverTheLimit(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "small.py", "x")
	noise := make([]byte, 1<<20)
	source := rand.NewChaCha8([32]byte{})
	big, err := os.Create(filepath.Join(dir, "weights.bin"))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, _ = source.Read(noise)
		if _, err := big.Write(noise); err != nil {
			t.Fatal(err)
		}
	}
	if err := big.Close(); err != nil {
		t.Fatal(err)
	}
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	_, err = ray.PackUpTo(t.Context(), dir, 2<<20)
	for _, want := range []string{"2 MiB", "weights.bin (3 MiB)", ".rayignore", "s3://"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one that contains %q", err, want)
		}
	}
	if left, _ := os.ReadDir(temp); len(left) > 0 {
		t.Errorf("temporary files were not deleted: %v", left)
	}
}

// TestIgnoreAsGit compares the matcher with git on random patterns and paths that are composed of the same pieces.
func TestIgnoreAsGit(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("git is not installed")
	}
	rng := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"a", "b", "ab", "*", "a*", "*b", "?", "**", "[ab]", "[!a]", `\*`, "a.b", "*.b", "x y", "[", "[]-]", `a\`, "{a,b}"}
	names := []string{"a", "b", "ab", "a.b", "x y", "*", "[", "c"}
	pick := func(from []string) string { return from[rng.IntN(len(from))] }
	dir := t.TempDir()
	run(t, git, dir, "", "init", "-q")
	for range 60 {
		texts := map[string]string{"": rules(rng, pick, pieces), "a": rules(rng, pick, pieces)}
		write(t, dir, ".gitignore", texts[""])
		write(t, dir, "a/.gitignore", texts["a"])
		var paths []string
		for range 100 {
			parts := []string{pick(names)}
			for rng.IntN(3) > 0 && len(parts) < 4 {
				parts = append(parts, pick(names))
			}
			paths = append(paths, path.Join(parts...))
		}
		compare(t, git, dir, texts, paths)
	}
}

// rules returns the text of a random ignore file.
func rules(rng *rand.Rand, pick func([]string) string, pieces []string) string {
	var text strings.Builder
	for range 1 + rng.IntN(4) {
		line := pick(pieces)
		for rng.IntN(2) == 0 {
			line += "/" + pick(pieces)
		}
		text.WriteString(pick([]string{"", "", "!", "/", "#"}) + line + pick([]string{"", "", "/", "  "}) + "\n")
	}
	return text.String()
}

// run runs git in a directory with in as its standard input, and returns its output.
func run(t *testing.T, git, dir, in string, args ...string) string {
	t.Helper()
	cmd := exec.Command(git, args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(in)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	out, err := cmd.Output()
	if err != nil && cmd.ProcessState.ExitCode() != 1 { // 1 means that no path is ignored
		t.Fatalf("git %v: %v", args, err)
	}
	return string(out)
}

// compare compares the matcher with git for paths of files. Like the walker, it stops at the first excluded parent directory.
func compare(t *testing.T, git, dir string, texts map[string]string, paths []string) {
	t.Helper()
	out := run(t, git, dir, strings.Join(paths, "\x00"), "check-ignore", "--no-index", "--stdin", "-z")
	left := strings.Split(out, "\x00")
	for _, name := range paths {
		got := false
		elements := strings.Split(name, "/")
		for i := range elements {
			order := []string{""}
			if i > 0 && elements[0] == "a" {
				order = append(order, "a")
			}
			isDir := i+1 < len(elements) || name == "a" // a exists as a directory, with a .gitignore file
			if got = ray.Ignored(texts, order, path.Join(elements[:i+1]...), isDir); got {
				break
			}
		}
		if want := slices.Contains(left, name); got != want {
			t.Errorf("%q with patterns %q: got ignored = %v, git has %v", name, texts, got, want)
		}
	}
}

func FuzzIgnore(f *testing.F) {
	f.Add("**/a/**/b\n!c/\n[a-", "a/b/c", true)
	f.Add(strings.Repeat("*a", 50), strings.Repeat("a", 100)+"b", false)
	f.Add(strings.Repeat("**/a/", 20), strings.Repeat("a/", 40)+"b", false)
	f.Fuzz(func(t *testing.T, text, name string, isDir bool) {
		if len(text)+len(name) > 1000 || slices.Contains(strings.Split(name, "/"), "") {
			return
		}
		begin := cpuTime(t)
		ray.Ignored(map[string]string{"": text}, []string{""}, name, isDir)
		if took := cpuTime(t) - begin; took > time.Minute {
			t.Errorf("matching took %s of CPU time, want at most a minute", took)
		}
	})
}

// cpuTime returns the CPU time of this process, which does not depend on how busy the machine is.
func cpuTime(t *testing.T) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func TestPackModule(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"tools/a.py", "tools/sub/b.py", "tools/data.bin", "one.py", "w-1.0-py3-none-any.whl", "w-1.0-3-py3-none-any.whl", "w.whl", "x.csv"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700), os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"tools":                    `^_ray_pkg_[0-9a-f]{32}\.zip: \[tools/a.py tools/sub/b.py\]$`,
		"one.py":                   `^_ray_pkg_[0-9a-f]{32}\.zip: \[one.py\]$`,
		"w-1.0-py3-none-any.whl":   `^w-1.0-0x[0-9a-f]{16}-py3-none-any.whl: \[\]$`,
		"w-1.0-3-py3-none-any.whl": `^w-1.0-3x[0-9a-f]{16}-py3-none-any.whl: \[\]$`,
		"w.whl":                    "w.whl is not the name of a wheel",
		"x.csv":                    "must be a directory",
		"nothing":                  "does not exist",
	} {
		p, err := ray.Source{Path: filepath.Join(dir, name), Excludes: []string{"*.bin"}, Module: true}.Pack(t.Context(), "")
		got := fmt.Sprint(err)
		if err == nil {
			data, err := p.Bytes()
			if err := errors.Join(err, p.Close()); err != nil {
				t.Fatal(err)
			}
			var names []string
			if z, err := zip.NewReader(bytes.NewReader(data), int64(len(data))); err == nil {
				for _, f := range z.File {
					names = append(names, f.Name)
				}
			}
			got = fmt.Sprintf("%s: %v", p.Name, names)
		}
		if !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "w-1.0-py3-none-any.whl")); err != nil {
		t.Errorf("the wheel was deleted: %v", err)
	}
}
