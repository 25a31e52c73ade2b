package store

import (
	"bytes"
	"container/heap"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"
)

// Span is a stretch of time by when runs began: from After on, and before Before. Zero means without a bound.
type Span struct{ After, Before time.Time }

// placeSize is the part of a list's key that says where in the list a run stands: its start and its id, both inverted.
const placeSize = 16

// Merge goes through the runs of several groups as one list, newest first: those of one status, or all when it is
// empty. The token goes on behind a run, whatever was started since. fn gets each run's token; the summary is fn's for
// the call only. It returns false to end.
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
		e, at := m.lists[0].entry(), m.lists[0].place()
		if !fn(base64.RawURLEncoding.EncodeToString(at), e) {
			return nil
		}
		if err := m.next(); err != nil {
			return err
		}
	}
	return nil
}

// Tally is how many runs of a group have a status. It reads keys only.
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

// mergeFrom is the place at which reading begins: behind the token's run, or at the span's later end.
func mergeFrom(token string, span Span) ([]byte, error) {
	from := []byte{}
	if !span.Before.IsZero() {
		from = binary.BigEndian.AppendUint64(from, ^uint64(span.Before.UnixMilli())+1)
	}
	if token == "" {
		return from, nil
	}
	at, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(at) != placeSize {
		return nil, ErrBadToken
	}
	if at = append(at, 0); bytes.Compare(at, from) > 0 {
		from = at
	}
	return from, nil
}

// merge is a heap of lists by the place of the run that each stands at.
type merge struct{ lists []groupList }

// groupList is one group's list while it is read.
type groupList struct {
	it            iter
	group, status string
	prefix        int
}

func (l groupList) place() []byte { return l.it.Key()[l.prefix:] }

func (l groupList) entry() Entry {
	at := l.place()
	summary, _ := l.it.ValueAndErr() // next reports what is wrong with it
	return Entry{
		ID: ID(^binary.BigEndian.Uint64(at[8:])), Group: l.group, Status: l.status,
		Start: time.UnixMilli(int64(^binary.BigEndian.Uint64(at))).UTC(), Summary: summary,
	}
}

// add opens a group's list, unless it has nothing in the span.
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
		return errors.Join(it.Error(), it.Close())
	}
	m.lists = append(m.lists, groupList{it, group, status, len(prefix)})
	return nil
}

// next moves the list on top on, and takes it away at its end.
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
	return errors.Join(top.Error(), top.Close())
}

func (m *merge) close() {
	for _, l := range m.lists {
		_ = l.it.Close() // it was only read
	}
}

// Len, Less, Swap, Push and Pop are container/heap's.

func (m *merge) Len() int           { return len(m.lists) }
func (m *merge) Less(i, j int) bool { return bytes.Compare(m.lists[i].place(), m.lists[j].place()) < 0 }
func (m *merge) Swap(i, j int)      { m.lists[i], m.lists[j] = m.lists[j], m.lists[i] }
func (m *merge) Push(x any)         { m.lists = append(m.lists, x.(groupList)) }
func (m *merge) Pop() any {
	last := m.lists[len(m.lists)-1]
	m.lists = m.lists[:len(m.lists)-1]
	return last
}
