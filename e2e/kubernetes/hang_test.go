package kubernetes_test

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hang stops a part of the cluster of e2e/cluster and lets it go on, whatever happens to the test.
func hang(t *testing.T, part string, pause time.Duration) {
	t.Helper()
	pid := partOf(t, part)
	defer keepUp(t)()
	goOn := func() { _ = syscall.Kill(pid, syscall.SIGCONT) }
	t.Cleanup(goOn)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	<-time.After(pause) // how long it hangs is the fault, not a wait for something
	goOn()
}

// keepUp holds the lock of e2e/cluster: another one's up would take a cluster that hangs for broken, and start it afresh.
func keepUp(t *testing.T) (release func()) {
	t.Helper()
	home, _ := os.UserHomeDir()
	cache := cmp.Or(os.Getenv("RAYORCH_CLUSTER_CACHE"), filepath.Join(cmp.Or(os.Getenv("XDG_CACHE_HOME"), filepath.Join(home, ".cache")), "rayorch-cluster"))
	lock, err := os.OpenFile(filepath.Join(cache, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	return func() { _ = lock.Close() }
}

// partOf finds the process: a child of the cluster's first one, which has written its id down.
func partOf(t *testing.T, part string) int {
	t.Helper()
	text, err := os.ReadFile("/run/rayorch-cluster-" + cmp.Or(os.Getenv("RAYORCH_CLUSTER_NAME"), "rayorch") + ".pid")
	if err != nil {
		t.Fatal(err)
	}
	root := strings.TrimSpace(string(text))
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // it ended
		}
		begin, end := strings.IndexByte(string(stat), '('), strings.LastIndexByte(string(stat), ')')
		fields := strings.Fields(string(stat[end+1:]))
		if string(stat[begin+1:end]) == part && fields[1] == root {
			pid, err := strconv.Atoi(strings.Fields(string(stat))[0])
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatal(fmt.Errorf("the cluster has no process %s", part))
	return 0
}
