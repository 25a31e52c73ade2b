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

// lineBytes bounds one line of a log; of a longer one its size is said in place of the rest. It is more than Ray's own line with
// an entrypoint can have, which is one argument.
const lineBytes = 1 << 20

// Logs reads a job's whole log, "" before Ray has run the driver. For long logs Lines is the better one.
func (c *Client) Logs(ctx context.Context, id string) (string, error) {
	var answer struct {
		Logs string `json:"logs"`
	}
	err := c.do(ctx, call{
		op: "read the job's log", method: http.MethodGet, path: jobPath(id) + "/logs", timeout: submitTimeout,
		read: decodeInto(&answer),
	})
	return answer.Logs, err
}

// LastLines reads the last n lines of a job's log without the rest, at most 1 MiB. It is nil before Ray has placed the
// driver on a node, and for a job that never was.
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

// readEnd reads to the end and gives the last bytes, at least n where there are so many.
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

// logFile reads the driver's log from its node; n is the number of last lines, -1 all.
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

func splitLines(text string) []string {
	text = strings.TrimSuffix(universal.Replace(strings.ToValidUTF8(text, "\uFFFD")), "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// LinesOf are the lines of a text as a Log passes them on.
func LinesOf(text string) []string {
	var lines []string
	l := &Log{emit: func(line string) { lines = append(lines, line) }}
	k := &lineCounter{log: l}
	k.write(text)
	k.close()
	return lines
}

// universal makes of every line end what Ray's own tail, which reads in Python's text mode, makes of it; so lines can be
// counted in the tail and in the file alike.
var universal = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// Log follows one job's log, each line once and in order, whatever breaks between. It belongs to one goroutine.
type Log struct {
	c    *Client
	id   string
	seen int
	emit func(line string)
}

// NewLog follows the log of a job from the line after the first skip ones.
func (c *Client) NewLog(id string, skip int, emit func(line string)) *Log {
	return &Log{c: c, id: id, seen: skip, emit: emit}
}

// Seen counts the lines so far, the skipped ones included.
func (l *Log) Seen() int { return l.seen }

// Rest reads what a job that has ended printed beyond the lines seen, from its file: Ray's tail lags by seconds.
func (l *Log) Rest(ctx context.Context, job Job) error {
	err := l.c.logFile(ctx, job, -1, l.read)
	if err == nil || Temporary(err) || ctx.Err() != nil {
		return err
	}
	text, err := l.c.Logs(ctx, l.id) // the state API is off, or older
	if err != nil {
		return err
	}
	return l.read(strings.NewReader(text))
}

// read takes a log from its start.
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

// lineCounter cuts one reading of a log, from its start, into lines, and passes on those that its Log has not seen.
type lineCounter struct {
	log     *Log
	at      int
	partial strings.Builder
	dropped int  // bytes of the line beyond lineBytes
	cr      bool // the last byte was \r: a \n after it ends no line of its own
}

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

// keep holds the start of a line. What a line has beyond lineBytes is dropped, so that counting stays right.
func (k *lineCounter) keep(text string) {
	if room := max(lineBytes-k.partial.Len(), 0); len(text) > room {
		k.dropped += len(text) - room
		text = text[:room]
	}
	k.partial.WriteString(text)
}

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

// close takes an unfinished last line for a whole one.
func (k *lineCounter) close() {
	if k.partial.Len() > 0 {
		k.line()
	}
}
