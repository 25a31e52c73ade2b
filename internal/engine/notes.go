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

// notes records the steps that are in progress, in a file that is mapped into memory. A write to it needs no system call, and is kept if
// the process is killed or runs out of memory. A note that is left in the file means that the process died during that step (parked.go).
type notes struct {
	mem  []byte
	mu   sync.Mutex
	free []int // the indexes of free slots
}

// The layout of a note, in bytes: the run (8; 0: no note), a number (8), the length of the text (1), the text.
const (
	noteSize   = 128
	noteCount  = 256 // the maximum number of concurrent steps with a note; other steps have none
	noteHeader = 17
	noteText   = noteSize - noteHeader
)

// note is a step during which a process died.
type note struct {
	run    store.ID
	number int64 // positive: the id of the last event before the step; negative: -1 less the index of a Map's item; 0: unknown
	step   string
}

// openNotes opens the file, creating it if necessary, and returns and removes the notes that an earlier process left.
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

// decodeNotes decodes the content of the file. It ignores invalid notes.
func decodeNotes(b []byte) (left []note) {
	for ; len(b) >= noteSize; b = b[noteSize:] {
		run, size := binary.LittleEndian.Uint64(b), int(b[16])
		if run != 0 && size <= noteText {
			left = append(left, note{store.ID(run), int64(binary.LittleEndian.Uint64(b[8:])), string(b[noteHeader : noteHeader+size])})
		}
	}
	return left
}

// close unmaps the file. No slot may be used after it.
func (n *notes) close() {
	if n != nil {
		_ = syscall.Munmap(n.mem) // cannot fail for a valid mapping
	}
}

// begin reserves a slot for the note of one step at a time; end releases it. If all slots are in use, nothing is recorded.
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

// noteSlot is a reserved slot for a note. The zero value records nothing.
type noteSlot struct {
	n  *notes
	at int
}

func (h noteSlot) bytes() []byte { return h.n.mem[h.at*noteSize : (h.at+1)*noteSize] }

// write records a step: the text is kind followed by of, whose beginning is cut off if it is too long. A note for the run 0 counts as no
// note.
func (h noteSlot) write(run store.ID, number int64, kind, of string) {
	if h.n == nil {
		return
	}
	defer tolerateFault(debug.SetPanicOnFault(true))
	b := h.bytes()
	binary.LittleEndian.PutUint64(b, 0)
	binary.LittleEndian.PutUint64(b[8:], uint64(number))
	b[16] = byte(copyStep(b[noteHeader:], kind, of))
	binary.LittleEndian.PutUint64(b, uint64(run)) // last, so that no incomplete note is valid
}

// copyStep writes the text of a step and returns its length.
func copyStep(to []byte, kind, of string) int {
	n := copy(to, kind)
	return n + copy(to[n:], of[max(0, len(of)-(len(to)-n)):])
}

// stepText returns the text of a step as a note has it.
func stepText(kind, of string) string {
	b := make([]byte, noteText)
	return string(b[:copyStep(b, kind, of)])
}

// clear removes the note: the step has ended, or waits.
func (h noteSlot) clear() {
	if h.n == nil {
		return
	}
	defer tolerateFault(debug.SetPanicOnFault(true))
	binary.LittleEndian.PutUint64(h.bytes(), 0)
}

// end removes the note and releases the slot.
func (h noteSlot) end() {
	if h.n == nil {
		return
	}
	h.clear()
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	h.n.free = append(h.n.free, h.at)
}

// tolerateFault recovers from a page fault while a note is written, which occurs if the disk is full and the file system copies on
// write. The note is lost. before is the setting of debug.SetPanicOnFault to restore.
func tolerateFault(before bool) {
	debug.SetPanicOnFault(before)
	_ = recover()
}
