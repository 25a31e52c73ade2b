package proctask

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

const (
	// lineBytes is the maximum length of a line. A longer line is split.
	lineBytes = 1 << 20
	// bufferBytes is the size of one read. The buffer grows up to lineBytes if a line does not fit.
	bufferBytes = 64 << 10
)

// follower reads the lines of a file that another process appends to, starting at an offset.
type follower struct {
	path string
	at   int64 // offset of the next line, in bytes
	emit func(line string, position []byte)
	buf  []byte
}

// read emits the complete lines of the next part of the file, at most a buffer. It returns true if there may be more.
func (f *follower) read() (more bool) {
	file, err := os.Open(f.path)
	if err != nil {
		return false // the supervisor has not created it yet
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

// pass emits the lines of data, with the offset that follows each.
func (f *follower) pass(data []byte) {
	for line := range bytes.Lines(data) {
		f.at += int64(len(line))
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		f.emit(strings.ToValidUTF8(string(line), "\uFFFD"), strconv.AppendInt(nil, f.at, 10))
	}
}

// readSome emits the lines that the file contains now. The number of reads is limited, so that a process that prints without pause does
// not keep the caller from checking whether the process has ended.
func (f *follower) readSome() {
	for n := 0; n < 64 && f.read(); n++ {
	}
}

// readRest emits the remaining lines, including an incomplete last line. The process must have ended.
func (f *follower) readRest() {
	for f.read() {
	}
	if file, err := os.Open(f.path); err == nil {
		defer file.Close()
		n, _ := file.ReadAt(f.buf, f.at)
		f.pass(f.buf[:n])
	}
}
