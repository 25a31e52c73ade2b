package proc_test

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/backend/proc"
)

// patience is the timeout of tests. It is so long that only a bug exceeds it, even on a busy machine.
const patience = 5 * time.Minute

// start starts a command in its own session. The command is killed at the end of the test.
func start(t *testing.T, env []string, argv ...string) proc.ID {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id, err := proc.Of(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = id.Signal(syscall.SIGKILL)
		<-ended
	})
	return id
}

func TestAlive(t *testing.T) {
	id := start(t, nil, "sleep", "300")
	if !id.Alive() {
		t.Error("Alive = false for a running process")
	}
	if reused := (proc.ID{PID: id.PID, Start: id.Start + "0"}); reused.Alive() {
		t.Error("Alive = true for a process whose PID was reused")
	} else if err := reused.Signal(syscall.SIGKILL); err != nil || !id.Alive() {
		t.Errorf("Signal affected another process with the same PID: %v", err)
	}
	if err := id.Signal(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if left := proc.Gone([]proc.ID{id}, patience); len(left) > 0 {
		t.Error("the process did not end")
	}
	if (proc.ID{}).Alive() || (proc.ID{PID: -1}).Alive() {
		t.Error("Alive = true for an invalid PID")
	}
}

// TestTree starts a process whose child has its own session and whose grandchild has lost its parent.
func TestTree(t *testing.T) {
	mark := "PROC_TEST=" + strings.ReplaceAll(t.TempDir(), "/", "-")
	own := strconv.Itoa(os.Getpid()) // distinguishes the sleeps from those of other tests
	leader := start(t, []string{mark}, "sh", "-c", fmt.Sprintf("setsid sh -c 'sleep 303.%s & sleep 0.1' & sleep 304.%[1]s", own))
	stranger := start(t, nil, "sleep", "305")
	// Wait until the shell that started the first sleep has ended: then the parent of the sleep is no longer the leader of its group.
	time303 := await(t, "303."+own, func(p proc.Info) bool { return p.Parent != p.Group })
	time304 := await(t, "304."+own, func(proc.Info) bool { return true })
	tree, err := proc.Tree(leader, mark)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []proc.ID{leader, time303, time304} {
		if !slices.Contains(tree, want) {
			t.Errorf("the tree %v does not contain %v", tree, want)
		}
	}
	for _, id := range tree {
		if id == stranger {
			t.Error("the tree contains an unrelated process")
		}
		_ = id.Signal(syscall.SIGKILL)
	}
	if left := proc.Gone(tree, patience); len(left) > 0 {
		t.Errorf("still running: %v", left)
	}
	if after, err := proc.Tree(leader, mark); err != nil || len(after) > 0 {
		t.Errorf("after the kill: got %v, %v, want no processes", after, err)
	}
}

// await waits until a sleep of so many seconds exists for which ready returns true.
func await(t *testing.T, seconds string, ready func(proc.Info) bool) proc.ID {
	t.Helper()
	var last proc.Info
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		all, err := proc.List()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range all {
			if !slices.Equal(p.Args, []string{"sleep", seconds}) {
				continue
			}
			if last = p; ready(p) {
				return p.ID
			}
		}
	}
	t.Fatalf("timeout while waiting for sleep %s; last state: %+v", seconds, last)
	return proc.ID{}
}

func TestListContainsThisProcess(t *testing.T) {
	all, err := proc.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p.PID == os.Getpid() {
			if p.Parent != os.Getppid() || p.UID != os.Getuid() || len(p.Args) != len(os.Args) || p.Args[0] != os.Args[0] {
				t.Errorf("got wrong information about this process: %+v", p)
			}
			return
		}
	}
	t.Error("the list does not contain this process")
}
