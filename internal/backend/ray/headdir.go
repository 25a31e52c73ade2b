package ray

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// TempRoot is where a Head keeps what Ray needs while it runs: sessions, logs, packages, spilled objects. It is short, as Ray
// creates sockets below it whose paths have at most 107 bytes, and 103 on macOS.
const TempRoot = "/tmp"

// headRoots are the directories that newTempDir creates. No other user may enter one. Releases before used the directory
// itself as Ray's, and Ray gave it mode 0777.
const headRoots = TempRoot + "/rayorch-ray-*"

// newTempDir creates Ray's directory for temporary files. Ray opens its own directories to every user, so that the one above
// them keeps other users out.
func newTempDir() (string, error) {
	root, err := os.MkdirTemp(TempRoot, filepath.Base(headRoots)) // with mode 0700
	if err != nil {
		return "", err
	}
	return filepath.Join(root, "ray"), nil
}

// headRoot returns the directory that newTempDir created for a Ray's directory for temporary files.
func headRoot(tempDir string) (root string, ok bool) {
	for _, dir := range []string{tempDir, filepath.Dir(tempDir)} {
		if matched, _ := filepath.Match(headRoots, dir); matched {
			return dir, true
		}
	}
	return "", false
}

// ofHead reports whether a Ray's directory for temporary files is one of a Head.
func ofHead(tempDir string) bool {
	_, ok := headRoot(tempDir)
	return ok
}

// closeTemp keeps other users out of the directory of a Ray that an older release started and that still runs.
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

// removeTemp removes only what newTempDir can have created.
func removeTemp(tempDir string) error {
	root, ok := headRoot(tempDir)
	if !ok {
		return nil
	}
	return os.RemoveAll(root)
}
