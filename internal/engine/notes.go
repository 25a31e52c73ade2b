package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"sync"
	"syscall"

	"github.com/rayorch/rayorch/internal/engine/store"
)

// notes say which steps this process is in the middle of. They are in a file that is mapped into memory: what is written
// there outlives a process that is killed or runs out of memory, and costs no system call. A note that is left means that the
// process died during that step.
type notes struct {
	mem  []byte
	mu   sync.Mutex
	free []int
}

// The layout of a note: the run (0: none), a number, the length of the text, the text.
const (
	noteSize   = 128
	noteCount  = 256 // steps at once; what comes beyond is not noted
	noteHeader = 17
	noteText   = noteSize - noteHeader
)

// note is a step that a process died in.
type note struct {
	run    store.ID
	number int64 // the last event before the step; for items of a Map -1 less the item's index; 0 for neither
	step   string
}

// openNotes returns what an earlier process left, and removes it.
func openNotes(name string) (*notes, []note, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	old := make([]byte, noteSize*noteCount)
	if _, err := io.ReadFull(f, old); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, nil, err
	}
	left := decodeNotes(old)
	if _, err := f.WriteAt(make([]byte, noteSize*noteCount), 0); err != nil { // allocates its blocks, too
		return nil, left, err
	}
	n := &notes{}
	if n.mem, err = syscall.Mmap(int(f.Fd()), 0, noteSize*noteCount, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED); err != nil {
		return nil, left, fmt.Errorf("map %s: %w", name, err)
	}
	for i := range noteCount {
		n.free = append(n.free, i)
	}
	return n, left, nil
}

// decodeNotes takes what does not look like a note for none.
func decodeNotes(b []byte) (left []note) {
	for ; len(b) >= noteSize; b = b[noteSize:] {
		run, size := binary.LittleEndian.Uint64(b), int(b[16])
		if run != 0 && size <= noteText {
			left = append(left, note{store.ID(run), int64(binary.LittleEndian.Uint64(b[8:])), string(b[noteHeader : noteHeader+size])})
		}
	}
	return left
}

// close must come after the last use.
func (n *notes) close() {
	if n != nil {
		_ = syscall.Munmap(n.mem) // what is mapped can be unmapped
	}
}

// begin takes a place for the note of one step at a time; end gives it back.
func (n *notes) begin() noteSlot {
	if n == nil {
		return noteSlot{}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.free) == 0 {
		return noteSlot{}
	}
	at := n.free[len(n.free)-1]
	n.free = n.free[:len(n.free)-1]
	return noteSlot{n, at}
}

// noteSlot is a place in the notes; the zero value is none.
type noteSlot struct {
	n  *notes
	at int
}

func (h noteSlot) place() []byte { return h.n.mem[h.at*noteSize : (h.at+1)*noteSize] }

// write notes a step: its kind, and the end of what it is about. Nothing is noted for the run 0.
func (h noteSlot) write(run store.ID, number int64, kind, of string) {
	if h.n == nil {
		return
	}
	defer tolerateFault(debug.SetPanicOnFault(true))
	b := h.place()
	binary.LittleEndian.PutUint64(b, 0)
	binary.LittleEndian.PutUint64(b[8:], uint64(number))
	b[16] = byte(copyStep(b[noteHeader:], kind, of))
	binary.LittleEndian.PutUint64(b, uint64(run)) // last: a note is whole or not there
}

// copyStep is the text of a step.
func copyStep(to []byte, kind, of string) int {
	n := copy(to, kind)
	return n + copy(to[n:], of[max(0, len(of)-(len(to)-n)):])
}

func stepText(kind, of string) string {
	b := make([]byte, noteText)
	return string(b[:copyStep(b, kind, of)])
}

// clear records that the step has ended, or waits.
func (h noteSlot) clear() {
	if h.n == nil {
		return
	}
	defer tolerateFault(debug.SetPanicOnFault(true))
	binary.LittleEndian.PutUint64(h.place(), 0)
}

func (h noteSlot) end() {
	if h.n == nil {
		return
	}
	h.clear()
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	h.n.free = append(h.n.free, h.at)
}

// tolerateFault keeps a page that the disk has no room for (a file system that copies on write needs some) from ending the
// process: the note is lost.
func tolerateFault(before bool) {
	debug.SetPanicOnFault(before)
	_ = recover()
}
