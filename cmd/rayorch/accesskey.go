package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/rayorch/rayorch/internal/api/access"
)

// readKeys reads files with one access key each; an argument is FILE[=ROLE]. Keys are not flags themselves because other users can see the
// command line of a process.
func readKeys(files []string) (access.Keys, error) {
	keys := access.Keys{}
	for _, arg := range files {
		file, role := access.SplitRole(arg)
		id, secret, err := readKey(file)
		if err != nil {
			return nil, err
		}
		if _, twice := keys[id]; twice {
			return nil, fmt.Errorf("duplicate access key %s in %s", id, file)
		}
		keys[id] = access.Key{Secret: secret, Role: role}
	}
	return keys, nil
}

// minSecret is the minimum length of a secret. AWS's secrets have 40 characters.
const minSecret = 16

// readKey reads an access key from a file that only this user can read.
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

// readPrivate reads a file that other users cannot read or write. It checks the opened file instead of the name, because the file of that
// name could be replaced between the check and the read.
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
	if isShared(info) { // as ssh does with private keys
		return "", fail(exitError, "run chmod 600 "+file+"; for a Secret in Kubernetes, set defaultMode: 0400",
			"other users can read or write the access key file %s: its mode is %04o", file, info.Mode().Perm())
	}
	const maxSize = 1 << 16 // a key is far shorter; the file may be a pipe that never ends
	text, err := io.ReadAll(io.LimitReader(f, maxSize))
	if err != nil {
		return "", fmt.Errorf("read an access key: %w", err)
	}
	return string(text), nil
}

// isShared reports whether other users can read or write a file. A file that root owns may be readable for its group: Kubernetes mounts a
// Secret (mode 0400) this way in a pod with an fsGroup, and Linux packages install files this way for the group of a service.
func isShared(info fs.FileInfo) bool {
	const groupReads, rest = 0o040, 0o037
	perm := info.Mode().Perm()
	st, ok := info.Sys().(*syscall.Stat_t)
	return perm&rest != 0 || perm&groupReads != 0 && (!ok || st.Uid != 0)
}
