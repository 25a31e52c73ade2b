package store

import (
	"encoding/binary"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// ID is the number of a run in its state directory. Later runs have greater ids. Keys contain ids instead of ARNs, to be short.
type ID uint64

// The first byte of a key is its kind; the comments show the rest of the key -> the value. Numbers are big-endian, so that keys sort
// numerically. The times and ids in lists are inverted (~), so that the newest runs come first.
const (
	keyDoc    = 'd' // kind 0 name -> document
	keyEvents = 'e' // id first-event -> batch of events
	keyFormat = 'v' // -> version of this layout
	keyLog    = 'g' // id task -> what the engine records about the log of a task
	keyList   = 'l' // group 0 status 0 ~start ~id -> summary; the status is empty in the list of all
	keyName   = 'n' // ARN -> id
	keyOpen   = 'o' // id -> what the engine needs to know of an open run when it starts
	keyOutbox = 't' // id name -> outbox: an effect that the engine still has to perform
	keyRecord = 'p' // id task 0 key -> private record
	keyRun    = 'r' // id part -> the parts of a run, next to each other: one seek loads all of them
	keyClosed = 'c' // stop id -> nothing; for retention
)

// The parts of a run.
const (
	partFrame = 'f' // frame number
	partHead  = 'h'
	partMeta  = 'm'
)

func idKey(kind byte, id ID, rest ...byte) []byte {
	k := make([]byte, 9, 9+len(rest))
	k[0] = kind
	binary.BigEndian.PutUint64(k[1:], uint64(id))
	return append(k, rest...)
}

func keyID(key []byte) ID { return ID(binary.BigEndian.Uint64(key[1:])) }

func frameKey(id ID, frame uint64) []byte {
	return binary.BigEndian.AppendUint64(idKey(keyRun, id, partFrame), frame)
}

func eventsKey(id ID, first int64) []byte {
	return binary.BigEndian.AppendUint64(idKey(keyEvents, id), uint64(first))
}

func recordKey(id ID, task, key string) []byte {
	k := append(idKey(keyRecord, id), task...)
	return append(append(k, 0), key...)
}

func docKey(kind, name string) []byte {
	k := append([]byte{keyDoc}, kind...)
	return append(append(k, 0), name...)
}

func nameKey(arn string) []byte { return append([]byte{keyName}, arn...) }

func listPrefix(group, status string) []byte {
	k := append([]byte{keyList}, group...)
	k = append(append(k, 0), status...)
	return append(k, 0)
}

func listKey(group, status string, start time.Time, id ID) []byte {
	k := listPrefix(group, status)
	k = binary.BigEndian.AppendUint64(k, ^uint64(start.UnixMilli()))
	return binary.BigEndian.AppendUint64(k, ^uint64(id))
}

func closedKey(stop time.Time, id ID) []byte {
	k := binary.BigEndian.AppendUint64([]byte{keyClosed}, uint64(stop.UnixMilli()))
	return binary.BigEndian.AppendUint64(k, uint64(id))
}

// prefixBounds limits an iterator to the keys that begin with prefix.
func prefixBounds(prefix []byte) *pebble.IterOptions {
	return &pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)}
}

// after returns the first key that is greater than all keys that begin with prefix; nil if there is none.
func after(prefix []byte) []byte {
	up := append([]byte(nil), prefix...)
	for i := len(up) - 1; i >= 0; i-- {
		if up[i]++; up[i] != 0 {
			return up[:i+1]
		}
	}
	return nil
}
