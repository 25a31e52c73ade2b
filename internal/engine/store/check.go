package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// Counts are how many keys of a kind there are. In a sound store every run has one name, two list entries, and is
// either open or closed.
type Counts struct {
	Runs, Names, Listed, Open, Closed, Outbox, Batches, Records, Logs, Docs int64
}

// Count counts all keys.
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

// Runs calls fn for the number of every run, in order.
func (s *Store) Runs(fn func(ID) error) error {
	it, err := s.iter(prefixBounds([]byte{keyRun}))
	if err != nil {
		return err
	}
	for ok := it.First(); ok; {
		id := keyID(it.Key())
		if err := fn(id); err != nil {
			return errors.Join(err, it.Close())
		}
		ok = it.SeekGE(idKey(keyRun, id+1))
	}
	return errors.Join(it.Error(), it.Close())
}

// Indexed says what the indexes have wrong of a run: its name, its two list entries, and whether it is among the open or
// the closed ones (stop is zero while it is open).
func (s *Store) Indexed(arn string, e Entry, stop time.Time) (problems []string, err error) {
	want := func(what string, key []byte, there bool) {
		_, found := s.get(key)
		switch {
		case found == nil && !there:
			problems = append(problems, what+" is there and should not be")
		case errors.Is(found, errNoKey) && there:
			problems = append(problems, what+" is missing")
		case found != nil && !errors.Is(found, errNoKey):
			err = errors.Join(err, fmt.Errorf("read %s: %w", what, found))
		}
	}
	want("the entry in the list of all", listKey(e.Group, "", e.Start, e.ID), true)
	want("the entry in the list of its status", listKey(e.Group, e.Status, e.Start, e.ID), true)
	want("the entry among the open runs", idKey(keyOpen, e.ID), stop.IsZero())
	if !stop.IsZero() {
		want("the entry among the closed runs", closedKey(stop, e.ID), true)
	}
	id, found := s.Find(arn)
	if found != nil || id != e.ID {
		problems = append(problems, "its name leads elsewhere")
	}
	return problems, err
}

// Keys calls fn for every key, with the kind that its first byte stands for, for a dump. The bytes are fn's for the call.
func (s *Store) Keys(fn func(kind string, key, value []byte) error) error {
	var failed error
	err := s.scan(nil, func(k, v []byte) bool {
		failed = fn(kinds[k[0]], k, v)
		return failed == nil
	})
	return errors.Join(failed, err)
}

var kinds = map[byte]string{
	keyDoc: "document", keyEvents: "events", keyFormat: "format", keyList: "list", keyName: "name", keyOpen: "open",
	keyOutbox: "owed", keyRecord: "record", keyRun: "run", keyClosed: "closed", keyLog: "log",
}

// KeyText shows a key as people read it: its parts, numbers as numbers.
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

// Compact rewrites the database without what was deleted or overwritten.
func (s *Store) Compact(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.db.Flush(); err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	if err := s.db.Compact(ctx, []byte{0}, []byte{0xff}, true); err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	return nil
}

// Size is how many bytes the database takes on disk.
func (s *Store) Size() uint64 {
	if s.enter() != nil {
		return 0
	}
	defer s.leave()
	return s.db.Metrics().DiskSpaceUsage()
}
