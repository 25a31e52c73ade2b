package ray_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/backend/ray"
)

func link(t *testing.T, dir, name, target string) {
	t.Helper()
	if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func TestPackRejectsLinksToOutside(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	write(t, outside, "id_rsa", "the key")
	write(t, outside, "data/big", "x")
	write(t, dir, "main.py", "")
	write(t, dir, "sub/x.py", "")
	link(t, dir, "key", filepath.Join(outside, "id_rsa"))
	link(t, dir, "sub/data", filepath.Join(outside, "data"))
	link(t, dir, "sub/up", "../..")
	link(t, dir, "passwd", "/etc/passwd")
	link(t, dir, "chain", "passwd")
	link(t, dir, "null", "/dev/null")   // not a regular file: ignored
	link(t, dir, "lost", "/nowhere/it") // dangling: ignored
	for name, of := range map[string]ray.Source{"working directory": {Path: dir}, "module": {Path: dir, Module: true}} {
		_, err := of.Pack(t.Context(), "")
		for _, want := range []string{name + " " + dir, "links to targets outside it", "key -> " + outside, "sub/data -> " + outside, "sub/up -> ", "passwd -> /etc/passwd", "chain -> /etc/passwd", ".rayignore"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got error %v, want one that contains %q", err, want)
			}
		}
		if err != nil && (strings.Contains(err.Error(), "null") || strings.Contains(err.Error(), "lost")) {
			t.Errorf("the error names links that are ignored: %v", err)
		}
	}
	if _, err := (ray.Source{Path: dir}).Excluded(); err != nil { // the package may have been created before the links
		t.Error(err)
	}
	write(t, dir, ".rayignore", "key\npasswd\nchain\n/sub/data\n/sub/up\n")
	if _, got := packed(t, dir); !slices.Equal(got, []string{".rayignore", "main.py", "sub/x.py"}) {
		t.Errorf("with the links excluded: got %q", got)
	}
}

func TestPackFollowsLinksInside(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"data/big": "x", "lib/a.py": "", ".rayignore": "data\n"} {
		write(t, dir, name, text)
	}
	link(t, dir, "pkg", "lib")
	link(t, dir, "excluded", filepath.Join(dir, "data", "big"))
	root := filepath.Join(t.TempDir(), "project") // the directory itself may be a link
	if err := os.Symlink(dir, root); err != nil {
		t.Fatal(err)
	}
	if _, got := packed(t, root); !slices.Equal(got, []string{".rayignore", "excluded", "lib/a.py", "pkg/a.py"}) {
		t.Errorf("got %q", got)
	}
}

func TestPackExcludesKeyFiles(t *testing.T) {
	keys := []string{".aws/credentials", ".env", ".env.local", "ca.pem", "id_rsa", "sub/.aws/credentials", "sub/.env", "sub/id_dsa", "sub/id_ecdsa", "sub/id_ed25519", "sub/key.pem"}
	rest := []string{".aws/config", ".env.example", "credentials", "env.py", "id_rsa.pub", "main.py", "pem"}
	all := func(more ...string) []string {
		names := slices.Concat(rest, more)
		slices.Sort(names)
		return names
	}
	for name, test := range map[string]struct {
		files    map[string]string
		excludes []string
		want     []string
	}{
		"no patterns":                   {want: all()},
		"re-included":                   {files: map[string]string{".rayignore": "!.env\n!sub/*.pem\n"}, want: all(".env", ".rayignore", "sub/.env", "sub/key.pem")},
		"re-included in a subdirectory": {files: map[string]string{"sub/.rayignore": "!.env\n"}, want: all("sub/.env", "sub/.rayignore")},
		"re-included by runtimeEnv":     {excludes: []string{"!id_rsa"}, want: all("id_rsa")},
		"patterns for every name":       {files: map[string]string{".rayignore": "/*\n!*\n!**\n!sub/**\n!/sub\n"}, want: all(".rayignore")},
		"patterns of .gitignore":        {files: map[string]string{".gitignore": "!.env\n"}, want: all(".gitignore")},
		"re-included, then excluded":    {files: map[string]string{".rayignore": "!.env\n/.env\n"}, want: all(".rayignore", "sub/.env")},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, file := range slices.Concat(keys, rest) {
				write(t, dir, file, "secret")
			}
			link(t, dir, "plain", ".env") // a key file with another name
			for file, text := range test.files {
				write(t, dir, file, text)
			}
			_, got := packed(t, dir, test.excludes...)
			got = slices.DeleteFunc(got, func(name string) bool {
				return name == "plain" && slices.Contains(test.want, ".env") || strings.HasSuffix(name, "/")
			})
			slices.Sort(got)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	dir := t.TempDir()
	write(t, dir, ".env", "secret")
	write(t, dir, "certs/a.pem", "secret")
	write(t, dir, "ignored.pem", "secret")
	write(t, dir, ".gitignore", "ignored.pem")
	if got, err := (ray.Source{Path: dir}).KeyFiles(); err != nil || !slices.Equal(got, []string{".env", "certs/a.pem"}) {
		t.Errorf("KeyFiles: got %q, %v", got, err)
	}
	if got, err := (ray.Source{Path: dir}).Excluded(); err != nil || len(got) != 3 {
		t.Errorf("Excluded: got %q, %v, want 3 paths", got, err)
	}
}
