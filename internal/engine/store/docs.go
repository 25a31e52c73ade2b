package store

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// Doc is a document: a named value of some kind, for example a state machine of package catalog.
type Doc struct {
	Name  string
	Value []byte
}

// ErrNoDoc means that the document does not exist.
var ErrNoDoc = errors.New("no such document")

// Doc reads a document. The error is ErrNoDoc if there is none. A kind must not contain a zero byte.
func (s *Store) Doc(kind, name string) ([]byte, error) {
	v, err := s.get(docKey(kind, name))
	if errors.Is(err, errNoKey) {
		return nil, ErrNoDoc
	}
	return v, err
}

// PutDocs writes documents of a kind in one commit, and deletes those whose Value is nil. The commit is on disk when PutDocs returns.
// The error is ErrFull if the disk is full.
func (s *Store) PutDocs(kind string, docs ...Doc) error {
	if err := s.Admit(); err != nil {
		return err
	}
	b := s.NewBatch()
	for _, d := range docs {
		b.Doc(kind, d.Name, d.Value)
	}
	if err := s.Commit(b); err != nil {
		return fmt.Errorf("write %s: %w", kind, err)
	}
	return nil
}

// Docs returns the documents of a kind whose names begin with prefix and are greater than after, sorted by name, at most limit of them
// (0: all).
func (s *Store) Docs(kind, prefix, after string, limit int) ([]Doc, error) {
	var docs []Doc
	skip := len(docKey(kind, ""))
	err := s.scanFrom(docKey(kind, prefix), docKey(kind, after), func(k, v []byte) bool {
		name := string(k[skip:])
		if after == "" || name > after {
			docs = append(docs, Doc{strings.Clone(name), bytes.Clone(v)})
		}
		return limit == 0 || len(docs) < limit
	})
	return docs, err
}

// DocNames returns the names of all documents of a kind, sorted.
func (s *Store) DocNames(kind string) ([]string, error) {
	var names []string
	prefix := docKey(kind, "")
	err := s.scan(prefix, func(k, _ []byte) bool {
		names = append(names, string(k[len(prefix):]))
		return true
	})
	return names, err
}
