package proctask

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"
)

// outputPipe copies the output of a process to its log through a pipe. The process does not write to the log file itself, because it
// would fail on a full disk although its own files may be on another one.
type outputPipe struct {
	read    *os.File
	log     *redactingLog
	drained chan struct{} // closed when the log contains everything that was printed before drain
	ended   chan struct{} // closed when all processes have closed their end of the pipe
}

// newOutputPipe returns the pipe and its write end. The caller passes the write end to the process and then closes its own copy.
func newOutputPipe(log *redactingLog) (*outputPipe, *os.File, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	p := &outputPipe{read: read, log: log, drained: make(chan struct{}), ended: make(chan struct{})}
	go p.copy()
	return p, write, nil
}

// copy copies the output to the log until drain interrupts it. Then it discards any further output until the end of the pipe.
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
			p.readRest(buf)
		}
		close(p.drained)
		_, _ = io.Copy(io.Discard, p.read)
		return
	}
}

// pipeBytes is the maximum size of a pipe's buffer. Anything after that many bytes was printed after the process ended, by child
// processes that it left behind.
const pipeBytes = 1 << 20

// readRest copies the bytes that are in the pipe's buffer to the log. It does not wait for more.
func (p *outputPipe) readRest(buf []byte) {
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

// drain returns when the log contains all output of the process, which has ended. Child processes that it left behind may print more:
// that is not output of the job and is discarded, but the pipe stays open, so that they do not get SIGPIPE.
func (p *outputPipe) drain() {
	_ = p.read.SetReadDeadline(time.Unix(1, 0)) // interrupts Read; fails if copy has already reached the end of the pipe
	<-p.drained
}
