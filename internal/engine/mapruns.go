package engine

import (
	"github.com/rayorch/rayorch/internal/interp"
	"github.com/rayorch/rayorch/internal/store"
)

type mapRuns struct{}

func (e *Engine) startMapRun(r *run, m interp.MapRun, resumed bool) {
	id := r.id
	e.later(func() {
		e.settle(id, debtMap+m.ID, interp.MapRunEnded{MapRun: m.ID, Error: "States.Runtime", Cause: "not built yet"})
	})
}

func (e *Engine) stopMapRun(id store.ID, mapRun string) { e.pay(id, debtStopMap+mapRun) }

func (e *Engine) childEnded(p *parent, params interp.Params, h interp.Head) {}
