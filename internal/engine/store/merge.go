package store

import (
	"bytes"
	"container/heap"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// Span selects runs by their start time: at or after After, and before Before. A zero bound means no bound.
type Span struct{ After, Before time.Time }

// positionSize is the length of a run's position in a list, in bytes. The position is the last part of the list's key: the run's start
// and its id, both inverted.
const positionSize = 16

// Merge calls fn for the runs of several groups as one list, newest first, until fn returns false. It lists the runs with a status, or
// all runs if status is empty. fn gets a token for each run: a later call with that token continues after the run, even if runs were
// started since. The entry's summary is valid only during the call. The error is ErrBadToken if the token is malformed.
func (s *Store) Merge(groups []string, status, token string, span Span, fn func(token string, e Entry) bool) error {
	from, err := mergeFrom(token, span)
	if err != nil {
		return err
	}
	m := &merge{}
	defer m.close()
	for _, g := range groups {
		if err := m.add(s, g, status, from, span); err != nil {
			return err
		}
	}
	heap.Init(m)
	for len(m.lists) > 0 {
		e, at := m.lists[0].entry(), m.lists[0].position()
		if !fn(base64.RawURLEncoding.EncodeToString(at), e) {
			return nil
		}
		if err := m.next(); err != nil {
			return err
		}
	}
	return nil
}

// Tally counts the runs of a group that have a status and started in a span. It reads only keys.
func (s *Store) Tally(group, status string, span Span) (n int, err error) {
	from, _ := mergeFrom("", span)
	m := &merge{}
	defer m.close()
	if err := m.add(s, group, status, from, span); err != nil || len(m.lists) == 0 {
		return 0, err
	}
	it := m.lists[0].it
	for ok := true; ok; ok = it.Next() {
		n++
	}
	return n, it.Error()
}

// mergeFrom returns the position at which reading starts: after the token's run, or at the span's Before.
func mergeFrom(token string, span Span) ([]byte, error) {
	from := []byte{}
	if !span.Before.IsZero() {
		from = binary.BigEndian.AppendUint64(from, ^uint64(span.Before.UnixMilli())+1)
	}
	if token == "" {
		return from, nil
	}
	at, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(at) != positionSize {
		return nil, ErrBadToken
	}
	if at = append(at, 0); bytes.Compare(at, from) > 0 {
		from = at
	}
	return from, nil
}

// merge is a heap of lists, ordered by the position of each list's current run.
type merge struct{ lists []groupList }

// groupList is the list of a group while it is read.
type groupList struct {
	it            iter
	group, status string
	prefix        int // the length of the key before the position
}

func (l groupList) position() []byte { return l.it.Key()[l.prefix:] }

func (l groupList) entry() Entry {
	at := l.position()
	summary, _ := l.it.ValueAndErr() // next reports the error
	return Entry{
		ID: ID(^binary.BigEndian.Uint64(at[8:])), Group: l.group, Status: l.status,
		Start: time.UnixMilli(int64(^binary.BigEndian.Uint64(at))).UTC(), Summary: summary,
	}
}

// add opens the list of a group and adds it to the heap, unless it has no run in the span.
func (m *merge) add(s *Store, group, status string, from []byte, span Span) error {
	prefix := listPrefix(group, status)
	o := prefixBounds(prefix)
	o.LowerBound = append(bytes.Clone(prefix), from...)
	if !span.After.IsZero() {
		o.UpperBound = binary.BigEndian.AppendUint64(bytes.Clone(prefix), ^uint64(span.After.UnixMilli())+1)
	}
	if bytes.Compare(o.LowerBound, o.UpperBound) >= 0 {
		return nil
	}
	it, err := s.iter(o)
	if err != nil {
		return err
	}
	if !it.First() {
		return it.finish(nil)
	}
	m.lists = append(m.lists, groupList{it, group, status, len(prefix)})
	return nil
}

// next advances the list at the top of the heap, and removes it at its end.
func (m *merge) next() error {
	top := m.lists[0].it
	if _, err := top.ValueAndErr(); err != nil {
		return err
	}
	if top.Next() {
		heap.Fix(m, 0)
		return nil
	}
	heap.Pop(m)
	return top.finish(nil)
}

func (m *merge) close() {
	for _, l := range m.lists {
		_ = l.it.Close() // read errors were reported already
	}
}

// Len, Less, Swap, Push and Pop implement heap.Interface.

func (m *merge) Len() int { return len(m.lists) }
func (m *merge) Less(i, j int) bool {
	return bytes.Compare(m.lists[i].position(), m.lists[j].position()) < 0
}
func (m *merge) Swap(i, j int) { m.lists[i], m.lists[j] = m.lists[j], m.lists[i] }
func (m *merge) Push(x any)    { m.lists = append(m.lists, x.(groupList)) }
func (m *merge) Pop() any {
	last := m.lists[len(m.lists)-1]
	m.lists = m.lists[:len(m.lists)-1]
	return last
}
