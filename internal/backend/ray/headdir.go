package ray

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// TempRoot is the directory in which a Head creates the directory for Ray's sessions, logs, packages and spilled objects. It must be
// short: Ray creates sockets below it, whose paths can have at most 107 bytes, and 103 on macOS.
const TempRoot = "/tmp"

// headRoots matches the directories that newTempDir creates, which other users cannot enter. Older releases passed this directory
// itself to Ray, which gave it mode 0777.
const headRoots = TempRoot + "/rayorch-ray-*"

// newTempDir creates a directory with mode 0700 and returns the path of a directory in it for Ray's temporary files. Ray makes its own
// directories accessible to all users, so the directory above them has to keep other users out.
func newTempDir() (string, error) {
	root, err := os.MkdirTemp(TempRoot, filepath.Base(headRoots)) // with mode 0700
	if err != nil {
		return "", err
	}
	return filepath.Join(root, "ray"), nil
}

// headRoot returns the directory that newTempDir created for tempDir. ok is false if tempDir does not belong to a Head.
func headRoot(tempDir string) (root string, ok bool) {
	for _, dir := range []string{tempDir, filepath.Dir(tempDir)} {
		if matched, _ := filepath.Match(headRoots, dir); matched {
			return dir, true
		}
	}
	return "", false
}

// ofHead reports whether tempDir, a Ray's directory for temporary files, belongs to a Head.
func ofHead(tempDir string) bool {
	_, ok := headRoot(tempDir)
	return ok
}

// closeTemp keeps other users out of tempDir. That is only necessary for a Ray that an older release of rayorch started.
func closeTemp(tempDir string) error {
	root, ok := headRoot(tempDir)
	if !ok {
		return nil
	}
	if err := os.Chmod(root, 0o700); !errors.Is(err, fs.ErrNotExist) { //nolint:gosec // a directory
		return err
	}
	return nil
}

// removeTemp deletes the directory that newTempDir created for tempDir. It deletes nothing else.
func removeTemp(tempDir string) error {
	root, ok := headRoot(tempDir)
	if !ok {
		return nil
	}
	return os.RemoveAll(root)
}
