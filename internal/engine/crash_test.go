package engine_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/task"
)

// world is the system in which tasks run jobs, instead of Ray. It counts how often each job was created, by id.
type world struct {
	mu    sync.Mutex
	made  map[string]int
	acked map[string]bool // executions whose start was acknowledged
}

func newWorld() *world { return &world{made: map[string]int{}, acked: map[string]bool{}} }

// at calls fn with w.mu held.
func (w *world) at(fn func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fn()
}

// Run submits a job unless the task is resumed and the job exists. The state Flaky fails at its first attempt, Bad always.
func (w *world) Run(ctx context.Context, req *task.Request) task.Result {
	id := req.Execution + "/" + req.ID
	if context.Cause(ctx) != nil {
		return task.Result{}
	}
	if err := req.Keep("intent", []byte(id)); err != nil {
		return task.Fail("Keep", err.Error())
	}
	w.at(func() {
		if !req.Resumed || w.made[id] == 0 {
			w.made[id]++
		}
	})
	if err := req.Submitted([]byte(`{}`)); err != nil {
		return task.Fail("Submitted", err.Error())
	}
	switch {
	case req.State == "Flaky" && req.Attempt == 1, req.State == "Bad":
		return task.Fail("Oops", req.State)
	case req.State == "Forever":
		<-ctx.Done()
	}
	return task.Result{Output: req.Input}
}

// cutFS calls cut after each operation that changes the disk.
type cutFS struct {
	vfs.FS
	cut func()
}

type cutFile struct {
	vfs.File
	cut func()
}

func (c cutFS) Create(name string, k vfs.DiskWriteCategory) (vfs.File, error) {
	defer c.cut()
	f, err := c.FS.Create(name, k)
	return c.wrap(f, err)
}

func (c cutFS) OpenReadWrite(name string, k vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := c.FS.OpenReadWrite(name, k, o...)
	return c.wrap(f, err)
}

func (c cutFS) ReuseForWrite(from, to string, k vfs.DiskWriteCategory) (vfs.File, error) {
	defer c.cut()
	f, err := c.FS.ReuseForWrite(from, to, k)
	return c.wrap(f, err)
}

func (c cutFS) OpenDir(name string) (vfs.File, error) {
	f, err := c.FS.OpenDir(name)
	return c.wrap(f, err)
}

func (c cutFS) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return cutFile{f, c.cut}, nil
}

func (c cutFS) Rename(from, to string) error {
	defer c.cut()
	return c.FS.Rename(from, to)
}

func (c cutFS) Link(from, to string) error {
	defer c.cut()
	return c.FS.Link(from, to)
}

func (c cutFS) Remove(name string) error {
	defer c.cut()
	return c.FS.Remove(name)
}

func (f cutFile) Write(p []byte) (int, error) {
	defer f.cut()
	return f.File.Write(p)
}

func (f cutFile) WriteAt(p []byte, at int64) (int, error) {
	defer f.cut()
	return f.File.WriteAt(p, at)
}

func (f cutFile) Sync() error {
	defer f.cut()
	return f.File.Sync()
}

func (f cutFile) SyncData() error {
	defer f.cut()
	return f.File.SyncData()
}

// workload is a definition with everything that a crash could affect: retries, timers, branches, iterations, a caught error.
const workload = `{"StartAt":"First","States":{
 "First":{"Type":"Pass","Result":[1,2,3],"ResultPath":"$.items","Next":"Plain"},
 "Plain":{"Type":"Task","Resource":"arn:aws:states:::test:do.sync","ResultPath":"$.plain","Next":"Flaky"},
 "Flaky":{"Type":"Task","Resource":"arn:aws:states:::test:do.sync","Retry":[{"ErrorEquals":["Oops"],"IntervalSeconds":5}],
  "ResultPath":null,"Next":"Later"},
 "Later":{"Type":"Wait","Seconds":600,"Next":"Both"},
 "Both":{"Type":"Parallel","ResultPath":"$.both","Next":"Each","Branches":[
  {"StartAt":"B1","States":{"B1":{"Type":"Task","Resource":"arn:aws:states:::test:do.sync","InputPath":"$.items","End":true}}},
  {"StartAt":"B2","States":{"B2":{"Type":"Wait","Seconds":7,"Next":"B3"},
   "B3":{"Type":"Task","Resource":"arn:aws:states:::test:do.sync","InputPath":"$.items","End":true}}}]},
 "Each":{"Type":"Map","ItemsPath":"$.items","ResultPath":"$.each","MaxConcurrency":2,"Next":"Bad","ItemProcessor":{"StartAt":"I",
  "States":{"I":{"Type":"Task","Resource":"arn:aws:states:::test:do.sync","End":true}}}},
 "Bad":{"Type":"Task","Resource":"arn:aws:states:::test:do.sync","Catch":[{"ErrorEquals":["Oops"],"ResultPath":"$.caught","Next":"Done"}],
  "Next":"Done"},
 "Done":{"Type":"Succeed"}}}`

