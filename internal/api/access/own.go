package access

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// FileName is the name of the file with a state directory's own key.
const FileName = "access-key"

// ExposedError reports that other users can read or replace the file of a key.
type ExposedError struct{ File, Why string }

func (e *ExposedError) Error() string {
	return fmt.Sprintf("the access key in %s cannot be used: %s", e.File, e.Why)
}

// Own returns the access key of a state directory, and creates it on the first call. The caller must hold the lock of the
// directory, so that no other process creates a key at the same time. Own returns an *ExposedError if other users can read the
// file.
func Own(dir string) (Keys, error) {
	path := filepath.Join(dir, FileName)
	text, err := readOwn(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = create(path); err == nil {
			text, err = readOwn(path)
		}
	}
	if err != nil {
		return nil, err
	}
	id, secret, err := Parse(path, text)
	return Keys{id: {Secret: secret, Role: Admin}}, err
}

// Parse splits the content of a key file, ID:SECRET.
func Parse(file, text string) (id, secret string, err error) {
	id, secret, ok := strings.Cut(strings.TrimSpace(text), ":")
	if !ok || id == "" || secret == "" {
		return "", "", fmt.Errorf("the file %s must contain one access key, ID:SECRET", file)
	}
	return id, secret, nil
}

// readOwn opens the file before it checks its owner and mode, so that the file cannot be replaced between the check and the
// read. It does not follow symbolic links, which another user could have created. O_NONBLOCK keeps a named pipe from blocking.
func readOwn(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return "", &ExposedError{path, "it is a symbolic link"}
	}
	if err != nil {
		return "", fmt.Errorf("read the access key: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if why := exposed(info); why != "" {
		return "", &ExposedError{path, why}
	}
	text, err := io.ReadAll(io.LimitReader(f, 1<<12))
	return string(text), err
}

// exposed returns why other users can read or replace the file, "" if they cannot.
func exposed(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return "it is not a regular file"
	case !ok || int(st.Uid) != os.Geteuid():
		return "it belongs to another user"
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Sprintf("other users can read it (mode %04o)", info.Mode().Perm())
	}
	return ""
}

// create writes a new key atomically: to a temporary file, which it renames.
func create(path string) error {
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("create the access key: %w", err)
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("create the access key: %w", err)
	}
	_, err = f.WriteString(generate())
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("create the access key: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("create the access key: %w", err)
	}
	return nil
}

// generate returns ID:SECRET. They have the lengths of AWS's, 20 and 40 characters; the secret has 200 random bits.
func generate() string {
	return "RAYORCH" + rand.Text()[:13] + ":" + (rand.Text() + rand.Text())[:40] + "\n"
}
