package proctask

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"
)

// outputPipe takes what a process prints. The process does not write to the log itself, which may fail: it could not tell a
// full disk under its log from one under its results.
type outputPipe struct {
	read    *os.File
	log     *hidingLog
	drained chan struct{} // closed when all is in the log that was printed before drain
	ended   chan struct{} // closed when nobody can print any more
}

// newOutputPipe returns the end for the process, which the caller closes once the process has it.
func newOutputPipe(log *hidingLog) (*outputPipe, *os.File, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	p := &outputPipe{read: read, log: log, drained: make(chan struct{}), ended: make(chan struct{})}
	go p.copy()
	return p, write, nil
}

func (p *outputPipe) copy() {
	defer close(p.ended)
	defer p.read.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := p.read.Read(buf)
		_, _ = p.log.Write(buf[:n])
		if err == nil {
			continue
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			p.rest(buf)
		}
		close(p.drained)
		_, _ = io.Copy(io.Discard, p.read)
		return
	}
}

// pipeBytes is the most that a pipe holds: what comes after that was printed after the job's end, by what it left behind.
const pipeBytes = 1 << 20

// rest takes what is in the pipe without waiting for more.
func (p *outputPipe) rest(buf []byte) {
	if p.read.SetReadDeadline(time.Time{}) != nil {
		return
	}
	raw, err := p.read.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Read(func(fd uintptr) bool {
		for left := pipeBytes; left > 0; {
			n, err := syscall.Read(int(fd), buf)
			if errors.Is(err, syscall.EINTR) {
				continue
			}
			if err != nil || n <= 0 {
				break
			}
			_, _ = p.log.Write(buf[:n])
			left -= n
		}
		return true
	})
}

// drain returns when all that a process that has ended printed is in the log. What it started and left behind may print on,
// which is not the job's output; it must not end for want of a reader.
func (p *outputPipe) drain() {
	_ = p.read.SetReadDeadline(time.Unix(1, 0)) // fails when the pipe is at its end already
	<-p.drained
}
