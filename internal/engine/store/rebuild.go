package store

import (
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// Trace is what the indexes and the records of a salvaged store say about a run. The name is in an index, the summary in a list;
// each may be missing.
type Trace struct {
	ID      ID
	ARN     string
	Summary []byte
}

// Traces calls fn for everything that mentions a run, so that the runs are found whose own records are lost. A run is mentioned
// many times. The bytes are fn's for the call.
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

// ClearIndexes removes all names, lists and entries of open and closed runs.
func (s *Store) ClearIndexes() error {
	b := s.NewBatch()
	for _, kind := range []byte{keyName, keyList, keyOpen, keyClosed} {
		_ = b.b.DeleteRange([]byte{kind}, []byte{kind + 1}, nil)
	}
	return s.CommitLazily(b)
}

// Discard removes all of a run that no index has.
func (s *Store) Discard(id ID) error {
	b := s.NewBatch()
	for _, kind := range []byte{keyRun, keyEvents, keyRecord, keyOutbox, keyLog} {
		_ = b.b.DeleteRange(idKey(kind, id), idKey(kind, id+1), nil)
	}
	return s.CommitLazily(b)
}

// Sync puts all that was committed lazily on disk.
func (s *Store) Sync() error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	return errors.Join(s.db.Flush(), s.db.LogData(nil, pebble.Sync))
}
