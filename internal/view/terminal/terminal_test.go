package terminal_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/view/progress"
	"github.com/rayorch/rayorch/internal/view/terminal"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func view() *progress.View {
	v := progress.New(nil)
	v.Entries = []*progress.Entry{
		{Name: "train", Kind: "Task", Status: progress.Succeeded, Attempt: 2, Entered: now.Add(-90 * time.Second), Ended: now.Add(-30 * time.Second)},
		{Name: "infer", Kind: "Task", Status: progress.Running, Attempt: 1, Entered: now.Add(-30 * time.Second)},
	}
	return v
}

func screen(b *strings.Builder, live bool) *terminal.Screen {
	return terminal.New(terminal.Config{
		Out: b, Live: live, Width: func() int { return 44 }, Tail: 2, Now: func() time.Time { return now },
	})
}

func TestLiveBlockIsRedrawnInPlace(t *testing.T) {
	var b strings.Builder
	s := screen(&b, true)
	for _, line := range []string{"one", "two", "three is long enough to be cut at the terminal's edge"} {
		s.Log("infer", line)
	}
	s.Show(view())
	want := "\r✓ train                succeeded     1m00s…\x1b[K\n" +
		"\r⠙ infer                running       30.0s\x1b[K\n" +
		"\r    │ two\x1b[K\n" +
		"\r    │ three is long enough to be cut at th…\x1b[K\n\x1b[J"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Fatal(diff)
	}
	b.Reset()
	s.Show(view())
	if !strings.HasPrefix(b.String(), "\x1b[4A") {
		t.Fatalf("the second frame does not replace the first: %q", b.String())
	}
	b.Reset()
	s.Printf("hello")
	if b.String() != "\x1b[4A\r\x1b[Jhello\n" {
		t.Fatalf("the message does not replace the block: %q", b.String())
	}
}

func TestPlainLines(t *testing.T) {
	var b strings.Builder
	s := screen(&b, false)
	v := view()
	s.Show(v)
	s.Show(v)
	v.Entries[1].Status, v.Entries[1].Error, v.Entries[1].Cause = progress.Failed, "Ray.JobFailed", "\nboom\nmore"
	v.Entries[1].Ended = now
	s.Show(v)
	want := "03:04:05  train                succeeded  attempt 2  after 1m00s\n" +
		"03:04:05  infer                running\n" +
		"03:04:05  infer                failed  after 30.0s  Ray.JobFailed: boom\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Fatal(diff)
	}
}

func TestPendingReason(t *testing.T) {
	v := view()
	v.Entries = v.Entries[1:]
	v.Entries[0].Status = progress.Pending
	v.Entries[0].Waiting = &progress.Waiting{Since: now.Add(-29 * time.Second), Reason: "no room for\x1b[2J it\nin the cluster at this time"}
	var b strings.Builder
	screen(&b, true).Show(v)
	want := "\r○ infer                pending       30.0s\x1b[K\n\r    │ no room for[2J it\x1b[K\n\x1b[J"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
	b.Reset()
	s := screen(&b, false)
	for _, since := range []time.Duration{time.Second, 3 * time.Second, 4 * time.Second} { // all jobs are pending for a short time
		v.Entries[0].Waiting.Since, v.Entries[0].Scheduled = now.Add(-since), now.Add(-since)
		s.Show(v)
	}
	v.Entries[0].Status = progress.Running
	s.Show(v)
	want = "03:04:05  infer                pending  for 3.0s: no room for[2J it\n03:04:05  infer                running\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

// Plain lines report a step that is pending for some time, the reason why a step is skipped, and that a failure is tolerated.
func TestPlainLinesOfStatuses(t *testing.T) {
	var b strings.Builder
	clock := now
	s := terminal.New(terminal.Config{Out: &b, Now: func() time.Time { return clock }})
	v := progress.New(nil)
	v.Entries = []*progress.Entry{
		{Name: "train", Kind: "Task", Status: progress.Pending, Attempt: 1, Entered: now, Scheduled: now},
		{Name: "promote", Kind: "Skipped", Status: progress.Skipped, Entered: now, Ended: now, SkipReason: "a > 1 (a is 0)"},
		{Name: "trial", Kind: "Task", Status: progress.Failed, Tolerated: true, Attempt: 1, Entered: now, Ended: now, Error: "Job.Failed", Cause: "boom"},
	}
	s.Show(v)
	clock = now.Add(2 * time.Second)
	s.Show(v)
	v.Entries[0].Status = progress.Running
	s.Show(v)
	want := "03:04:05  promote              skipped: a > 1 (a is 0)\n" +
		"03:04:05  trial                failed (tolerated)  after 0.0s  Job.Failed: boom\n" +
		"03:04:07  train                pending\n" +
		"03:04:07  train                running\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Fatal(diff)
	}
}

func TestClean(t *testing.T) {
	got := terminal.Clean("a\x1b[2Jb\x07c\td\u009b31me\xff")
	if got != "a[2Jbc d31me" {
		t.Fatalf("%q", got)
	}
}

func TestFollowPrefixesLines(t *testing.T) {
	var b strings.Builder
	s := terminal.New(terminal.Config{Out: &b, Follow: true})
	s.Log("train", "loss 1")
	if b.String() != "train | loss 1\n" {
		t.Fatalf("%q", b.String())
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	if err := terminal.Table(&b, []string{"A", "LONG"}, [][]string{{"größer", "x"}, {"b", "yy"}}); err != nil {
		t.Fatal(err)
	}
	if want := "A       LONG\ngrößer  x\nb       yy\n"; b.String() != want {
		t.Fatalf("%q", b.String())
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		1500 * time.Millisecond: "1.5s", 65 * time.Second: "1m05s", 2*time.Hour + 3*time.Minute: "2h03m",
	} {
		if got := terminal.Duration(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
