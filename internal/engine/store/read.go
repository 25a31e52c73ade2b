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

// ErrNoRun means that the run does not exist.
var ErrNoRun = errors.New("no such run")

// Run has the stored parts of a run, without its events. The caller owns the bytes.
type Run struct {
	Meta, Head []byte
	Frames     []Frame // by number
}

// Frame is a stored frame of a run.
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

// scan calls fn for each key that begins with prefix, in order, until fn returns false. Key and value are valid only during the call.
func (s *Store) scan(prefix []byte, fn func(key, value []byte) bool) error {
	return s.scanFrom(prefix, nil, fn)
}

// scanFrom is scan, starting at the key from.
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
			return it.finish(err)
		}
		if !fn(it.Key(), v) {
			break
		}
	}
	return it.finish(nil)
}

// Find returns the id of the run with an ARN. The error is ErrNoRun if there is none.
func (s *Store) Find(arn string) (ID, error) {
	v, err := s.get(nameKey(arn))
	if errors.Is(err, errNoKey) {
		return 0, ErrNoRun
	}
	if err != nil {
		return 0, fmt.Errorf("find %s: %w", arn, err)
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("find %s: the record of the name is damaged: it has %d bytes, expected 8", arn, len(v))
	}
	return ID(binary.BigEndian.Uint64(v)), nil
}

// Load reads all parts of a run. The error is ErrNoRun if there is none.
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

// LoadHead reads only meta, head and one frame of a run: it is fast even if the run has many frames. The error is ErrNoRun if there is
// no such run.
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

// Batches calls fn for the batches of a run's events until fn returns false. It starts with the batch that contains event, and
// continues with later batches, or with earlier ones if reverse is set. first is the id of the batch's first event. The bytes are valid
// only during the call.
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
			return it.finish(err)
		}
		if !fn(int64(binary.BigEndian.Uint64(it.Key()[9:])), v) {
			break
		}
	}
	return it.finish(nil)
}

// Records returns the private records of a task, by key.
func (s *Store) Records(id ID, task string) (map[string][]byte, error) {
	prefix, out := recordKey(id, task, ""), map[string][]byte{}
	err := s.scan(prefix, func(k, v []byte) bool {
		out[string(k[len(prefix):])] = bytes.Clone(v)
		return true
	})
	return out, err
}

// AllRecords returns the private records of all tasks of a run, by task and key.
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

// ErrNoLog means that a task has no log.
var ErrNoLog = errors.New("no such log")

// Log reads the engine's record of a task's log. The error is ErrNoLog if there is none.
func (s *Store) Log(id ID, task string) ([]byte, error) {
	v, err := s.get(append(idKey(keyLog, id), task...))
	if errors.Is(err, errNoKey) {
		return nil, ErrNoLog
	}
	return v, err
}

// Logs calls fn for the records of the logs of a run's tasks. The bytes are valid only during the call.
func (s *Store) Logs(id ID, fn func(task string, v []byte)) error {
	return s.scan(idKey(keyLog, id), func(k, v []byte) bool {
		fn(string(k[9:]), v)
		return true
	})
}

// Opens calls fn for each open run, with the value that Batch.Open wrote. The bytes are valid only during the call.
func (s *Store) Opens(fn func(id ID, v []byte)) error {
	return s.scan([]byte{keyOpen}, func(k, v []byte) bool {
		fn(keyID(k), v)
		return true
	})
}

// Outbox calls fn for each effect in the outbox. The bytes are valid only during the call.
func (s *Store) Outbox(fn func(id ID, name string, v []byte)) error {
	return s.scan([]byte{keyOutbox}, func(k, v []byte) bool {
		fn(keyID(k), string(k[9:]), v)
		return true
	})
}

// OutboxOf calls fn for each effect that the outbox has for a run. The bytes are valid only during the call.
func (s *Store) OutboxOf(id ID, fn func(name string, v []byte)) error {
	return s.scan(idKey(keyOutbox, id), func(k, v []byte) bool {
		fn(string(k[9:]), v)
		return true
	})
}

// ClosedBefore returns the runs that closed before a time, at most limit of them, the ones that closed first at the front.
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

// Metas calls fn with the meta part of each run, in the order of the ids and starting at from, until fn returns false.
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
			return it.finish(err)
		}
		if !fn(id, v) {
			break
		}
		ok = it.SeekGE(idKey(keyRun, id+1))
	}
	return it.finish(nil)
}
