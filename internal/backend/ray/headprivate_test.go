package ray_test

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/rayorch/rayorch/internal/backend/proc"
	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/backend/ray/raytest"
)

// checkLoopback checks that all processes of a head, including jobs, listen only on loopback addresses.
func checkLoopback(t *testing.T, state ray.State) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Log("the test can find the sockets of processes only on Linux")
		return
	}
	tree, err := proc.Tree(state.Leader, state.Mark)
	if err != nil {
		t.Fatal(err)
	}
	owners := socketOwners(tree)
	found := 0
	for _, l := range slices.Concat(listeners(t, "tcp", "0A"), listeners(t, "tcp6", "0A"), listeners(t, "udp", "07"), listeners(t, "udp6", "07")) {
		name, ours := owners[l.inode]
		if !ours {
			continue
		}
		if found++; !l.addr.Unmap().IsLoopback() {
			t.Errorf("%s listens on %s", name, l.addr)
		}
	}
	if found < 8 { // GCS, raylet, object manager, two agents, dashboard, driver and worker
		t.Errorf("found %d listening sockets of %d processes, want at least 8", found, len(tree))
	}
}

// socketOwners returns the names of the processes by the inodes of their sockets.
func socketOwners(tree []proc.ID) map[string]string {
	owners := map[string]string{}
	for _, id := range tree {
		dir := fmt.Sprintf("/proc/%d", id.PID)
		name, _ := os.ReadFile(dir + "/comm")
		fds, _ := os.ReadDir(dir + "/fd")
		for _, fd := range fds {
			target, _ := os.Readlink(filepath.Join(dir, "fd", fd.Name()))
			owners[strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")] = strings.TrimSpace(string(name))
		}
	}
	return owners
}

type listener struct {
	addr  netip.Addr
	inode string
}

// listeners returns the sockets in a state from /proc/net. Addresses there consist of 4-byte words in the byte order of the machine.
func listeners(t *testing.T, kind, state string) (all []listener) {
	t.Helper()
	file, err := os.Open("/proc/net/" + kind)
	if err != nil {
		t.Log(err) // the machine has no IPv6
		return nil
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 10 || f[3] != state {
			continue
		}
		text, _, _ := strings.Cut(f[1], ":")
		data, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		for word := range slices.Chunk(data, 4) {
			slices.Reverse(word)
		}
		addr, _ := netip.AddrFromSlice(data)
		all = append(all, listener{addr, f[9]})
	}
	return all
}

// checkPrivate checks that another user cannot list, read, replace or connect to anything in the directory of a head, although Ray makes
// its own directories accessible to all users.
func checkPrivate(t *testing.T, state ray.State) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Log("not running as root: cannot test as another user")
		return
	}
	open, sockets := 0, 0
	err := filepath.WalkDir(state.TempDir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return nil //nolint:nilerr // the file was just deleted
		}
		if info.Mode().Perm()&0o007 != 0 && e.Type()&fs.ModeSymlink == 0 {
			open++
		}
		if e.Type()&fs.ModeSocket != 0 {
			if sockets++; len(path) > 103 {
				t.Errorf("the path of a socket has %d bytes, want at most 103: %s", len(path), path)
			}
		}
		return nil
	})
	if err != nil || open == 0 || sockets == 0 {
		t.Fatalf("got %d files that are accessible to all users and %d sockets, error %v; want some of both", open, sockets, err)
	}
	session := filepath.Join(state.TempDir, "session_latest")
	for _, script := range []string{
		"ls " + filepath.Dir(state.TempDir), "ls " + state.TempDir, "ls " + session + "/runtime_resources/",
		"cat " + session + "/logs/dashboard.log", "touch " + session + "/runtime_resources/theirs", "mv " + state.TempDir + " /tmp/theirs",
		"cat " + state.TokenFile, "test -S " + session + "/sockets/raylet",
	} {
		if out, err := asNobody(script); err == nil {
			t.Errorf("another user can run %s: %s", script, out)
		}
	}
}

// asNobody runs a command as the user nobody.
func asNobody(script string) ([]byte, error) {
	c := exec.Command("sh", "-c", script)
	c.Dir = "/"
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	return c.CombinedOutput()
}

// TestHeadOfAnOlderRelease uses a head that an older release started: all users can access its directory. Using the head makes the
// directory inaccessible, and stopping it deletes the directory.
func TestHeadOfAnOlderRelease(t *testing.T) {
	old, err := os.MkdirTemp("/tmp", "rayorch-ray-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(old) })
	if err := os.Chmod(old, 0o777); err != nil {
		t.Fatal(err)
	}
	write(t, old, "session/secret", "x")
	if os.Getuid() == 0 {
		if out, err := asNobody("cat " + old + "/session/secret"); err != nil {
			t.Fatalf("cannot test as another user: %s, %v", out, err)
		}
	}
	mine := raytest.NewFake("")
	defer mine.Close()
	sleep := exec.Command("sleep", "302")
	sleep.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = sleep.Wait() }()
	leader, err := proc.Of(sleep.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	state, err := json.Marshal(ray.State{Address: mine.URL, SessionName: "ours", Leader: leader, TempDir: old, Mark: "RAYORCH_RAY=old"})
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "head.json", string(state))
	write(t, dir, "lock", "")
	head := &ray.Head{Dir: dir}
	none := func() ([]ray.Dashboard, error) { return nil, nil }
	if got, err := (ray.Resolver{Own: head, Dashboards: none}).Resolve(t.Context()); err != nil || !got.Own {
		t.Fatalf("got %+v, %v", got, err)
	}
	if info, err := os.Stat(old); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%s has mode %v, %v, want 0700", old, info.Mode(), err)
	}
	if os.Getuid() == 0 {
		if out, err := asNobody("cat " + old + "/session/secret"); err == nil {
			t.Errorf("another user can read %s", out)
		}
	}
	if err := head.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("the directory was not deleted: %v", err)
	}
}

func TestOfHead(t *testing.T) {
	for dir, want := range map[string]bool{
		"/tmp/rayorch-ray-4711": true, "/tmp/rayorch-ray-4711/ray": true,
		"/tmp/ray": false, "/tmp/other/ray": false, "/tmp/rayorch-ray-4711/a/b": false, "/tmp": false, "": false,
	} {
		if got := ray.OfHead(dir); got != want {
			t.Errorf("%q: got %v, want %v", dir, got, want)
		}
	}
}
