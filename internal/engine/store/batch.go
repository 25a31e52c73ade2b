package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Batch collects the writes of one commit. It is not safe for concurrent use, and must not be used again after its commit.
type Batch struct{ b *pebble.Batch }

// NewID returns the id for a new run.
func (s *Store) NewID() ID { return ID(s.lastID.Add(1)) }

// LastID returns the greatest id that was given to a run.
func (s *Store) LastID() ID { return ID(s.lastID.Load()) }

// NewBatch returns an empty batch.
func (s *Store) NewBatch() *Batch { return &Batch{s.db.NewBatch()} }

// Commit writes the batch, and returns when it is synced to disk. It waits while the disk is full.
func (s *Store) Commit(b *Batch) error {
	if b.b.Empty() {
		return b.b.Close()
	}
	return s.commit(b, pebble.Sync)
}

// CommitLazily writes the batch without a sync, for writes that a crash may lose. The next Commit syncs it, too.
func (s *Store) CommitLazily(b *Batch) error {
	return s.commit(b, pebble.NoSync)
}

// commit writes a batch, counts it for AwaitSync, and records its sequence number if it was synced.
func (s *Store) commit(b *Batch, o *pebble.WriteOptions) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	s.unsynced.begin()
	err := b.b.Commit(o)
	s.unsynced.end(err == nil && o.Sync)
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if o.Sync {
		s.commits.synced(end(b.b))
	}
	return b.b.Close()
}

// set and del ignore the errors of Pebble's batch: they occur only if a caller of this package uses a batch after its commit, and then
// the next commit fails.
func (b *Batch) set(key, value []byte) { _ = b.b.Set(key, value, nil) }
func (b *Batch) del(key []byte)        { _ = b.b.Delete(key, nil) }

// Name adds a run to the index by ARN.
func (b *Batch) Name(arn string, id ID) {
	b.set(nameKey(arn), binary.BigEndian.AppendUint64(nil, uint64(id)))
}

// Meta writes the part of a run that never changes.
func (b *Batch) Meta(id ID, v []byte) { b.set(idKey(keyRun, id, partMeta), v) }

// Head writes a run's head.
func (b *Batch) Head(id ID, v []byte) { b.set(idKey(keyRun, id, partHead), v) }

// Frame writes a frame of a run.
func (b *Batch) Frame(id ID, frame uint64, v []byte) { b.set(frameKey(id, frame), v) }

// DropFrame removes a frame of a run.
func (b *Batch) DropFrame(id ID, frame uint64) { b.del(frameKey(id, frame)) }

// Events appends a batch of events whose first has this id.
func (b *Batch) Events(id ID, first int64, v []byte) { b.set(eventsKey(id, first), v) }

// Record writes a private record of a task.
func (b *Batch) Record(id ID, task, key string, v []byte) { b.set(recordKey(id, task, key), v) }

// DropRecords removes the private records of a task.
func (b *Batch) DropRecords(id ID, task string) {
	prefix := recordKey(id, task, "")
	_ = b.b.DeleteRange(prefix, after(prefix), nil)
}

// Log writes the engine's record of a task's log. The log itself is in files.
func (b *Batch) Log(id ID, task string, v []byte) { b.set(append(idKey(keyLog, id), task...), v) }

// Open adds a run to the index of open runs, with what the engine needs to know of it when it starts.
func (b *Batch) Open(id ID, v []byte) { b.set(idKey(keyOpen, id), v) }

// Closed moves a run from the index of open runs to the index of closed runs.
func (b *Batch) Closed(id ID, stop time.Time) {
	b.del(idKey(keyOpen, id))
	b.set(closedKey(stop, id), nil)
}

// Reopened removes a run from the index of closed runs. stop is the time that Closed had.
func (b *Batch) Reopened(id ID, stop time.Time) { b.del(closedKey(stop, id)) }

// AddEffect adds an effect that the engine has to perform for a run to the outbox, by its name.
func (b *Batch) AddEffect(id ID, name string, v []byte) {
	b.set(append(idKey(keyOutbox, id), name...), v)
}

// RemoveEffect removes an effect from the outbox.
func (b *Batch) RemoveEffect(id ID, name string) { b.del(append(idKey(keyOutbox, id), name...)) }

// Entry is a run in the lists of its group. Each run is in two lists: that of all runs and that of its status.
type Entry struct {
	ID      ID
	Group   string // the ARN of a state machine, or of a map run
	Status  string
	Start   time.Time
	Summary []byte
}

// List adds a run to the list of all runs and to the list of its status.
func (b *Batch) List(e Entry) {
	b.set(listKey(e.Group, "", e.Start, e.ID), e.Summary)
	b.set(listKey(e.Group, e.Status, e.Start, e.ID), e.Summary)
}

// Unlist removes a run from the list of its previous status. All fields of e but Summary must be those that List had.
func (b *Batch) Unlist(e Entry) { b.del(listKey(e.Group, e.Status, e.Start, e.ID)) }

// Doc writes a document, or deletes it if v is nil.
func (b *Batch) Doc(kind, name string, v []byte) {
	if v == nil {
		b.del(docKey(kind, name))
		return
	}
	b.set(docKey(kind, name), v)
}

// Forget deletes a closed run in one lazy commit. It deletes key by key, because a range deletion for each run would slow down all
// later reads.
func (s *Store) Forget(arn string, stop time.Time, e Entry) error {
	b := s.NewBatch()
	b.del(nameKey(arn))
	b.del(closedKey(stop, e.ID))
	b.Unlist(e)
	b.del(listKey(e.Group, "", e.Start, e.ID))
	for _, kind := range []byte{keyRun, keyEvents, keyRecord, keyOutbox, keyLog} {
		err := s.scan(idKey(kind, e.ID), func(k, _ []byte) bool {
			b.del(k)
			return true
		})
		if err != nil {
			return errors.Join(fmt.Errorf("delete run %d: %w", e.ID, err), b.b.Close())
		}
	}
	return s.CommitLazily(b)
}
