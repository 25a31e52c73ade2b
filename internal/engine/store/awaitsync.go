package store

import (
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// unsynced knows whether reads may see what is not on disk yet: the database shows a commit before its sync is done.
type unsynced struct {
	commits atomic.Int64  // under way
	loose   atomic.Uint64 // commits that ended without a sync
	synced  atomic.Uint64 // so many of those are on disk
}

func (u *unsynced) begin() { u.commits.Add(1) }

// end counts the commit as loose before it is no longer under way, so that it is never neither.
func (u *unsynced) end(synced bool) {
	if !synced {
		u.loose.Add(1)
	}
	u.commits.Add(-1)
}

// none says that whatever was read before the call is on disk. The order of the two looks is the reverse of end's.
func (u *unsynced) none() bool {
	return u.commits.Load() == 0 && u.synced.Load() >= u.loose.Load()
}

// fullEvery is how often a wait for a sync checks whether the disk is full.
const fullEvery = 100 * time.Millisecond

// Settle returns when everything that reads have seen is on disk: at once where nobody writes, else with the next sync,
// which takes all that came before along. On a full disk, where that sync waits, it returns ErrFull.
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

func (s *Store) sync() error {
	if err := s.enter(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { // ends with the sync, for which Close waits, too
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
