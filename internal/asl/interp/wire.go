package interp

import (
	"encoding/binary"
	"fmt"
	"time"
)

// writer appends the primitives of the stored form to b.
type writer struct{ b []byte }

// int has a variable length, because most counters are small.
func (w *writer) int(n int64) { w.b = binary.AppendVarint(w.b, n) }

func (w *writer) bool(v bool) {
	var b byte
	if v {
		b = 1
	}
	w.b = append(w.b, b)
}

func (w *writer) bytes(b []byte) { w.b = append(binary.AppendUvarint(w.b, uint64(len(b))), b...) }

func (w *writer) str(s string) { w.b = append(binary.AppendUvarint(w.b, uint64(len(s))), s...) }

// time keeps nanoseconds: a timer must fire exactly at the stored Wake.
func (w *writer) time(t time.Time) {
	if t.IsZero() {
		w.int(0)
		return
	}
	w.int(t.UnixMilli() + 1)
	w.int(int64(t.Nanosecond() % 1e6))
}

// reader decodes the primitives of the stored form. After the first error it returns zeros; end reports the error.
type reader struct {
	b      []byte
	broken bool
}

// version returns an error for data of a newer release: a wrong guess could lose an execution.
func (d *reader) version() error {
	if v := d.byte(); v != version && !d.broken {
		return fmt.Errorf("unsupported version %d: this program supports versions up to %d", v, version)
	}
	return nil
}

// end reports an error. Trailing bytes are not an error: a later release may append fields without changing the version.
func (d *reader) end() error {
	if d.broken {
		return errBroken
	}
	return nil
}

func (d *reader) byte() byte {
	if len(d.b) == 0 {
		d.broken = true
		return 0
	}
	b := d.b[0]
	d.b = d.b[1:]
	return b
}

func (d *reader) bool() bool { return d.byte() != 0 }

func (d *reader) skip(n int) {
	if n <= 0 || d.broken {
		d.b, d.broken = nil, true
		return
	}
	d.b = d.b[n:]
}

func (d *reader) int() int64 {
	v, n := binary.Varint(d.b)
	d.skip(n)
	if d.broken {
		return 0
	}
	return v
}

// count decodes the number of elements that follow, each of which has at least one byte.
func (d *reader) count() int64 {
	n := d.int()
	if n < 0 || n > int64(len(d.b)) {
		d.b, d.broken = nil, true
		return 0
	}
	return n
}

// fixed decodes a number of 8 bytes.
func (d *reader) fixed() uint64 {
	if len(d.b) < 8 {
		d.b, d.broken = nil, true
		return 0
	}
	v := binary.LittleEndian.Uint64(d.b)
	d.b = d.b[8:]
	return v
}

// bytes returns a slice of the record, without copying: payloads are immutable.
func (d *reader) bytes() []byte {
	n, size := binary.Uvarint(d.b)
	d.skip(size)
	if n > uint64(len(d.b)) {
		d.b, d.broken = nil, true
		return nil
	}
	b := d.b[:n:n]
	d.b = d.b[n:]
	if n == 0 {
		return nil
	}
	return b
}

func (d *reader) str() string { return string(d.bytes()) }

func (d *reader) time() time.Time {
	ms := d.int()
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms - 1).Add(time.Duration(d.int())).UTC()
}
