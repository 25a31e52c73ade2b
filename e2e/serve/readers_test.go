package serve_test

import (
	"sync"
	"testing"

	"github.com/rayorch/rayorch/e2e/command"
)

// TestConcurrentReaders starts runs while read-only commands use the same state directory. Without an owner, each of these commands opens
// the directory for a moment. A run that starts then must not rely on an owner that is about to exit, and a read-only command must not
// fail because its owner exits.
func TestConcurrentReaders(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the command, which -short leaves out")
	}
	p := command.New(t, nil)
	p.Write(t, "pipeline.yaml", hello)
	if res := p.Run(t.Context(), t, "run", "--name", "zero"); res.Code != 0 {
		t.Fatalf("run: got %+v, want exit code 0", res)
	}
	ended := make(chan struct{})
	var readers sync.WaitGroup
	for _, args := range [][]string{{"list"}, {"describe", "zero"}, {"logs", "zero", "--follow"}, {"history", "zero"}} {
		readers.Go(func() {
			for {
				if res := p.Run(t.Context(), t, args...); res.Code != 0 {
					t.Errorf("%v: got %+v, want exit code 0", args, res)
				}
				select {
				case <-ended:
					return
				default:
				}
			}
		})
	}
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		if res := p.Run(t.Context(), t, "run", "--name", name); res.Code != 0 {
			t.Errorf("run %s: got %+v, want exit code 0", name, res)
		}
	}
	close(ended)
	readers.Wait()
}
