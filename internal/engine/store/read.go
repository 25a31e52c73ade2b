package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

var errNoKey = pebble.ErrNotFound

// ErrNoRun says that there is no such run.
var ErrNoRun = errors.New("no such run")

// Run is what is kept of a run besides its events; the bytes are the caller's.
type Run struct {
	Meta, Head []byte
	Frames     []Frame
}

// Frame is a frame of a run, in the order of their numbers.
type Frame struct {
	Number uint64
	Data   []byte
}

func (s *Store) get(key []byte) ([]byte, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	v, closer, err := s.db.Get(key)
	if err != nil {
		return nil, s.damage.read(err)
	}
	return bytes.Clone(v), closer.Close()
}

// scan calls fn for every key that begins with prefix, until fn returns false. Key and value are fn's for the call.
func (s *Store) scan(prefix []byte, fn func(key, value []byte) bool) error {
	return s.scanFrom(prefix, nil, fn)
}

// scanFrom is scan from a key on.
func (s *Store) scanFrom(prefix, from []byte, fn func(key, value []byte) bool) error {
	o := prefixBounds(prefix)
	if bytes.Compare(from, prefix) > 0 {
		o.LowerBound = from
	}
	if o.UpperBound != nil && bytes.Compare(o.LowerBound, o.UpperBound) >= 0 {
		return nil
	}
	it, err := s.iter(o)
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return errors.Join(err, it.Close())
		}
		if !fn(it.Key(), v) {
			break
		}
	}
	return errors.Join(it.Error(), it.Close())
}

// Find is the run of an ARN; ErrNoRun when there is none.
func (s *Store) Find(arn string) (ID, error) {
	v, err := s.get(nameKey(arn))
	if errors.Is(err, errNoKey) {
		return 0, ErrNoRun
	}
	if err != nil {
		return 0, fmt.Errorf("find %s: %w", arn, err)
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("find %s: the name's record is damaged", arn)
	}
	return ID(binary.BigEndian.Uint64(v)), nil
}

// Load reads a run; ErrNoRun when there is none.
func (s *Store) Load(id ID) (Run, error) {
	var r Run
	err := s.scan(idKey(keyRun, id), func(k, v []byte) bool {
		switch part := k[9]; part {
		case partMeta:
			r.Meta = bytes.Clone(v)
		case partHead:
			r.Head = bytes.Clone(v)
		case partFrame:
			r.Frames = append(r.Frames, Frame{binary.BigEndian.Uint64(k[10:]), bytes.Clone(v)})
		}
		return true
	})
	if err == nil && r.Meta == nil {
		return r, ErrNoRun
	}
	return r, err
}

// LoadHead reads meta, head and one frame of a run, however large the rest is.
func (s *Store) LoadHead(id ID, frame uint64) (Run, error) {
	var r Run
	for _, part := range []struct {
		key []byte
		to  *[]byte
	}{
		{idKey(keyRun, id, partMeta), &r.Meta},
		{idKey(keyRun, id, partHead), &r.Head},
	} {
		v, err := s.get(part.key)
		if errors.Is(err, errNoKey) {
			return r, ErrNoRun
		}
		if err != nil {
			return r, err
		}
		*part.to = v
	}
	v, err := s.get(frameKey(id, frame))
	if err != nil {
		return r, fmt.Errorf("read frame %d of run %d: %w", frame, id, err)
	}
	r.Frames = []Frame{{frame, v}}
	return r, nil
}

// Batches calls fn for the batches of a run's events, from the one that holds the event with this id on (forwards) or
// back (reverse), until fn returns false. The bytes are fn's for the call.
func (s *Store) Batches(id ID, event int64, reverse bool, fn func(first int64, batch []byte) bool) error {
	it, err := s.iter(prefixBounds(idKey(keyEvents, id)))
	if err != nil {
		return err
	}
	next := it.Next
	if reverse {
		next = it.Prev
	}
	ok := it.SeekLT(eventsKey(id, event+1))
	if !ok && !reverse {
		ok = it.First()
	}
	for ; ok; ok = next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return errors.Join(err, it.Close())
		}
		if !fn(int64(binary.BigEndian.Uint64(it.Key()[9:])), v) {
			break
		}
	}
	return errors.Join(it.Error(), it.Close())
}

