package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestKeyFiles: a key file is accepted depending on who can read and write it.
func TestKeyFiles(t *testing.T) {
	const right = "id:a-secret-of-16-or-more\n"
	dir := t.TempDir()
	for _, c := range []struct {
		name, text string
		mode       os.FileMode
		owner      int
		want       string
	}{
		{"owner only", right, 0o600, -1, ""},
		{"read-only for the owner", right, 0o400, -1, ""},
		{"a Secret in Kubernetes with an fsGroup", right, 0o440, 0, ""},
		{"readable for the group, of root", right, 0o640, 0, ""},
		{"readable for the group, of a user", right, 0o640, 65534, "its mode is 0640"},
		{"writable for the group, of root", right, 0o660, 0, "its mode is 0660"},
		{"readable for everyone", right, 0o644, -1, "its mode is 0644"},
		{"readable for everyone, of root", right, 0o444, 0, "its mode is 0444"},
		{"writable for everyone", right, 0o602, -1, "its mode is 0602"},
		{"a short secret", "id:123456789012345", 0o600, -1, "must have at least 16 characters, got 15"},
		{"the shortest secret", "id:1234567890123456", 0o600, -1, ""},
		{"no secret", "id:", 0o600, -1, "must contain one access key, ID:SECRET"},
		{"no id", ":1234567890123456", 0o600, -1, "must contain one access key, ID:SECRET"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.owner >= 0 && os.Getuid() != 0 {
				t.Skip("SKIPPED: only root can change the owner of a file")
			}
			file := filepath.Join(dir, strings.ReplaceAll(c.name, " ", "-"))
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file, c.mode); err != nil {
				t.Fatal(err)
			}
			if c.owner >= 0 {
				if err := os.Chown(file, c.owner, c.owner); err != nil {
					t.Fatal(err)
				}
			}
			keys, err := readKeys([]string{file})
			if c.want == "" && (err != nil || len(keys["id"].Secret) < 16) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, %v; want the error %q", keys, err, c.want)
			}
		})
	}
}

// TestKeyFromAPipe reads a key from another command, as in --access-key <(command): this is a pipe that belongs to the user.
func TestKeyFromAPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString("id:1234567890123456"); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	if keys, err := readKeys([]string{fmt.Sprintf("/dev/fd/%d", r.Fd())}); err != nil || keys["id"].Secret == "" {
		t.Errorf("got %v, %v", keys, err)
	}
}
