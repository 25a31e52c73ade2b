package store

import (
	"bytes"
	"errors"
)

// ErrBadToken means that a page token is malformed.
var ErrBadToken = errors.New("bad page token")

// Groups returns the names of the groups that have runs.
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
	return groups, it.finish(nil)
}
