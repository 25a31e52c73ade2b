package interp_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/asl/interp"
)

var update = flag.Bool("update", false, "rewrite the golden file of the current version")

// everything is a run that has frames of every kind: lines in most phases, groups, items, outputs of lines, and a map run.
const everything = `{"StartAt":"P","States":{"P":{"Type":"Parallel","Assign":{"after.$":"$"},"Branches":[` +
	`{"StartAt":"M","States":{"M":{"Type":"Map","ItemsPath":"$.items","MaxConcurrency":2,"ItemProcessor":{"StartAt":"A",` +
	`"States":{"A":{"Type":"Task","Resource":"arn:aws:states:::ray:submitJob.sync","TimeoutSeconds":90,"HeartbeatSeconds":30,` +
	`"Credentials":{"RoleArn":"r"},"Retry":[{"ErrorEquals":["Again"]}],"End":true}}},"End":true}}},` +
	`{"StartAt":"V","States":{"V":{"Type":"Pass","Assign":{"v.$":"$.items"},"Next":"W"},"W":{"Type":"Wait","Seconds":60,"End":true}}},` +
	`{"StartAt":"D","States":{"D":{"Type":"Map","ItemsPath":"$.items","ItemSelector":{"v.$":"$$.Map.Item.Value"},"ItemProcessor":` +
	`{"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},"StartAt":"I","States":{"I":{"Type":"Pass","End":true}}},"End":true}}}` +
	`],"End":true}}}`

func everyFrame(t testing.TB) *world {
	w := newWorld(t, everything, `{"items":[1,2,3]}`)
	w.reload = false
	return w.start().done("A#1", "1").fail("A#2", "Again", "busy")
}

func golden(w *world) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "head %s\n", hex.EncodeToString(w.run.AppendHead(nil)))
	ids := make([]int, 0, len(w.stored))
	for id := range w.stored {
		ids = append(ids, int(id))
	}
	slices.Sort(ids)
	for _, id := range ids {
		fmt.Fprintf(&b, "%d %s\n", id, hex.EncodeToString(w.stored[interp.FrameID(id)]))
	}
	return b.Bytes()
}

func parseGolden(t testing.TB, data []byte) (head []byte, frames []interp.StoredFrame) {
	for line := range strings.Lines(string(data)) {
		key, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if key == "head" {
			head = b
			continue
		}
		var id interp.FrameID
		if _, err := fmt.Sscan(key, &id); err != nil {
			t.Fatal(err)
		}
		frames = append(frames, interp.StoredFrame{ID: id, Data: b})
	}
	return head, frames
}

// TestOldRunsCanBeResumed loads what each version wrote and continues the run. A new version adds a golden file; existing
// files never change.
func TestOldRunsCanBeResumed(t *testing.T) {
	const current = "testdata/run-v1.golden"
	if *update {
		if err := os.WriteFile(current, golden(everyFrame(t)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob("testdata/run-v*.golden")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		w := everyFrame(t)
		head, frames := parseGolden(t, data)
		if w.run, err = interp.Load(w.m, head, frames); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		w.reload = true
		for _, s := range frames {
			w.stored[s.ID] = w.run.AppendFrame(nil, s.ID)
		}
		if file == current && !bytes.Equal(golden(w), data) {
			t.Errorf("%s: the encoding has changed: increase the version", file)
		}
		w.wake().done("A#3", "3").done("A#4", "2").wake()
		w.apply(interp.MapRunEnded{MapRun: w.run.RunningMaps()[0].ID, Output: []byte("[]")})
		check(t, file, `SUCCEEDED [[1,2,3],{"items":[1,2,3]},[]]`, w.head())
	}
}

func TestNewerVersionIsAnError(t *testing.T) {
	w := everyFrame(t)
	head, frames := parseGolden(t, golden(w))
	head[0] = 200
	if _, err := interp.Load(w.m, head, frames); err == nil || !strings.Contains(err.Error(), "version 200") {
		t.Errorf("error: %v", err)
	}
}

// FuzzLoad loads damaged heads and frames: Load returns an error, or a run that can be continued. Load detects the damage
// that the frames themselves show. Damage that only a decision would detect may cause a panic, which the engine turns into an
// error of this one run (FuzzDamagedStore).
func FuzzLoad(f *testing.F) {
	w := everyFrame(f)
	head, frames := parseGolden(f, golden(w))
	for _, s := range frames {
		f.Add(head, uint8(s.ID), s.Data)
	}
	f.Fuzz(func(t *testing.T, head []byte, id uint8, data []byte) {
		changed := append([]interp.StoredFrame(nil), frames...)
		for i := range changed {
			if changed[i].ID == interp.FrameID(id) {
				changed[i].Data = data
			}
		}
		run, err := interp.Load(w.m, head, changed)
		if err != nil {
			return
		}
		run.AppendHead(nil)
		advance(run)
	})
}

// advance applies facts that can come next to a run.
func advance(run *interp.Run) {
	defer func() { _ = recover() }()
	for _, task := range run.Running() {
		_, _ = run.Apply(interp.TaskEnded{Task: task.ID, Output: []byte("1")}, epoch)
	}
	for range 5 {
		d, err := run.Apply(interp.Wake{}, run.Head().Wake)
		if err != nil {
			return
		}
		for _, id := range d.Dirty {
			run.AppendFrame(nil, id)
		}
	}
}

// FuzzRun checks that any text is either rejected as a definition, or runs without a panic.
func FuzzRun(f *testing.F) {
	for _, s := range []string{oneTask, branches, everything, distributed, fmt.Sprintf(mapOfTasks, 1)} {
		f.Add([]byte(s), []byte(`{"items":[1,2],"n":1,"name":"x"}`))
	}
	f.Fuzz(func(t *testing.T, definition, input []byte) {
		m, err := asl.Parse(definition)
		if err != nil {
			return
		}
		run := interp.New(interp.Params{Input: input, StartTime: epoch}, m)
		now := epoch
		d, err := run.Apply(interp.Start{}, now)
		for steps := 0; err == nil && !d.Closed && steps < 20; steps++ {
			switch tasks := run.Running(); {
			case d.More:
				d, err = run.Apply(interp.Continue{}, now)
			case len(tasks) > 0:
				d, err = run.Apply(interp.TaskEnded{Task: tasks[0].ID, Output: input}, now)
			case !d.Wake.IsZero():
				now = d.Wake
				d, err = run.Apply(interp.Wake{}, now)
			default:
				return
			}
		}
	})
}
