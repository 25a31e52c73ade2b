package engine

import (
	"errors"
	"fmt"
	"slices"

	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/engine/store"
)

// HistoryQuery selects events. Limit is the maximum size of the page; it defaults to 100 and is at most 1,000.
type HistoryQuery struct {
	// After is the id of the last event of the previous page; 0 for the first page.
	After   int64
	Reverse bool
	Limit   int
}

// History returns a page of an execution's events, the oldest first, or the newest first if Reverse is set. A page that is shorter than
// its limit is the last one.
func (e *Engine) History(arn string, q HistoryQuery) (events []history.Event, err error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.leave()
	id, err := e.find(arn)
	if err != nil {
		return nil, err
	}
	err = e.withSynced(id, func(*run) error {
		events, err = e.events(id, q)
		return err
	})
	return events, err
}

// events reads a page of events from the store. The store has them in batches, one for each commit, so the first batch may begin
// before the page.
func (e *Engine) events(id store.ID, q HistoryQuery) (page []history.Event, err error) {
	limit := pageSize(q.Limit)
	from := q.After + 1
	if q.Reverse {
		if from = q.After - 1; q.After == 0 {
			from = 1<<63 - 2 // later than any event; the store adds 1
		}
	}
	var broken error
	err = e.st.Batches(id, from, q.Reverse, func(_ int64, batch []byte) bool {
		events, err := history.DecodeEvents(slices.Clone(batch))
		if err != nil {
			broken = fmt.Errorf("read events of run %d: %w", id, err)
			return false
		}
		if q.Reverse {
			slices.Reverse(events)
		}
		for _, ev := range events {
			before := ev.ID < from && !q.Reverse || ev.ID > from && q.Reverse
			if !before && len(page) < limit {
				page = append(page, ev)
			}
		}
		return len(page) < limit
	})
	return page, errors.Join(err, broken)
}
