package engine_test

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/store"
)

// kept counts the definitions on a disk.
func kept(t *testing.T, fs vfs.FS) int {
	t.Helper()
	st, err := store.Open("state", store.Options{FS: fs, Logger: quiet, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	names, err := st.DocNames("definition")
	if err != nil {
		t.Error(err)
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
	return len(names)
}

func hourly(c *engine.Config) { c.Retention = time.Hour }

const (
	brief = `{"StartAt":"P","States":{"P":{"Type":"Pass","Comment":"brief","End":true}}}`
	slow  = `{"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":10800,"End":true}}}`
)

// A definition is deleted after the last execution that uses it, even if executions of the same machine with other definitions exist.
func TestUnusedDefinitionsAreDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		e := open(t, fs, nil, hourly)
		start(t, e, "a", brief, `{}`)
		start(t, e, "b", brief, `{}`)
		waits := start(t, e, "c", slow, `{}`)
		time.Sleep(2 * time.Hour)
		again := start(t, e, "d", brief, `{}`) // the definition was deleted, and is stored again
		if _, err := e.Definition(again.ARN); err != nil {
			t.Error(err)
		}
		if text, err := e.Definition(waits.ARN); err != nil || !strings.Contains(string(text), "Wait") {
			t.Errorf("%s, %v", text, err)
		}
		closeEngine(t, e)
		if n := kept(t, fs); n != 2 {
			t.Errorf("%d definitions are stored, want 2", n)
		}
		e = open(t, fs, nil, hourly)
		time.Sleep(4 * time.Hour)
		closeEngine(t, e)
		if n := kept(t, fs); n != 0 {
			t.Errorf("%d definitions are stored, want none", n)
		}
	})
}

// TestCrashWhileCollecting simulates a crash at each write while executions and their definitions are deleted and executions with the
// same definition are started. After each crash, no execution uses a missing definition, and no unused definition remains for ever.
func TestCrashWhileCollecting(t *testing.T) {
	// An hour of synctest's time costs seconds, because the engine and the database wake up periodically. So the retention is short; "a" is
	// deleted before "d" starts.
	brisk := func(c *engine.Config) { c.Retention = 10 * time.Minute }
	var cuts []*vfs.MemFS
	var mu sync.Mutex // several goroutines of the database write
	synctest.Test(t, func(t *testing.T) {
		disk, rng := vfs.NewCrashableMem(), rand.New(rand.NewPCG(1, 2))
		var fs vfs.FS = cutFS{disk, func() {
			mu.Lock()
			defer mu.Unlock()
			for _, percent := range []int{0, 50, 100} {
				cuts = append(cuts, disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}))
			}
		}}
		e := open(t, fs, nil, brisk)
		for i, name := range []string{"a", "b", "c", "d"} {
			start(t, e, name, strings.Replace(brief, "brief", name[:1], 1), `{}`)
			start(t, e, name+"2", brief, `{}`)
			time.Sleep(time.Duration(4+i) * time.Minute)
		}
		time.Sleep(20 * time.Minute)
		closeEngine(t, e)
	})
	step := max(1, len(cuts)/50)
	for i := 0; i < len(cuts); i += step {
		synctest.Test(t, func(t *testing.T) {
			e := open(t, cuts[i], nil, brisk)
			page, err := e.List(engine.ListFilter{MachineARN: machineARN})
			if err != nil {
				t.Error(err)
			}
			for _, x := range page.Executions {
				if _, err := e.Definition(x.ARN); err != nil {
					t.Errorf("cut %d: %s: %v", i, x.Name, err)
				}
			}
			time.Sleep(30 * time.Minute) // the clock starts again in each synctest bubble
			closeEngine(t, e)
			if n := kept(t, cuts[i]); n != 0 {
				t.Errorf("cut %d: %d unused definitions remain", i, n)
			}
		})
	}
}
