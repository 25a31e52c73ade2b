// Package store keeps executions on disk: a log and indexes on Pebble. It knows bytes and keys only, nothing of states;
// engine writes runs through it, catalog its documents.
package store

import "errors"

// Store is one state directory, owned by one process.
type Store struct{}

// Doc is one document of a kind, such as a state machine: catalog's records.
type Doc struct {
	Name  string
	Value []byte
}

// ErrNoDoc says that there is no such document.
var ErrNoDoc = errors.New("no such document")

// Doc reads a document; ErrNoDoc when there is none.
func (s *Store) Doc(kind, name string) ([]byte, error) { return nil, ErrNoDoc }

// PutDocs writes and (where Value is nil) deletes documents of a kind in one commit, on disk when it returns.
func (s *Store) PutDocs(kind string, docs ...Doc) error { return nil }

// Docs lists documents of a kind by name, from the first name that is greater than after and begins with prefix, at
// most limit (0: all).
func (s *Store) Docs(kind, prefix, after string, limit int) ([]Doc, error) { return nil, nil }
