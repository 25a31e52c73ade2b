package proctask

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

// lineBytes bounds a line; a longer one is cut into several. Most are shorter than bufferBytes, which are read at once.
const (
	lineBytes   = 1 << 20
	bufferBytes = 64 << 10
)

// follower passes on a growing file's lines, from a byte on.
type follower struct {
	path string
	at   int64 // all before was passed on
	emit func(line string, position []byte)
	buf  []byte
}

// read passes on the whole lines that there are now, some of them when there are many: more says so.
func (f *follower) read() (more bool) {
	file, err := os.Open(f.path)
	if err != nil {
		return false // not made yet
	}
	defer file.Close()
	if f.buf == nil {
		f.buf = make([]byte, bufferBytes)
	}
	n, _ := file.ReadAt(f.buf, f.at)
	data := f.buf[:n]
	end := bytes.LastIndexByte(data, '\n') + 1
	if end == 0 && n == len(f.buf) {
		if n < lineBytes {
			f.buf = make([]byte, 2*n)
			return f.read()
		}
		end = n
	}
	f.pass(data[:end])
	return end > 0
}

func (f *follower) pass(data []byte) {
	for line := range bytes.Lines(data) {
		f.at += int64(len(line))
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		f.emit(strings.ToValidUTF8(string(line), "\uFFFD"), strconv.AppendInt(nil, f.at, 10))
	}
}

// some passes on what there is now, within bounds, so that the end of the process is looked for, too.
func (f *follower) some() {
	for n := 0; n < 64 && f.read(); n++ {
	}
}

// rest passes on all, an unfinished last line, too: nothing more will come.
func (f *follower) rest() {
	for f.read() {
	}
	if file, err := os.Open(f.path); err == nil {
		defer file.Close()
		n, _ := file.ReadAt(f.buf, f.at)
		f.pass(f.buf[:n])
	}
}
