// Package tasktest contains test doubles for the parts of the engine that runners use.
package tasktest

import (
	"bytes"
	"sync"
)

// Log is a task.Log in memory. It is safe for concurrent use.
type Log struct {
	mu       sync.Mutex
	b        bytes.Buffer
	position []byte
}

// NewLog returns an empty log with a position, as if a previous engine had stored the position.
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

// String returns everything that was written.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