const forever = `{"StartAt":"Forever","States":{"Forever":{"Type":"Task","Resource":"arn:aws:states:::test:do.sync","End":true}}}`

// mapped is a definition with a distributed Map.
const mapped = `{"StartAt":"M","States":{"M":{"Type":"Map","MaxConcurrency":2,"Items":[1,2,3],"QueryLanguage":"JSONata",
 "ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},"StartAt":"Child","States":{
  "Child":{"Type":"Task","QueryLanguage":"JSONata","Resource":"arn:aws:states:::test:do.sync","Arguments":"{% $states.input %}","End":true}}},"End":true}}}`

// script is a client that can be restarted at any time: it starts executions, and returns how they ended.
func script(t *testing.T, e *engine.Engine, w *world) (ends map[string]string) {
	ends = map[string]string{}
	for name, definition := range map[string]string{
		"one": workload, "two": workload, "stopped": forever, "plain": pass, "mapped": mapped,
	} {
		x, err := e.Start(t.Context(), request(name, definition, `{"name":"`+name+`"}`))
		var exists *engine.AlreadyExistsError
		if errors.As(err, &exists) {
			x, err = e.Describe(exists.ARN)
		}
		if err != nil {
			t.Fatal(err)
		}
		w.at(func() { w.acked[x.ARN] = true })
		if name == "stopped" {
			synctest.Wait() // until its job is created
			if _, err := e.Stop(x.ARN, "Enough", ""); err != nil {
				t.Fatal(err)
			}
		}
		ends[name] = x.ARN
	}
	for name, arn := range ends {
		x := end(t, e, arn)
		ends[name] = fmt.Sprintf("%s %s %s %d", x.Status, x.Output, x.Error, x.LastEventID)
		if got := types(t, e, arn); int64(len(got)) != x.LastEventID {
			t.Errorf("%s has %d events, the last id is %d", name, len(got), x.LastEventID)
		}
	}
	return ends
}

// cut has copies of the disk and the world at one moment.
type cut struct {
	disk  *vfs.MemFS
	world *world
}

// TestCrashAtEveryWrite runs a script, and copies the disk at each write as a crash would leave it, without unsynced data and with half of
// it. It restarts the script on each copy, and checks that the result is the same: no job is created twice or missing, and no
// acknowledged execution is lost.
func TestCrashAtEveryWrite(t *testing.T) {
	var cuts []cut
	var want map[string]string
	made := 0
	synctest.Test(t, func(t *testing.T) {
		disk, w := vfs.NewCrashableMem(), newWorld()
		rng := rand.New(rand.NewPCG(1, rand.Uint64()))
		fs := cutFS{disk, func() {
			w.at(func() {
				for _, percent := range []int{0, 50} {
					cuts = append(cuts, cut{
						disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}),
						&world{made: maps.Clone(w.made), acked: maps.Clone(w.acked)},
					})
				}
			})
		}}
		e := openWorld(t, fs, w)
		want = script(t, e, w)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		made = len(w.made)
	})
	t.Logf("%d cuts, ends %v, %d jobs", len(cuts), want, made)
	// Each run of the test tries other cuts; make soak tries all.
	step := 5
	if os.Getenv("RAYORCH_SOAK") != "" {
		step = 1
	}
	for i := rand.IntN(step); i < len(cuts); i += step {
		synctest.Test(t, func(t *testing.T) { continueFrom(t, i, cuts[i], want, made) })
		if t.Failed() {
			t.Fatalf("cut %d of %d", i, len(cuts))
		}
	}
}

func openWorld(t *testing.T, fs vfs.FS, w *world) *engine.Engine {
	return open(t, fs, w.Run)
}

// continueFrom restarts the script on a cut and checks the result.
func continueFrom(t *testing.T, n int, c cut, want map[string]string, made int) {
	e := openWorld(t, c.disk, c.world)
	for arn := range c.world.acked {
		if _, err := e.Describe(arn); err != nil {
			t.Errorf("cut %d: the acknowledged execution %s: %v", n, arn, err)
		}
	}
	got := script(t, e, c.world)
	if !maps.Equal(got, want) {
		t.Errorf("cut %d ended with %v, want %v", n, got, want)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	sound(t, c.disk)
	for id, times := range c.world.made {
		if times != 1 {
			t.Errorf("cut %d: job %s was created %d times", n, id, times)
		}
	}
	if got := len(c.world.made); got != made {
		t.Errorf("cut %d: %d jobs, want %d: %v", n, got, made, slices.Sorted(maps.Keys(c.world.made)))
	}
}

// sound checks that a store has no problems and an empty outbox.
func sound(t *testing.T, fs vfs.FS) {
	t.Helper()
	st, err := store.Open("state", store.Options{FS: fs, Logger: quiet, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	n, err := engine.Check(st, func(p engine.Problem) { t.Error(p) })
	if err != nil || n.Runs == 0 || n.Outbox != 0 {
		t.Errorf("counts %+v, %v", n, err)
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}
