package engine

import (
	"context"

	"github.com/rayorch/rayorch/internal/engine/store"
)

// collect deletes the definitions that no execution uses any more, if executions were deleted since the last call. It reads executions
// until it knows that all definitions are in use, which is usually after a few; otherwise it reads all. After a crash, unused
// definitions may remain, so that each engine calls collect once after it was opened.
func (ms *machines) collect(ctx context.Context) error {
	if !ms.forgotten.CompareAndSwap(true, false) {
		return nil
	}
	ms.naming.Lock() // wait for starts in progress: all runs with a lower id are in the store now
	from := ms.st.NewID()
	ms.naming.Unlock()
	unused, err := ms.unusedDefinitions(ctx, from)
	if err != nil || len(unused) == 0 {
		return err
	}
	ms.naming.Lock() // no new run may use a definition that is being deleted
	defer ms.naming.Unlock()
	if err := ms.removeUsed(ctx, unused, from, 1<<63); err != nil {
		return err
	}
	b := ms.st.NewBatch()
	for hash := range unused {
		ms.drop(hash)
		b.Doc(definitions, hash, nil)
	}
	return ms.st.CommitLazily(b)
}

// unusedDefinitions returns the hashes of the stored definitions that no run with a lower id than before uses.
func (ms *machines) unusedDefinitions(ctx context.Context, before store.ID) (map[string]bool, error) {
	names, err := ms.st.DocNames(definitions)
	if err != nil {
		return nil, err
	}
	unused := map[string]bool{}
	for _, hash := range names {
		unused[hash] = true
	}
	return unused, ms.removeUsed(ctx, unused, 0, before)
}

// removeUsed removes from unused the definitions that are used by the runs whose ids are at least from and lower than before.
func (ms *machines) removeUsed(ctx context.Context, unused map[string]bool, from, before store.ID) error {
	var bad error
	err := ms.st.Metas(from, func(id store.ID, kept []byte) bool {
		m, err := decodeMeta(kept)
		if err != nil { // an unreadable run may use any definition
			bad = err
			return false
		}
		delete(unused, m.Hash)
		return id < before && len(unused) > 0 && ctx.Err() == nil
	})
	if err == nil {
		err = bad
	}
	if err == nil {
		err = ctx.Err()
	}
	return err
}
