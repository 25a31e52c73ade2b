package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// logPosition is the position in the source of a log that corresponds to an offset in the log.
//
// It is written before the lines that it covers, alternately into one of two files. So if the process dies at any moment, one of the two
// is complete and does not cover more lines than the log has. Lines after it are cut off, and read again from the source.
type logPosition struct {
	number  uint64 // the number of the write, from 1; 0 if there is no position
	segment int    // the segment in which the covered part of the log ends
	at      int64  // its offset there, in bytes
	source  []byte // the position in the source, in the runner's format
}

// positionHeader is the size of the header: checksum, length of source, number, segment, at.
const positionHeader = 4 + 4 + 8 + 8 + 8

// encode encodes a position with a checksum, so that an incomplete write is detected.
func (p logPosition) encode() []byte {
	b := make([]byte, 4, positionHeader+len(p.source))
	b = binary.BigEndian.AppendUint32(b, uint32(len(p.source)))
	b = binary.BigEndian.AppendUint64(b, p.number)
	b = binary.BigEndian.AppendUint64(b, uint64(p.segment))
	b = binary.BigEndian.AppendUint64(b, uint64(p.at))
	b = append(b, p.source...)
	binary.BigEndian.PutUint32(b, crc32.ChecksumIEEE(b[4:]))
	return b
}

// decodePosition returns no position for an incomplete write. Bytes after a short position belong to an earlier, longer one.
func decodePosition(b []byte) (p logPosition, ok bool) {
	if len(b) < positionHeader {
		return p, false
	}
	end := positionHeader + uint64(binary.BigEndian.Uint32(b[4:]))
	if end > uint64(len(b)) || crc32.ChecksumIEEE(b[4:end]) != binary.BigEndian.Uint32(b) {
		return p, false
	}
	segment, at := binary.BigEndian.Uint64(b[16:]), binary.BigEndian.Uint64(b[24:])
	if segment > math.MaxInt || at > math.MaxInt64 {
		return p, false
	}
	p = logPosition{number: binary.BigEndian.Uint64(b[8:]), segment: int(segment), at: int64(at), source: bytes.Clone(b[positionHeader:end])}
	return p, p.number > 0
}

// covers reports whether a log that ends at an offset of a segment has all lines that the position covers.
func (p logPosition) covers(segment int, at int64) bool {
	return p.number > 0 && (p.segment < segment || p.segment == segment && p.at <= at)
}

func (l *logs) positionPath(k taskKey, slot uint64) string {
	return l.fs.PathJoin(l.dir(k.run), k.name()+"position"+string('a'+rune(slot%2)))
}

// position returns the newest position whose lines the log has. If both positions are ahead of the log, because a failure of the machine
// lost lines, it returns the older one.
func (l *logs) position(k taskKey, segment int, at int64) (logPosition, error) {
	var best logPosition
	for slot := range uint64(2) {
		data, err := l.read(l.positionPath(k, slot), math.MaxInt64)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return best, err
		}
		p, ok := decodePosition(data)
		switch covered := p.covers(segment, at); {
		case !ok:
		case best.number == 0, covered && !best.covers(segment, at):
			best = p
		case covered == best.covers(segment, at) && covered == (p.number > best.number):
			best = p
		}
	}
	return best, nil
}

// keepPosition writes the position for the log with n more bytes. Before the first position, it writes one for the log without them, so
// that there is always a position that covers no more than the log.
func (w *logWriter) keepPosition(source []byte, n int64) error {
	if source == nil {
		return nil
	}
	if w.position.number == 0 {
		if err := w.writePosition(nil, 0); err != nil {
			return err
		}
	}
	return w.writePosition(source, n)
}

// writePosition writes a position. It computes in which segment n more bytes will end.
func (w *logWriter) writePosition(source []byte, n int64) error {
	p := logPosition{number: w.position.number + 1, segment: w.segment, at: w.at, source: bytes.Clone(source)}
	for {
		room := w.l.segmentSize(p.segment) - p.at
		if n <= max(room, 0) {
			break
		}
		n -= max(room, 0)
		p.segment, p.at = p.segment+1, 0
	}
	p.at += n
	slot := &w.slots[p.number%2]
	if *slot == nil {
		f, err := w.l.fs.OpenReadWrite(w.l.positionPath(w.key, p.number), vfs.WriteCategoryUnspecified)
		if err != nil {
			return err
		}
		*slot = f
	}
	if _, err := (*slot).WriteAt(p.encode(), 0); err != nil {
		return err
	}
	w.position = p
	return nil
}

// read reads at most n bytes of a file.
func (l *logs) read(path string, n int64) ([]byte, error) {
	f, err := l.fs.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, n))
	return data, errors.Join(err, f.Close())
}

// truncate truncates a file to n bytes. On a file system without file descriptors, such as one in memory, it writes a new file.
func (l *logs) truncate(path string, n int64) error {
	f, err := l.fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if fd := f.Fd(); fd != vfs.InvalidFd {
		return errors.Join(syscall.Ftruncate(int(fd), n), f.Close())
	}
	data, err := io.ReadAll(io.LimitReader(f, n))
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if f, err = l.fs.Create(path+".new", vfs.WriteCategoryUnspecified); err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close(), l.fs.Rename(path+".new", path))
}
