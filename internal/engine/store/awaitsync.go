package store

import (
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// unsynced tracks whether reads can return data that is not on disk yet: Pebble makes a commit visible before it is synced.
type unsynced struct {
	commits atomic.Int64  // in progress
	loose   atomic.Uint64 // commits that ended without a sync
	synced  atomic.Uint64 // how many of those are on disk by now
}

func (u *unsynced) begin() { u.commits.Add(1) }

// end counts an unsynced commit as loose before it decrements commits, so that the commit is counted in at least one of them at any time.
func (u *unsynced) end(synced bool) {
	if !synced {
		u.loose.Add(1)
	}
	u.commits.Add(-1)
}

// none reports whether everything that was read before the call is on disk. It loads the counters in the reverse order of end.
func (u *unsynced) none() bool {
	return u.commits.Load() == 0 && u.synced.Load() >= u.loose.Load()
}

// fullEvery is how often a wait for a sync checks whether the disk is full.
const fullEvery = 100 * time.Millisecond

// AwaitSync returns when everything that earlier reads returned is on disk. It returns immediately if all commits are synced;
// otherwise it syncs the database's log, which covers all earlier commits. On a full disk, where that sync would wait, it returns ErrFull.
func (s *Store) AwaitSync() error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if s.unsynced.none() {
		return nil
	}
	if s.space.full() {
		return ErrFull
	}
	loose := s.unsynced.loose.Load()
	if err := s.sync(); err != nil {
		return err
	}
	for {
		synced := s.unsynced.synced.Load()
		if synced >= loose || s.unsynced.synced.CompareAndSwap(synced, loose) {
			return nil
		}
	}
}

// sync writes an empty record to the database's log with a sync. It returns ErrFull if the disk becomes full while it waits.
func (s *Store) sync() error {
	if err := s.enter(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { // it ends with the sync, and Close waits for it
		defer s.leave()
		done <- s.db.LogData(nil, pebble.Sync)
	}()
	tick := time.NewTicker(fullEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			if s.space.full() {
				return ErrFull
			}
		}
	}
}
