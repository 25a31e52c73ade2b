package serve_test

import (
	"sync"
	"testing"

	"github.com/rayorch/rayorch/e2e/command"
)

// TestLookersAreInNobodysWay starts runs while other commands look at the same state directory, each of which owns it for
// a moment where nobody else does. Whoever begins then must not rely on an owner that is about to go, and whoever looks
// must not lose the owner that it asks.
func TestLookersAreInNobodysWay(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the command")
	}
	p := command.New(t, nil)
	p.Write(t, "pipeline.yaml", hello)
	if res := p.Run(t.Context(), t, "run", "--name", "zero"); res.Code != 0 {
		t.Fatalf("%+v", res)
	}
	ended := make(chan struct{})
	var lookers sync.WaitGroup
	for _, args := range [][]string{{"list"}, {"describe", "zero"}, {"logs", "zero", "--follow"}, {"history", "zero"}} {
		lookers.Go(func() {
			for {
				if res := p.Run(t.Context(), t, args...); res.Code != 0 {
					t.Errorf("%v: %+v", args, res)
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
			t.Errorf("run %s: %+v", name, res)
		}
	}
	close(ended)
	lookers.Wait()
}
