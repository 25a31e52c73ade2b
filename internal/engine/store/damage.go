package store

import (
	"errors"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
)

// DamagedError says that something in the database cannot be read: a block whose checksum does not match, a file that is
// missing or that the disk does not return. What is stored elsewhere can still be read.
type DamagedError struct {
	Execution string // the ARN of the execution that was asked for; empty where the reader does not know it
	Err       error
}

func (e *DamagedError) Error() string { return e.Summary() + ": " + e.Err.Error() }

func (e *DamagedError) Unwrap() error { return e.Err }

// Summary is the error without the database's own text.
func (e *DamagedError) Summary() string {
	if e.Execution == "" {
		return "the database of the state directory is damaged"
	}
	return "the database of the state directory is damaged: execution " + e.Execution + " cannot be read"
}

// Of returns err with the execution's name, if err says that the database is damaged.
func Of(execution string, err error) error {
	var d *DamagedError
	if !errors.As(err, &d) || d.Execution != "" {
		return err
	}
	return &DamagedError{execution, d.Err}
}

// damage counts what could not be read since the store was opened.
type damage struct {
	reads      atomic.Int64
	background atomic.Int64
}

// read puts the error of a read into the store's terms.
func (d *damage) read(err error) error {
	if err == nil || errors.Is(err, pebble.ErrNotFound) || errors.Is(err, ErrClosed) {
		return err
	}
	var known *DamagedError
	if errors.As(err, &known) {
		return err
	}
	d.reads.Add(1)
	return &DamagedError{Err: err}
}

// listener keeps the process alive when a block is damaged: by default the database ends it. The reader gets the error, and a
// compaction is tried again later; until then its input stays as it is.
func (s *Store) listener() *pebble.EventListener {
	return &pebble.EventListener{
		DataCorruption: func(i pebble.DataCorruptionInfo) {
			s.logger.Error("the database is damaged: rayorch store check names the affected executions", "file", i.Path, "problem", i.Details)
		},
		BackgroundError: func(err error) {
			s.damage.background.Add(1)
			s.logger.Error("a compaction of the database failed and is retried", "problem", err)
		},
	}
}

// ReadErrors counts the reads that failed since the store was opened, because something in the database is damaged.
func (s *Store) ReadErrors() int64 { return s.damage.reads.Load() }

// BackgroundErrors counts the flushes and compactions that failed since the store was opened.
func (s *Store) BackgroundErrors() int64 { return s.damage.background.Load() }

// unreadable says that opening a database failed because of what is in it or missing in it, and not because of the rest of the
// system: permissions, room, limits.
func unreadable(err error) bool {
	var no syscall.Errno
	return !errors.As(err, &no) || no == syscall.EIO || no == syscall.ENOENT
}
