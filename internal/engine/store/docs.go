package store

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// Doc is one document of a kind, such as a state machine: catalog's records.
type Doc struct {
	Name  string
	Value []byte
}

// ErrNoDoc says that there is no such document.
var ErrNoDoc = errors.New("no such document")

// Doc reads a document; ErrNoDoc when there is none. Kinds hold no zero bytes.
func (s *Store) Doc(kind, name string) ([]byte, error) {
	v, err := s.get(docKey(kind, name))
	if errors.Is(err, errNoKey) {
		return nil, ErrNoDoc
	}
	return v, err
}

// PutDocs writes and (where Value is nil) deletes documents of a kind in one commit, on disk when it returns. A full
// disk gives ErrFull.
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

// Docs lists documents of a kind by name, from the first name that is greater than after and begins with prefix, at
// most limit (0: all).
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

// DocNames lists the names of all documents of a kind.
func (s *Store) DocNames(kind string) ([]string, error) {
	var names []string
	prefix := docKey(kind, "")
	err := s.scan(prefix, func(k, _ []byte) bool {
		names = append(names, string(k[len(prefix):]))
		return true
	})
	return names, err
}
