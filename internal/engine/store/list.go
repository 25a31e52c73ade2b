package store

import (
	"bytes"
	"errors"
)

// ErrBadToken says that a page's token is none of ours, or of another list.
var ErrBadToken = errors.New("bad page token")

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
