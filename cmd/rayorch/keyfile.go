package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/rayorch/rayorch/internal/api/access"
)

// readKeys reads files with one access key each, FILE[=ROLE]: everybody could read a secret on the command line.
func readKeys(files []string) (access.Keys, error) {
	keys := access.Keys{}
	for _, arg := range files {
		file, role := access.SplitRole(arg)
		id, secret, err := readKey(file)
		if err != nil {
			return nil, err
		}
		if _, twice := keys[id]; twice {
			return nil, fmt.Errorf("the access key %s in %s is a duplicate", id, file)
		}
		keys[id] = access.Key{Secret: secret, Role: role}
	}
	return keys, nil
}

// minSecret is the length of the shortest secret that is accepted. AWS's have 40 characters.
const minSecret = 16

func readKey(file string) (id, secret string, err error) {
	text, err := readPrivate(file)
	if err != nil {
		return "", "", err
	}
	if id, secret, err = access.Parse(file, text); err != nil {
		return "", "", err
	}
	if len(secret) < minSecret {
		return "", "", fail(exitError, "create one: echo \""+id+":$(openssl rand -hex 20)\" > "+file,
			"the secret in %s must have at least %d characters, got %d", file, minSecret, len(secret))
	}
	return id, secret, nil
}

// readPrivate reads a file that others cannot read or replace. It checks the file that it has opened, because another
// file can replace it under the same name.
func readPrivate(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("read an access key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("read an access key: %w", err)
	}
	if isShared(info) {
		return "", fail(exitError, "chmod 600 "+file+", or defaultMode: 0400 for a Secret in Kubernetes",
			"other users can read or write the access key %s: its mode is %04o", file, info.Mode().Perm())
	}
	const most = 1 << 16
	text, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return "", fmt.Errorf("read an access key: %w", err)
	}
	return string(text), nil
}

// isShared says that others can read or write a file. The group may read what root owns: Kubernetes mounts a Secret
// (mode 0400) like this for a pod with an fsGroup, and packages do it for a service's group.
func isShared(info fs.FileInfo) bool {
	const groupReads, rest = 0o040, 0o037
	perm := info.Mode().Perm()
	st, ok := info.Sys().(*syscall.Stat_t)
	return perm&rest != 0 || perm&groupReads != 0 && (!ok || st.Uid != 0)
}
