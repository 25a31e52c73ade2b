package ekstask_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/ekstask"
	"github.com/rayorch/rayorch/internal/task/tasktest"
)

// containerLog returns a log in which some lines have equal times and some are out of order.
func containerLog() (lines []kube.Line) {
	begin := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for i, ms := range []int{0, 0, 0, 300, 200, 300, 999, 1000, 1000, 999, 1400, 3000, 3000, 3000, 2999, 3001} {
		lines = append(lines, kube.Line{At: begin.Add(time.Duration(ms) * time.Millisecond), Text: fmt.Sprint("line ", i)})
	}
	return lines
}

// since returns the lines that the API returns for a start time: each line whose time is not before it.
func since(lines []kube.Line, at time.Time) (later []kube.Line) {
	for _, line := range lines {
		if !line.At.Before(at) {
			later = append(later, line)
		}
	}
	return later
}

// TestLinesOnce cuts the stream of a container's log after each line, and continues with a new stream in the same process or the next one.
// Each line must be passed on exactly once.
func TestLinesOnce(t *testing.T) {
	all := containerLog()
	var want strings.Builder
	for _, line := range all {
		want.WriteString(line.Text + "\n")
	}
	for first := range len(all) + 1 {
		for second := range len(all) + 1 {
			for _, restart := range []bool{true, false} {
				req := &task.Request{Log: &tasktest.Log{}}
				log := ekstask.NewLog(req)
				for _, n := range []int{first, second, len(all)} {
					for _, line := range since(all[:max(n, first)], log.LogBegin("c")) {
						log.LogLine("c", line)
					}
					if restart {
						log = ekstask.NewLog(req)
					}
				}
				if got := req.Log.(*tasktest.Log).String(); got != want.String() {
					t.Fatalf("cut after %d and %d, restart %v: got %q", first, second, restart, got)
				}
			}
		}
	}
}

// TestPositionOfAnOlderRelease continues after the time that an older release stored.
func TestPositionOfAnOlderRelease(t *testing.T) {
	all := containerLog()
	req := &task.Request{Log: &tasktest.Log{}, Records: map[string][]byte{"eks.logged": []byte(`{"c":"2026-11-30T12:00:01.4Z"}`)}}
	log := ekstask.NewLog(req)
	for _, line := range since(all, log.LogBegin("c")) {
		log.LogLine("c", line)
	}
	if got, want := req.Log.(*tasktest.Log).String(), "line 11\nline 12\nline 13\nline 14\nline 15\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// FuzzLogPosition continues at arbitrary positions.
func FuzzLogPosition(f *testing.F) {
	for _, position := range []string{`{"c":{"Last":"2026-11-30T12:00:01Z","N":[1,3]}}`, `{"c":null}`, `{"c":{"N":[-1,9223372036854775807]}}`, `{"c":"2026-11-30T12:00:01.4Z"}`, "null", "7"} {
		f.Add([]byte(position))
	}
	f.Fuzz(func(t *testing.T, position []byte) {
		buffer := tasktest.NewLog(position)
		log := ekstask.NewLog(&task.Request{Log: buffer})
		for _, line := range since(containerLog(), log.LogBegin("c")) {
			log.LogLine("c", line)
		}
		if n := strings.Count(buffer.String(), "\n"); n > len(containerLog()) {
			t.Errorf("got %d lines, want at most %d", n, len(containerLog()))
		}
	})
}
