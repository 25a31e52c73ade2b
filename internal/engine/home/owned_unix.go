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

// ErrNotOurs says that a state directory is under the control of another user, who could replace what is in it.
var ErrNotOurs = errors.New("other users can change the state directory")

// Ours checks that no other user but root controls an existing state directory: its owner is this user, or root, as that of a volume
// in a pod; and not every user may write to it.
func Ours(dir string) error {
	info, err := os.Stat(dir)
	if err != nil || inPod() {
		return nil //nolint:nilerr // whoever opens or creates the directory reports it
	}
	if uid := owner(info); uid != os.Geteuid() && uid != 0 {
		return fmt.Errorf("%w: %s belongs to %s, but this process runs as %s", ErrNotOurs, dir, userName(uid), userName(os.Geteuid()))
	}
	if info.Mode().Perm()&0o002 != 0 {
		return fmt.Errorf("%w: every user can write to %s (mode %#o)", ErrNotOurs, dir, info.Mode().Perm())
	}
	return nil
}

// inPod reports whether this process runs in a pod of Kubernetes. No other user is there, and the volume plugin decides whose a
// volume is and which mode it has: often 0777.
func inPod() bool { return os.Getenv("KUBERNETES_SERVICE_HOST") != "" }

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return fmt.Sprintf("user %s (uid %d)", u.Username, uid)
	}
	return fmt.Sprintf("the user with uid %d", uid)
}
