package proctask_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/task/proctask"
)

// TestIsRunning holds the lock of a supervisor, which exits a moment after it has recorded the end of its process.
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
		t.Error("a process that has not ended does not run")
	}
	if err := proctask.WriteMark(dir, "exit"); err != nil {
		t.Fatal(err)
	}
	if !proctask.IsRunning(dir) {
		t.Error("what a process left behind does not run")
	}
	time.AfterFunc(20*time.Millisecond, func() { _ = lock.Close() })
	if proctask.IsRunning(dir) {
		t.Error("a supervisor that has exited runs")
	}
}
