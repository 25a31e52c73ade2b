package engine_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/store"
)

// FuzzDamagedStore replaces one value in a store. Neither Check nor an engine on the store may panic; they may return errors.
func FuzzDamagedStore(f *testing.F) {
	disk := vfs.NewCrashableMem()
	e, err := engine.Open(context.Background(), engine.Config{Dir: "state", FS: disk, Logger: quiet})
	if err != nil {
		f.Fatal(err)
	}
	for name, definition := range map[string]string{"waits": waiting, "done": pass, "task": activity} {
		if _, err := e.Start(context.Background(), request(name, definition, `{"a":[1,2]}`)); err != nil {
			f.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		f.Fatal(err)
	}
	for i := range 24 {
		f.Add(i, []byte("{}"))
		f.Add(i, []byte{})
		f.Add(i, []byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	}
	f.Fuzz(func(t *testing.T, n int, v []byte) {
		fs := disk.CrashClone(vfs.CrashCloneCfg{})
		if !damage(t, fs, n, v) {
			return
		}
		st, err := store.Open("state", store.Options{FS: fs, Logger: quiet, ReadOnly: true})
		if err != nil {
			return
		}
		if _, err := engine.Check(st, func(engine.Problem) {}); err != nil {
			t.Log(err)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		e, err := engine.Open(t.Context(), engine.Config{Dir: "state", FS: fs, Logger: quiet})
		if err != nil {
			return
		}
		page, _ := e.List(engine.ListFilter{})
		for _, x := range page.Executions {
			_, _ = e.Describe(x.ARN)
			_, _ = e.History(x.ARN, engine.HistoryQuery{})
			_, _ = e.Stop(x.ARN, "", "")
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// silent is a logger for the database that logs nothing.
type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(f string, a ...any) {
	panic(fmt.Sprintf(f, a...))
}

// damage replaces the n-th value of the store. It returns false if there is none.
func damage(t *testing.T, fs vfs.FS, n int, v []byte) bool {
	db, err := pebble.Open("state/db", &pebble.Options{FS: fs, Logger: silent{}})
	if err != nil {
		t.Fatal(err)
	}
	it, err := db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	ok := it.First()
	for i := 0; ok && i < n; i++ {
		ok = it.Next()
	}
	if ok {
		err = db.Set(it.Key(), v, pebble.Sync)
	}
	if err := errors.Join(err, it.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
	return ok
}
