package engine

import (
	"context"

	"github.com/rayorch/rayorch/internal/engine/store"
)

// collect removes the definitions that no execution names any more, after executions were forgotten. It looks at every
// execution unless each definition is found to be in use before, which is so as a rule. A crash leaves nothing worse than
// a definition too many, which the next look finds: an engine looks once after it was opened.
func (ms *machines) collect(ctx context.Context) error {
	if !ms.forgotten.CompareAndSwap(true, false) {
		return nil
	}
	ms.naming.Lock() // waits for starts in progress: every run with a lower number is in the store now
	from := ms.st.NewID()
	ms.naming.Unlock()
	unused, err := ms.unusedDefinitions(ctx, from)
	if err != nil || len(unused) == 0 {
		return err
	}
	ms.naming.Lock() // nobody may name a definition that is being deleted
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

// removeUsed takes out of unused what the runs of the numbers from from to before name.
func (ms *machines) removeUsed(ctx context.Context, unused map[string]bool, from, before store.ID) error {
	var bad error
	err := ms.st.Metas(from, func(id store.ID, kept []byte) bool {
		m, err := decodeMeta(kept)
		if err != nil { // what cannot be read may name any of them
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
