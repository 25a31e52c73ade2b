package ray

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// lineBytes is the maximum length of a log line. The rest of a longer line is replaced by its size. The line in which Ray prints the
// entrypoint is always shorter, because the entrypoint is a command-line argument.
const lineBytes = 1 << 20

// Logs returns the complete log of a job. It is empty if the driver has not started. For long logs, use LastLines or a Log.
func (c *Client) Logs(ctx context.Context, id string) (string, error) {
	var response struct {
		Logs string `json:"logs"`
	}
	err := c.do(ctx, call{
		op: "read the job's log", method: http.MethodGet, path: jobPath(id) + "/logs", timeout: submitTimeout,
		read: decodeInto(&response),
	})
	return response.Logs, err
}

// LastLines returns the last n lines of a job's log, at most 1 MiB. It returns nil if the driver has not been placed on a node.
func (c *Client) LastLines(ctx context.Context, job Job, n int) ([]string, error) {
	var lines []string
	err := c.logFile(ctx, job, n, func(r io.Reader) error {
		data, err := readEnd(r, 1<<20)
		lines = splitLines(string(data))
		return err
	})
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return lines, err
}

// readEnd reads to the end and returns the last bytes: at least n, unless there are fewer, and at most 2n.
func readEnd(r io.Reader, n int) (end []byte, err error) {
	chunk := make([]byte, 32<<10)
	for {
		read, err := r.Read(chunk)
		if end = append(end, chunk[:read]...); len(end) > 2*n {
			end = append(end[:0], end[len(end)-n:]...)
		}
		if errors.Is(err, io.EOF) {
			return end, nil
		}
		if err != nil {
			return end, err
		}
	}
}

// logFile reads the log file of the driver from its node: the last n lines, or all lines if n is -1. It does nothing if there is no node.
func (c *Client) logFile(ctx context.Context, job Job, n int, read func(io.Reader) error) error {
	if job.DriverNodeID == "" {
		return nil
	}
	query := url.Values{
		"filename": {"job-driver-" + job.SubmissionID + ".log"},
		"node_id":  {job.DriverNodeID},
		"lines":    {strconv.Itoa(n)},
	}
	return c.do(ctx, call{
		op: "read the job's log", method: http.MethodGet, path: "/api/v0/logs/file?" + query.Encode(),
		timeout: submitTimeout, read: read,
	})
}

// splitLines splits a text into lines, as a Log does.
func splitLines(text string) []string {
	text = strings.TrimSuffix(universal.Replace(strings.ToValidUTF8(text, "\uFFFD")), "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// LinesOf returns the lines of a text as a Log passes them on.
func LinesOf(text string) []string {
	var lines []string
	l := &Log{emit: func(line string) { lines = append(lines, line) }}
	k := &lineCounter{log: l}
	k.write(text)
	k.close()
	return lines
}

// universal converts all line ends to \n. Ray's tail does the same, because it reads the log in Python's text mode. So the line numbers of
// the tail and of the file are the same.
var universal = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// Log follows the log of a job. It emits each line exactly once and in order, even if connections break. It is not safe for concurrent
// use.
type Log struct {
	c    *Client
	id   string
	seen int // number of lines that were emitted or skipped
	emit func(line string)
}

// NewLog returns a Log of a job that skips the first skip lines.
func (c *Client) NewLog(id string, skip int, emit func(line string)) *Log {
	return &Log{c: c, id: id, seen: skip, emit: emit}
}

// Seen returns the number of lines so far, including skipped ones.
func (l *Log) Seen() int { return l.seen }

// Rest emits the remaining lines of a job that has ended. It reads them from the log file, because Ray's tail lags behind by seconds.
func (l *Log) Rest(ctx context.Context, job Job) error {
	err := l.c.logFile(ctx, job, -1, l.read)
	if err == nil || Temporary(err) || ctx.Err() != nil {
		return err
	}
	text, err := l.c.Logs(ctx, l.id) // the state API is disabled, or an older one
	if err != nil {
		return err
	}
	return l.read(strings.NewReader(text))
}

// read reads a log from its start.
func (l *Log) read(r io.Reader) error {
	counter := &lineCounter{log: l}
	buf := bufio.NewReaderSize(r, 32<<10)
	chunk := make([]byte, 32<<10)
	for {
		n, err := buf.Read(chunk)
		counter.write(string(chunk[:n]))
		if errors.Is(err, io.EOF) {
			counter.close()
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// lineCounter splits a stream of a log, from its start, into lines, and emits those that its Log has not seen.
type lineCounter struct {
	log     *Log
	at      int             // number of lines in this stream
	partial strings.Builder // the current line
	dropped int             // number of bytes of the current line beyond lineBytes
	cr      bool            // whether the last byte was \r: a following \n belongs to the same line end
}

// write adds the next part of the stream.
func (k *lineCounter) write(text string) {
	for text != "" {
		if k.cr && text[0] == '\n' {
			text = text[1:]
		}
		k.cr = false
		end := strings.IndexAny(text, "\r\n")
		if end < 0 {
			k.keep(text)
			return
		}
		k.keep(text[:end])
		k.cr = text[end] == '\r'
		text = text[end+1:]
		k.line()
	}
}

// keep adds a text to the current line. It drops bytes beyond lineBytes instead of splitting the line, so that line numbers stay correct.
func (k *lineCounter) keep(text string) {
	if room := max(lineBytes-k.partial.Len(), 0); len(text) > room {
		k.dropped += len(text) - room
		text = text[:room]
	}
	k.partial.WriteString(text)
}

// line ends the current line.
func (k *lineCounter) line() {
	k.at++
	if k.at > k.log.seen {
		k.log.seen = k.at
		line := strings.ToValidUTF8(k.partial.String(), "\uFFFD")
		if k.dropped > 0 {
			line += fmt.Sprintf("... (%d more bytes)", k.dropped)
		}
		k.log.emit(line)
	}
	k.partial.Reset()
	k.dropped = 0
}

// close ends the stream. A last line without a line end counts as a line.
func (k *lineCounter) close() {
	if k.partial.Len() > 0 {
		k.line()
	}
}
