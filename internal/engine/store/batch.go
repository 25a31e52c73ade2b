package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Batch gathers one commit. It is for one goroutine, and used once.
type Batch struct{ b *pebble.Batch }

// NewID numbers a new run.
func (s *Store) NewID() ID { return ID(s.lastID.Add(1)) }

// LastID is the newest id that was given out.
func (s *Store) LastID() ID { return ID(s.lastID.Load()) }

// NewBatch begins a commit.
func (s *Store) NewBatch() *Batch { return &Batch{s.db.NewBatch()} }

// Commit puts the batch on disk: it is synced when Commit returns. It waits while the disk is full.
func (s *Store) Commit(b *Batch) error {
	if b.b.Empty() {
		return b.b.Close()
	}
	return s.commit(b, pebble.Sync)
}

// CommitLazily is Commit without the wait for the disk, for what may be lost: a later Commit takes it along.
func (s *Store) CommitLazily(b *Batch) error {
	return s.commit(b, pebble.NoSync)
}

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

// The errors of the batch's own setters can only come from a closed batch, which is a mistake in this package's
// callers; the commit would report it.
func (b *Batch) set(key, value []byte) { _ = b.b.Set(key, value, nil) }
func (b *Batch) del(key []byte)        { _ = b.b.Delete(key, nil) }

// Name makes a run be found by its ARN.
func (b *Batch) Name(arn string, id ID) {
	b.set(nameKey(arn), binary.BigEndian.AppendUint64(nil, uint64(id)))
}

// Meta writes what never changes of a run.
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

// Log writes the note on a task's log.
func (b *Batch) Log(id ID, task string, v []byte) { b.set(append(idKey(keyLog, id), task...), v) }

// Open notes that a run is open, with what the engine needs to know of it when it starts.
func (b *Batch) Open(id ID, v []byte) { b.set(idKey(keyOpen, id), v) }

// Closed takes a run from the open ones to the closed ones.
func (b *Batch) Closed(id ID, stop time.Time) {
	b.del(idKey(keyOpen, id))
	b.set(closedKey(stop, id), nil)
}

// Reopened takes back Closed.
func (b *Batch) Reopened(id ID, stop time.Time) { b.del(closedKey(stop, id)) }

// Owe notes something that the engine has to do for a run, by name.
func (b *Batch) AddEffect(id ID, name string, v []byte) {
	b.set(append(idKey(keyOutbox, id), name...), v)
}

// Paid removes what Owe noted.
func (b *Batch) RemoveEffect(id ID, name string) { b.del(append(idKey(keyOutbox, id), name...)) }

// Entry places a run in the lists of its group.
type Entry struct {
	ID      ID
	Group   string // a machine's ARN, or a map run's
	Status  string
	Start   time.Time
	Summary []byte
}

// List puts a run into the list of all and into that of its status.
func (b *Batch) List(e Entry) {
	b.set(listKey(e.Group, "", e.Start, e.ID), e.Summary)
	b.set(listKey(e.Group, e.Status, e.Start, e.ID), e.Summary)
}

// Unlist removes a run from the list of a status that it had, all of e but Summary being as it was.
func (b *Batch) Unlist(e Entry) { b.del(listKey(e.Group, e.Status, e.Start, e.ID)) }

// Doc writes a document, or removes it when v is nil.
func (b *Batch) Doc(kind, name string, v []byte) {
	if v == nil {
		b.del(docKey(kind, name))
		return
	}
	b.set(docKey(kind, name), v)
}

// Forget removes all of a closed run in one commit. It deletes key by key: a range deletion for each run would slow
// down every later read.
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
			return errors.Join(fmt.Errorf("forget run %d: %w", e.ID, err), b.b.Close())
		}
	}
	return s.CommitLazily(b)
}
