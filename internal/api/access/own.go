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

// ExposedError says that the file of a key is not its user's alone.
type ExposedError struct{ File, Why string }

func (e *ExposedError) Error() string {
	return fmt.Sprintf("the access key in %s cannot be used: %s", e.File, e.Why)
}

// Own returns the key of a state directory, which it creates on the first call. The caller owns the directory, so that no
// other process creates one at the same time. The key is refused if others can read its file.
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

// Parse splits the content of a key's file, ID:SECRET.
func Parse(file, text string) (id, secret string, err error) {
	id, secret, ok := strings.Cut(strings.TrimSpace(text), ":")
	if !ok || id == "" || secret == "" {
		return "", "", fmt.Errorf("the file %s must contain one access key, ID:SECRET", file)
	}
	return id, secret, nil
}

// readOwn checks the file that it has opened, so that it cannot be replaced between the check and the reading. A link is not
// followed: it could name a file that somebody else chose.
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

// create writes a new key, whole or not at all.
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

// generate returns ID:SECRET in the lengths of AWS's, 20 and 40 characters; the secret has 200 random bits.
func generate() string {
	return "RAYORCH" + rand.Text()[:13] + ":" + (rand.Text() + rand.Text())[:40] + "\n"
}
