//go:build unix

package home

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

func ownedByUser(info fs.FileInfo) bool { return owner(info) == os.Getuid() }

// owner returns the user id of a file's owner, -1 if it is unknown.
func owner(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

// ErrNotPrivate means that another user controls a state directory, and could replace its files.
var ErrNotPrivate = errors.New("other users can change the state directory")

// CheckPrivate checks that no user but this one and root controls an existing state directory: it must belong to this user or root, and
// must not be writable for all users.
func CheckPrivate(dir string) error {
	info, err := os.Stat(dir)
	if err != nil || inPod() {
		return nil //nolint:nilerr // the error is reported when the directory is opened or created
	}
	if uid := owner(info); uid != os.Geteuid() && uid != 0 {
		return fmt.Errorf("%w: %s belongs to %s, but this process runs as %s", ErrNotPrivate, dir, userName(uid), userName(os.Geteuid()))
	}
	if info.Mode().Perm()&0o002 != 0 {
		return fmt.Errorf("%w: every user can write to %s (mode %#o)", ErrNotPrivate, dir, info.Mode().Perm())
	}
	return nil
}

// inPod reports whether this process runs in a pod of Kubernetes. A pod has no other users, and the volume plugin sets the owner and the
// mode of a volume, which is often 0777.
func inPod() bool { return os.Getenv("KUBERNETES_SERVICE_HOST") != "" }

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return fmt.Sprintf("user %s (uid %d)", u.Username, uid)
	}
	return fmt.Sprintf("the user with uid %d", uid)
}
