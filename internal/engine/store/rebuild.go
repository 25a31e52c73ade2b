package store

import (
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// Salvage (salvage.go) copies keys without checking how they belong together. The functions in this file let the engine find the runs
// in such a store, delete the incomplete ones and build the indexes again.

// Trace is a key that refers to a run. ARN is set for keys of the name index, Summary for list entries.
type Trace struct {
	ID      ID
	ARN     string
	Summary []byte
}

// Traces calls fn for each key that refers to a run, so that the engine also finds the runs whose own records are lost. Many keys
// refer to the same run. The bytes are valid only during the call.
func (s *Store) Traces(fn func(Trace)) error {
	return s.scan(nil, func(k, v []byte) bool {
		switch k[0] {
		case keyRun, keyEvents, keyRecord, keyLog, keyOpen, keyOutbox:
			fn(Trace{ID: keyID(k)})
		case keyClosed:
			fn(Trace{ID: ID(binary.BigEndian.Uint64(k[len(k)-8:]))})
		case keyName:
			if len(v) == 8 {
				fn(Trace{ID: ID(binary.BigEndian.Uint64(v)), ARN: string(k[1:])})
			}
		case keyList:
			fn(Trace{ID: ID(^binary.BigEndian.Uint64(k[len(k)-8:])), Summary: v})
		}
		return true
	})
}

// ClearIndexes deletes all names, list entries, and entries of open and closed runs.
func (s *Store) ClearIndexes() error {
	b := s.NewBatch()
	for _, kind := range []byte{keyName, keyList, keyOpen, keyClosed} {
		_ = b.b.DeleteRange([]byte{kind}, []byte{kind + 1}, nil)
	}
	return s.CommitLazily(b)
}

// Discard deletes all keys of a run but those of the indexes, which ClearIndexes deletes.
func (s *Store) Discard(id ID) error {
	b := s.NewBatch()
	for _, kind := range []byte{keyRun, keyEvents, keyRecord, keyOutbox, keyLog} {
		_ = b.b.DeleteRange(idKey(kind, id), idKey(kind, id+1), nil)
	}
	return s.CommitLazily(b)
}

// Sync writes all lazy commits to disk.
func (s *Store) Sync() error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	return errors.Join(s.db.Flush(), s.db.LogData(nil, pebble.Sync))
}
