package access_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/api/access"
)

func TestSplitRole(t *testing.T) {
	for _, c := range []struct {
		arg, file string
		role      access.Role
	}{
		{"keys/a", "keys/a", access.Admin},
		{"keys/a=read", "keys/a", access.Read},
		{"keys/a=run", "keys/a", access.Run},
		{"keys/a=admin", "keys/a", access.Admin},
		{"keys/a=read=run", "keys/a=read", access.Run},
		{"keys/a=Read", "keys/a=Read", access.Admin},
		{"keys/a=none", "keys/a=none", access.Admin},
		{"keys/a=", "keys/a=", access.Admin},
		{"keys=read/a", "keys=read/a", access.Admin},
	} {
		if file, role := access.SplitRole(c.arg); file != c.file || role != c.role {
			t.Errorf("%s: got %s, %s, want %s, %s", c.arg, file, role, c.file, c.role)
		}
	}
}

func TestCheck(t *testing.T) {
	keys := access.Keys{"id": {Secret: "right", Role: access.Run}}
	if caller, ok := keys.Check("id", "right"); !ok || caller != (access.Caller{Key: "id", Role: access.Run}) {
		t.Errorf("correct secret: %v %v", caller, ok)
	}
	for _, wrong := range [][2]string{{"id", "wrong"}, {"id", ""}, {"other", "right"}, {"other", ""}, {"", ""}} {
		if caller, ok := keys.Check(wrong[0], wrong[1]); ok || caller.Role != access.None {
			t.Errorf("%v: %v %v", wrong, caller, ok)
		}
	}
}

func TestMay(t *testing.T) {
	reader := access.Caller{Key: "AKID", Role: access.Read}
	if err := reader.May("ListExecutions"); err != nil {
		t.Error(err)
	}
	for what, want := range map[string]string{
		"StartExecution":    "access key AKID has the role read and is not authorized to perform states:StartExecution, which needs the role run",
		"GET /debug/pprof/": "access key AKID has the role read and is not authorized to perform GET /debug/pprof/, which needs the role admin",
		"SomethingNew":      "access key AKID has the role read and is not authorized to perform states:SomethingNew, which needs the role admin",
	} {
		if err := reader.May(what); err == nil || err.Error() != want {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, what := range []string{"ListExecutions", "GET /metrics"} {
		if (access.Caller{}).May(what) == nil {
			t.Errorf("a caller without a role is allowed to %s", what)
		}
	}
}

func TestOwnKey(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, access.FileName)
	keys, err := access.Own(dir)
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	for id, key := range keys {
		if !regexp.MustCompile(`^RAYORCH\w{13}$`).MatchString(id) || len(key.Secret) != 40 || key.Role != access.Admin {
			t.Errorf("key %s: %+v", id, key)
		}
		again, err := access.Own(dir)
		if err != nil || again[id] != key {
			t.Errorf("second call: %v %v", again, err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file: %v, %v", info, err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("the directory contains %v", left)
	}
	other, err := access.Own(t.TempDir())
	for id := range other {
		if _, same := keys[id]; same || err != nil {
			t.Errorf("two directories have the same key: %v", err)
		}
	}
}

func TestExposedOwnKey(t *testing.T) {
	write := func(mode os.FileMode) func(*testing.T, string) error {
		return func(_ *testing.T, path string) error {
			return errors.Join(os.WriteFile(path, []byte("id:a-secret-of-somebody"), 0o600), os.Chmod(path, mode))
		}
	}
	for name, c := range map[string]struct {
		make func(*testing.T, string) error
		want string
	}{
		"readable by others": {write(0o604), "other users can read it (mode 0604)"},
		"readable by group":  {write(0o640), "other users can read it (mode 0640)"},
		"writable by others": {write(0o622), "other users can read it (mode 0622)"},
		"of another user": {func(t *testing.T, path string) error {
			if os.Geteuid() != 0 {
				t.Skip("SKIPPED: needs root")
			}
			return errors.Join(write(0o600)(t, path), os.Chown(path, 65534, 65534))
		}, "it belongs to another user"},
		"symbolic link": {func(t *testing.T, path string) error {
			return errors.Join(write(0o600)(t, path+".other"), os.Symlink(path+".other", path))
		}, "it is a symbolic link"},
		"directory": {func(_ *testing.T, path string) error { return os.Mkdir(path, 0o700) }, "it is not a regular file"},
		"not a key": {func(_ *testing.T, path string) error { return os.WriteFile(path, []byte("secret\n"), 0o600) },
			"must contain one access key, ID:SECRET"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := c.make(t, filepath.Join(dir, access.FileName)); err != nil {
				t.Fatal(err)
			}
			if _, err := access.Own(dir); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret-of") {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}
