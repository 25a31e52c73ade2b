package store

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"
)

// ErrBadToken says that a page's token is none of ours, or of another list.
var ErrBadToken = errors.New("bad page token")

// List reads a page of a group's runs, newest first: those of one status, or all when it is empty. A token goes on
// where the former page ended; the new one is empty when that was all.
func (s *Store) List(group, status, token string, limit int) ([]Entry, string, error) {
	prefix := listPrefix(group, status)
	o := prefixBounds(prefix)
	if token != "" {
		at, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil || len(at) != 16 {
			return nil, "", ErrBadToken
		}
		o.LowerBound = append(append(bytes.Clone(prefix), at...), 0)
	}
	it, err := s.iter(o)
	if err != nil {
		return nil, "", err
	}
	var page []Entry
	next := ""
	for ok := it.First(); ok; ok = it.Next() {
		if len(page) == limit {
			next = base64.RawURLEncoding.EncodeToString(listKey(group, status, page[limit-1].Start, page[limit-1].ID)[len(prefix):])
			break
		}
		v, err := it.ValueAndErr()
		if err != nil {
			return nil, "", errors.Join(err, it.Close())
		}
		page = append(page, entryOf(group, status, it.Key()[len(prefix):], v))
	}
	return page, next, errors.Join(it.Error(), it.Close())
}

func entryOf(group, status string, at, summary []byte) Entry {
	return Entry{
		ID:      ID(^binary.BigEndian.Uint64(at[8:])),
		Group:   group,
		Status:  status,
		Start:   time.UnixMilli(int64(^binary.BigEndian.Uint64(at))).UTC(),
		Summary: bytes.Clone(summary),
	}
}

// Groups lists the groups that have runs.
func (s *Store) Groups() ([]string, error) {
	var groups []string
	it, err := s.iter(prefixBounds([]byte{keyList}))
	if err != nil {
		return nil, err
	}
	for ok := it.First(); ok; {
		group, _, _ := bytes.Cut(it.Key()[1:], []byte{0})
		groups = append(groups, string(group))
		ok = it.SeekGE(append(append([]byte{keyList}, groups[len(groups)-1]...), 1))
	}
	return groups, errors.Join(it.Error(), it.Close())
}
