package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestLeftBehind starts a process that outlives its command, which must be reported and killed.
func TestLeftBehind(t *testing.T) {
	p := processes{mark: "CHECK_RUN=" + t.Name(), grace: time.Millisecond}
	if _, err := p.run([]string{"sh", "-c", "setsid sleep 600 >/dev/null 2>&1 &"}, nil); err != nil {
		t.Fatal(err)
	}
	if left := p.end(false); len(left) != 1 || !strings.Contains(left[0], "sleep 600") {
		t.Errorf("left behind %q, want one process with sleep 600", left)
	}
	if left := p.marked(); len(left) != 0 {
		t.Errorf("still running: %v", left)
	}
}

// TestInterrupted sends two interrupts to a run whose command ignores them and has a process in another session.
func TestInterrupted(t *testing.T) {
	p := processes{mark: "CHECK_RUN=" + t.Name(), grace: time.Millisecond}
	signals := make(chan os.Signal, 2)
	signals <- os.Interrupt
	signals <- syscall.SIGTERM
	interrupted, err := p.run([]string{"sh", "-c", "trap '' INT; setsid sleep 600 & sleep 600; sleep 600"}, signals)
	if !interrupted || err == nil {
		t.Errorf("got interrupted %t and error %v, want true and an error", interrupted, err)
	}
	p.end(true)
	if left := p.marked(); len(left) != 0 {
		t.Errorf("still running: %v", left)
	}
}

// TestInterruptedRay checks that the directory of a Ray is removed even if the Ray itself ends because of the interrupt, and that Ray's
// agents, which clear their environment, are killed.
func TestInterruptedRay(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "rayorch-ray-")
	if err != nil {
		t.Fatal(err)
	}
	p := processes{mark: "CHECK_RUN=" + t.Name(), grace: time.Minute}
	signals := make(chan os.Signal, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = p.run([]string{"sh", "-c", "cd " + dir + "; env -i sleep 600 >/dev/null 2>&1 & echo $! >pid; mv pid agent; trap 'exit 130' INT; while :; do sleep 0.1; done", "sh", "--temp-dir=" + dir}, signals)
	}()
	for _, err := os.Stat(dir + "/agent"); err != nil; _, err = os.Stat(dir + "/agent") {
		time.Sleep(10 * time.Millisecond)
	}
	agent, err := os.ReadFile(dir + "/agent")
	if err != nil {
		t.Fatal(err)
	}
	signals <- os.Interrupt
	<-done
	p.end(true)
	if line, _ := os.ReadFile("/proc/" + strings.TrimSpace(string(agent)) + "/cmdline"); len(line) > 0 { // a zombie has none
		t.Errorf("process %s still runs: %q", agent, line)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s was not removed: %v", dir, err)
	}
}

// TestRayDirectory checks that only the directory of a Ray that rayorch started is recognized as one to remove.
func TestRayDirectory(t *testing.T) {
	for line, want := range map[string]string{
		"python raylet --temp-dir=/tmp/rayorch-ray-123 --x": "/tmp/rayorch-ray-123",
		"gcs --temp-dir=/tmp/rayorch-ray-9":                 "/tmp/rayorch-ray-9",
		"python --temp-dir=/tmp/rayorch-ray-1/../x":         "",
		"python --temp-dir=/home/me":                        "",
	} {
		got := ""
		if m := rayDir.FindStringSubmatch(line); m != nil {
			got = m[1]
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
}
