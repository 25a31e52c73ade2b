package home_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/engine/home"
)

func TestOurs(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "") // the test itself may run in a pod
	dir := t.TempDir()
	for mode, ours := range map[os.FileMode]bool{0o700: true, 0o755: true, 0o775: true, 0o777: false, 0o703: false} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if err := home.CheckPrivate(dir); (err == nil) != ours || err != nil && !errors.Is(err, home.ErrNotPrivate) {
			t.Errorf("mode %#o: %v", mode, err)
		}
	}
	if err := home.CheckPrivate(dir + "/none"); err != nil {
		t.Errorf("a directory that does not exist: %v", err)
	}
	if os.Getuid() != 0 {
		t.Skip("only root can change the owner of a directory")
	}
	if err := errors.Join(os.Chmod(dir, 0o700), os.Chown(dir, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	if err := home.CheckPrivate(dir); !errors.Is(err, home.ErrNotPrivate) || !strings.Contains(err.Error(), "uid 65534") {
		t.Errorf("a directory of another user: %v", err)
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
	if err := errors.Join(os.Chmod(dir, 0o777), home.CheckPrivate(dir)); err != nil {
		t.Errorf("a volume in a pod: %v", err)
	}
}
