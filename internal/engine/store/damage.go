package store

import (
	"errors"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
)

// DamagedError means that a part of the database cannot be read: the checksum of a block does not match, a file is missing, or the disk
// reports an error. The other parts can still be read.
type DamagedError struct {
	Execution string // the ARN of the execution that was read; empty if the reader does not know it
	Err       error
}

func (e *DamagedError) Error() string { return e.Summary() + ": " + e.Err.Error() }

func (e *DamagedError) Unwrap() error { return e.Err }

// Summary returns the message without the database's error.
func (e *DamagedError) Summary() string {
	if e.Execution == "" {
		return "the database of the state directory is damaged"
	}
	return "the database of the state directory is damaged: execution " + e.Execution + " cannot be read"
}

// WithExecution adds the ARN of an execution to err if it is a DamagedError without one.
func WithExecution(execution string, err error) error {
	var d *DamagedError
	if !errors.As(err, &d) || d.Execution != "" {
		return err
	}
	return &DamagedError{execution, d.Err}
}

// damage counts failures since the store was opened.
type damage struct {
	reads      atomic.Int64
	background atomic.Int64
}

// read converts the error of a read: unexpected ones become a DamagedError, and are counted.
func (d *damage) read(err error) error {
	if err == nil || errors.Is(err, pebble.ErrNotFound) || errors.Is(err, ErrClosed) {
		return err
	}
	var known *DamagedError
	if errors.As(err, &known) {
		return err
	}
	d.reads.Add(1)
	return &DamagedError{Err: plain(err)}
}

// carrier is a line in the message of Pebble's errors about damage. It has no meaning for users.
const carrier = "\n<corruption detail carrier>"

// plainError is an error of Pebble whose message does not have the carrier.
type plainError struct{ err error }

func plain(err error) error { return plainError{err} }

func (e plainError) Error() string { return strings.ReplaceAll(e.err.Error(), carrier, "") }

func (e plainError) Unwrap() error { return e.err }

// listener keeps the process alive when a block is damaged: without DataCorruption, Pebble exits. The reader gets an error. A
// compaction that fails is retried later; its input files stay until then.
func (s *Store) listener() *pebble.EventListener {
	return &pebble.EventListener{
		DataCorruption: func(i pebble.DataCorruptionInfo) {
			s.logger.Error("the database is damaged: rayorch store check names the affected executions", "file", i.Path, "problem", i.Details)
		},
		BackgroundError: func(err error) {
			s.damage.background.Add(1)
			s.logger.Error("a compaction of the database failed and is retried", "problem", plain(err))
		},
	}
}

// ReadErrors returns the number of reads that failed since the store was opened because the database is damaged.
func (s *Store) ReadErrors() int64 { return s.damage.reads.Load() }

// BackgroundErrors returns the number of flushes and compactions that failed since the store was opened.
func (s *Store) BackgroundErrors() int64 { return s.damage.background.Load() }

// unreadable reports whether opening a database failed because its files are damaged or missing, and not because of the system:
// permissions, disk space, limits.
func unreadable(err error) bool {
	var code syscall.Errno
	return !errors.As(err, &code) || code == syscall.EIO || code == syscall.ENOENT
}
