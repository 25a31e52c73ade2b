package engine_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// filled creates a state directory of some megabytes. It has executions that have ended, in one large sorted file, and later executions,
// ended and open, in the log and in another file.
func filled(t *testing.T) (dir string, arns []string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "state")
	for part := range 3 {
		e, err := engine.Open(t.Context(), engine.Config{Dir: dir, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		for i := range []int{150, 20, 20}[part] {
			definition := pass
			if part > 0 && i%4 == 0 {
				definition = waiting
			}
			arns = append(arns, start(t, e, fmt.Sprintf("p%d-%d", part, i), definition, noise(part*1000+i)).ARN)
		}
		closeEngine(t, e)
		if part == 0 {
			compact(t, dir)
		}
	}
	return dir, arns
}

// noise returns an input of 8 kB that does not compress well.
func noise(seed int) string {
	text := make([]byte, 4<<10)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(text)
	return `"` + hex.EncodeToString(text) + `"`
}

func compact(t *testing.T, dir string) {
	t.Helper()
	st, err := store.Open(dir, store.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Compact(t.Context()); err != nil {
		t.Error(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
}

// largest returns the largest file of the database that matches a pattern, and its content.
func largest(t *testing.T, dir, pattern string) (name string, text []byte) {
	t.Helper()
	names, _ := filepath.Glob(filepath.Join(dir, "db", pattern))
	for _, n := range names {
		if b, err := os.ReadFile(n); err == nil && len(b) > len(text) {
			name, text = n, b
		}
	}
	if name == "" {
		t.Fatalf("no %s in %s", pattern, dir)
	}
	return name, text
}

func rewrite(t *testing.T, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Salvage copies complete executions of a damaged directory unchanged, reports the others, and does not change the damaged directory.
func TestSalvage(t *testing.T) {
	whole, arns := filled(t)
	for _, c := range []struct {
		name    string
		damage  func(t *testing.T, dir string)
		least   int  // the minimum number of complete executions
		unnamed bool // an execution may be lost without a trace
	}{
		{"none", func(*testing.T, string) {}, 190, false},
		{"block flipped", func(t *testing.T, dir string) {
			name, text := largest(t, dir, "*.sst")
			text[len(text)/4] ^= 1
			rewrite(t, name, text)
		}, 180, false},
		{"table cut", func(t *testing.T, dir string) {
			name, text := largest(t, dir, "*.sst")
			rewrite(t, name, text[:len(text)/2])
		}, 40, true},
		{"table missing", func(t *testing.T, dir string) {
			name, _ := largest(t, dir, "*.sst")
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}, 0, true},
		{"log cut", func(t *testing.T, dir string) {
			name, text := largest(t, dir, "*.log")
			rewrite(t, name, text[:len(text)/2])
		}, 175, true},
		{"log flipped", func(t *testing.T, dir string) {
			name, text := largest(t, dir, "*.log")
			text[len(text)/4] ^= 1
			rewrite(t, name, text)
		}, 180, true},
		{"manifest missing", func(t *testing.T, dir string) {
			name, _ := largest(t, dir, "MANIFEST-*")
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}, 190, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			c.damage(t, dir)
			before := hashes(t, dir)
			to := filepath.Join(t.TempDir(), "new")
			var losses []store.Loss
			s, err := engine.Salvage(t.Context(), dir, to, store.Options{Logger: quiet}, func(l store.Loss) { losses = append(losses, l) })
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d complete, %d incomplete, %d open, lost: %v", s.Runs, len(s.Left), len(s.Open), losses)
			if after := hashes(t, dir); after != before {
				t.Error("the damaged directory has changed")
			}
			if int(s.Runs) < c.least {
				t.Errorf("%d executions are complete, expected at least %d", s.Runs, c.least)
			}
			present := checkSalvaged(t, whole, to, s)
			for _, p := range s.Left {
				present[p.ARN] = true
			}
			for _, arn := range arns {
				if !present[arn] && !c.unnamed {
					t.Errorf("%s is neither complete nor reported", arn)
				}
			}
		})
	}
}

// hashes returns the names, modes, times and contents of all files of a directory, to compare.
func hashes(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(&all, name, info.Mode(), info.ModTime().UnixNano())
		if d.IsDir() {
			return nil
		}
		text, err := os.ReadFile(name)
		all.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// checkSalvaged checks that a salvaged directory is consistent, and that its executions are as in the undamaged directory. It returns the
// ARNs of the executions.
func checkSalvaged(t *testing.T, whole, dir string, s engine.Salvaged) map[string]bool {
	t.Helper()
	st, err := store.Open(dir, store.Options{Logger: quiet, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Check(st, func(p engine.Problem) { t.Error(p) }); err != nil {
		t.Error(err)
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
	was := openDir(t, whole, true)
	now := openDir(t, dir, false)
	present := map[string]bool{}
	for token := ""; ; {
		page, err := now.List(engine.ListFilter{MachineARN: machineARN, Token: token, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range page.Executions {
			present[x.ARN] = true
			equalHistories(t, was, now, x.ARN)
			if open := x.Status == stepfn.Running; open != slices.Contains(s.Open, x.ARN) {
				t.Errorf("%s is %s, reported open: %t", x.ARN, x.Status, !open)
			}
		}
		if token = page.Next; token == "" {
			break
		}
	}
	if len(present) != int(s.Runs) {
		t.Errorf("%d executions are listed, %d reported", len(present), s.Runs)
	}
	start(t, now, "new", pass, `{}`)
	return present
}

func openDir(t *testing.T, dir string, readOnly bool) *engine.Engine {
	t.Helper()
	e, err := engine.Open(context.WithoutCancel(t.Context()), engine.Config{Dir: dir, Logger: quiet, ReadOnly: readOnly})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeEngine(t, e) })
	return e
}

func equalHistories(t *testing.T, was, now *engine.Engine, arn string) {
	t.Helper()
	want, err := was.History(arn, engine.HistoryQuery{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := now.History(arn, engine.HistoryQuery{})
	if err != nil {
		t.Error(err)
	}
	if !reflect.DeepEqual(want, got) {
		t.Errorf("%s has another history: %d events, expected %d", arn, len(got), len(want))
	}
}
