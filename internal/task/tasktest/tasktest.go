// Package tasktest has what the tests of several runners need of an engine.
package tasktest

import (
	"bytes"
	"sync"
)

// Log is a log in memory. It may be read while the runner writes it.
type Log struct {
	mu       sync.Mutex
	b        bytes.Buffer
	position []byte
}

// NewLog makes an empty log with the position that a former engine kept.
func NewLog(position []byte) *Log { return &Log{position: position} }

// Append implements task.Log.
func (l *Log) Append(lines, position []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.position = position
	_, err := l.b.Write(lines)
	return err
}

// Position implements task.Log.
func (l *Log) Position() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.position
}

// Write implements task.Log.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String is all that was written.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
