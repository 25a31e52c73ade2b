package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// Counts has the number of keys of each kind. In a consistent store, each run has one name and two list entries, and is either open
// or closed.
type Counts struct {
	Runs, Names, Listed, Open, Closed int64
	Outbox                            int64 `json:"Owed"` // rayorch store check --json prints the field with this key
	Batches, Records, Logs, Docs      int64
}

// Count reads the whole store and counts its keys.
func (s *Store) Count() (c Counts, err error) {
	last := ID(0)
	for _, k := range []struct {
		kind byte
		n    *int64
	}{
		{keyRun, &c.Runs}, {keyName, &c.Names}, {keyList, &c.Listed}, {keyOpen, &c.Open}, {keyClosed, &c.Closed},
		{keyOutbox, &c.Outbox}, {keyEvents, &c.Batches}, {keyRecord, &c.Records}, {keyLog, &c.Logs}, {keyDoc, &c.Docs},
	} {
		err = errors.Join(err, s.scan([]byte{k.kind}, func(key, _ []byte) bool {
			if k.kind != keyRun {
				*k.n++
			} else if id := keyID(key); id != last {
				*k.n, last = *k.n+1, id
			}
			return true
		}))
	}
	return c, err
}

// Runs calls fn for the id of each run, in order, until fn returns an error.
func (s *Store) Runs(fn func(ID) error) error {
	it, err := s.iter(prefixBounds([]byte{keyRun}))
	if err != nil {
		return err
	}
	for ok := it.First(); ok; {
		id := keyID(it.Key())
		if err := fn(id); err != nil {
			return it.finish(err)
		}
		ok = it.SeekGE(idKey(keyRun, id+1))
	}
	return it.finish(nil)
}

// Indexed checks a run's entries in the indexes and returns a text for each that is wrong: its name, its two list entries, and its
// entry among the open or closed runs. stop is when the run closed, zero if it is open.
func (s *Store) Indexed(arn string, e Entry, stop time.Time) (problems []string, err error) {
	want := func(what string, key []byte, exists bool) {
		_, found := s.get(key)
		switch {
		case found == nil && !exists:
			problems = append(problems, what+" exists and should not")
		case errors.Is(found, errNoKey) && exists:
			problems = append(problems, what+" is missing")
		case found != nil && !errors.Is(found, errNoKey):
			err = errors.Join(err, fmt.Errorf("read %s: %w", what, found))
		}
	}
	want("the entry in the list of all runs", listKey(e.Group, "", e.Start, e.ID), true)
	want("the entry in the list of its status", listKey(e.Group, e.Status, e.Start, e.ID), true)
	want("the entry among the open runs", idKey(keyOpen, e.ID), stop.IsZero())
	if !stop.IsZero() {
		want("the entry among the closed runs", closedKey(stop, e.ID), true)
	}
	id, found := s.Find(arn)
	if found != nil || id != e.ID {
		problems = append(problems, "the name is missing or refers to another run")
	}
	return problems, err
}

// Keys calls fn for each key, with the name of its kind, for a dump. The bytes are valid only during the call.
func (s *Store) Keys(fn func(kind string, key, value []byte) error) error {
	var failed error
	err := s.scan(nil, func(k, v []byte) bool {
		failed = fn(kinds[k[0]], k, v)
		return failed == nil
	})
	return errors.Join(failed, err)
}

// kinds are the names of the kinds of keys in a dump. They are part of the dump's format.
var kinds = map[byte]string{
	keyDoc: "document", keyEvents: "events", keyFormat: "format", keyList: "list", keyName: "name", keyOpen: "open",
	keyOutbox: "owed", keyRecord: "record", keyRun: "run", keyClosed: "closed", keyLog: "log",
}

// KeyText returns a readable form of a key: its parts without the kind, with numbers in decimal.
func KeyText(key []byte) string {
	switch key[0] {
	case keyRun:
		part := string(key[9])
		if key[9] == partFrame {
			part = fmt.Sprint("frame ", binary.BigEndian.Uint64(key[10:]))
		}
		return fmt.Sprintf("%d %s", keyID(key), part)
	case keyEvents:
		return fmt.Sprintf("%d from %d", keyID(key), binary.BigEndian.Uint64(key[9:]))
	case keyOpen, keyOutbox, keyRecord, keyLog:
		return fmt.Sprintf("%d %q", keyID(key), key[9:])
	case keyClosed:
		stop := time.UnixMilli(int64(binary.BigEndian.Uint64(key[1:]))).UTC()
		return fmt.Sprintf("%s %d", stop.Format(time.RFC3339Nano), binary.BigEndian.Uint64(key[9:]))
	case keyList:
		if n := len(key) - 16; n > 1 {
			start := time.UnixMilli(int64(^binary.BigEndian.Uint64(key[n:]))).UTC()
			return fmt.Sprintf("%q %s %d", key[1:n], start.Format(time.RFC3339Nano), ^binary.BigEndian.Uint64(key[n+8:]))
		}
	}
	return fmt.Sprintf("%q", key[1:])
}

// Compact rewrites the database without deleted and overwritten data.
func (s *Store) Compact(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.db.Flush(); err != nil {
		return fmt.Errorf("compact: %w", plain(err))
	}
	if err := s.db.Compact(ctx, []byte{0}, []byte{0xff}, true); err != nil {
		return fmt.Errorf("compact: %w", plain(err))
	}
	return nil
}

// Size returns the size of the database on disk, in bytes; 0 if the store is closed.
func (s *Store) Size() uint64 {
	if s.enter() != nil {
		return 0
	}
	defer s.leave()
	return s.db.Metrics().DiskSpaceUsage()
}
