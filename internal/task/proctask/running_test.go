package proctask_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/task/proctask"
)

// TestIsRunning holds the lock of a supervisor, and releases it shortly after the end of the process is recorded, as a supervisor does.
func TestIsRunning(t *testing.T) {
	dir := t.TempDir()
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if !proctask.IsRunning(dir) {
		t.Error("IsRunning = false for a process that has not ended")
	}
	if err := proctask.WriteMark(dir, "exit"); err != nil {
		t.Fatal(err)
	}
	if !proctask.IsRunning(dir) {
		t.Error("IsRunning = false while child processes are left behind")
	}
	time.AfterFunc(20*time.Millisecond, func() { _ = lock.Close() })
	if proctask.IsRunning(dir) {
		t.Error("IsRunning = true after the supervisor has exited")
	}
}