// Records are the private records of a task, by key.
func (s *Store) Records(id ID, task string) (map[string][]byte, error) {
	prefix, out := recordKey(id, task, ""), map[string][]byte{}
	err := s.scan(prefix, func(k, v []byte) bool {
		out[string(k[len(prefix):])] = bytes.Clone(v)
		return true
	})
	return out, err
}

// AllRecords are the private records of all tasks of a run, by task and key.
func (s *Store) AllRecords(id ID) (map[string]map[string][]byte, error) {
	prefix, out := idKey(keyRecord, id), map[string]map[string][]byte{}
	err := s.scan(prefix, func(k, v []byte) bool {
		task, key, _ := strings.Cut(string(k[len(prefix):]), "\x00")
		if out[task] == nil {
			out[task] = map[string][]byte{}
		}
		out[task][key] = bytes.Clone(v)
		return true
	})
	return out, err
}

// ErrNoLog says that there is no log of a task.
var ErrNoLog = errors.New("no such log")

// Log reads the note on a task's log; ErrNoLog when there is none.
func (s *Store) Log(id ID, task string) ([]byte, error) {
	v, err := s.get(append(idKey(keyLog, id), task...))
	if errors.Is(err, errNoKey) {
		return nil, ErrNoLog
	}
	return v, err
}

// Logs calls fn for the notes on the logs of a run's tasks. The bytes are fn's for the call.
func (s *Store) Logs(id ID, fn func(task string, v []byte)) error {
	return s.scan(idKey(keyLog, id), func(k, v []byte) bool {
		fn(string(k[9:]), v)
		return true
	})
}

// Opens calls fn for every open run. The bytes are fn's for the call.
func (s *Store) Opens(fn func(id ID, v []byte)) error {
	return s.scan([]byte{keyOpen}, func(k, v []byte) bool {
		fn(keyID(k), v)
		return true
	})
}

// Outbox calls fn for everything that the engine has to do. The bytes are fn's for the call.
func (s *Store) Outbox(fn func(id ID, name string, v []byte)) error {
	return s.scan([]byte{keyOutbox}, func(k, v []byte) bool {
		fn(keyID(k), string(k[9:]), v)
		return true
	})
}

// OwedBy calls fn for everything that the engine has to do for a run. The bytes are fn's for the call.
func (s *Store) OutboxOf(id ID, fn func(name string, v []byte)) error {
	return s.scan(idKey(keyOutbox, id), func(k, v []byte) bool {
		fn(string(k[9:]), v)
		return true
	})
}

// ClosedBefore are at most limit runs that closed before a time, the oldest first.
func (s *Store) ClosedBefore(t time.Time, limit int) ([]ID, error) {
	var ids []ID
	err := s.scan([]byte{keyClosed}, func(k, _ []byte) bool {
		if int64(binary.BigEndian.Uint64(k[1:])) >= t.UnixMilli() || len(ids) == limit {
			return false
		}
		ids = append(ids, ID(binary.BigEndian.Uint64(k[9:])))
		return true
	})
	return ids, err
}

// Metas calls fn with the meta part of each run from a number on, in their order, until it says that it has enough.
func (s *Store) Metas(from ID, fn func(ID, []byte) bool) error {
	it, err := s.iter(&pebble.IterOptions{LowerBound: idKey(keyRun, from), UpperBound: after([]byte{keyRun})})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; {
		id := keyID(it.Key())
		if ok = it.SeekGE(idKey(keyRun, id, partMeta)); !ok || keyID(it.Key()) != id {
			continue
		}
		v, err := it.ValueAndErr()
		if err != nil {
			return errors.Join(err, it.Close())
		}
		if !fn(id, v) {
			break
		}
		ok = it.SeekGE(idKey(keyRun, id+1))
	}
	return errors.Join(it.Error(), it.Close())
}
