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

// patience is so long that only what is broken takes longer, however busy the machine is.
const patience = 5 * time.Minute

// start starts a command in a session of its own and takes it up when it ends.
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
		t.Error("a running process is called dead")
	}
	if reused := (proc.ID{PID: id.PID, Start: id.Start + "0"}); reused.Alive() {
		t.Error("another process of the same id is taken for it")
	} else if err := reused.Signal(syscall.SIGKILL); err != nil || !id.Alive() {
		t.Errorf("another process was signalled: %v", err)
	}
	if err := id.Signal(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if left := proc.Gone([]proc.ID{id}, patience); len(left) > 0 {
		t.Error("it does not end")
	}
	if (proc.ID{}).Alive() || (proc.ID{PID: -1}).Alive() {
		t.Error("no process is alive")
	}
}

// TestTree starts a process whose child has a session of its own and whose grandchild has lost its parent.
func TestTree(t *testing.T) {
	mark := "PROC_TEST=" + strings.ReplaceAll(t.TempDir(), "/", "-")
	own := strconv.Itoa(os.Getpid()) // tells our sleeps from another test's
	leader := start(t, []string{mark}, "sh", "-c", fmt.Sprintf("setsid sh -c 'sleep 303.%s & sleep 0.1' & sleep 304.%[1]s", own))
	stranger := start(t, nil, "sleep", "305")
	// A sleep whose parent is not the leader of its group any more has lost the shell that started it.
	time303 := await(t, "303."+own, func(p proc.Info) bool { return p.Parent != p.Group })
	time304 := await(t, "304."+own, func(proc.Info) bool { return true })
	tree, err := proc.Tree(leader, mark)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []proc.ID{leader, time303, time304} {
		if !slices.Contains(tree, want) {
			t.Errorf("the tree %v lacks %v", tree, want)
		}
	}
	for _, id := range tree {
		if id == stranger {
			t.Error("a stranger is in the tree")
		}
		_ = id.Signal(syscall.SIGKILL)
	}
	if left := proc.Gone(tree, patience); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if after, err := proc.Tree(leader, mark); err != nil || len(after) > 0 {
		t.Errorf("found afterwards: %v, %v", after, err)
	}
}

// await finds the sleep of so many seconds, once it is as is wanted.
func await(t *testing.T, seconds string, as func(proc.Info) bool) proc.ID {
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
			if last = p; as(p) {
				return p.ID
			}
		}
	}
	t.Fatalf("sleep %s never is as it should: last it was %+v", seconds, last)
	return proc.ID{}
}

func TestListHasOurselves(t *testing.T) {
	all, err := proc.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p.PID == os.Getpid() {
			if p.Parent != os.Getppid() || p.UID != os.Getuid() || len(p.Args) != len(os.Args) || p.Args[0] != os.Args[0] {
				t.Errorf("got %+v", p)
			}
			return
		}
	}
	t.Error("this process is not in the list")
}
