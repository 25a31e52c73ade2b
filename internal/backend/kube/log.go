package kube

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// LogOptions say what of a container's log is read.
type LogOptions struct {
	Follow     bool
	Timestamps bool
	Previous   bool // of the container before its last restart
	TailLines  int  // 0 for all
	LimitBytes int  // 0 for all
	SinceTime  time.Time
	// Parameters are further ones of the API, as Step Functions' LogParameters are.
	Parameters map[string][]string
}

// PodLog reads a container's log; container may be "" where the pod has one. The caller closes it.
func (c *Client) PodLog(ctx context.Context, namespace, pod, container string, o LogOptions) (io.ReadCloser, error) {
	query := url.Values{}
	for key, values := range o.Parameters {
		query[key] = values
	}
	set := func(on bool, key, v string) {
		if on {
			query.Set(key, v)
		}
	}
	set(container != "", "container", container)
	set(o.Follow, "follow", "true")
	set(o.Timestamps, "timestamps", "true")
	set(o.Previous, "previous", "true")
	set(o.TailLines > 0, "tailLines", strconv.Itoa(o.TailLines))
	set(o.LimitBytes > 0, "limitBytes", strconv.Itoa(o.LimitBytes))
	set(!o.SinceTime.IsZero(), "sinceTime", o.SinceTime.UTC().Format(time.RFC3339))
	return c.Stream(ctx, Request{Path: ObjectPath("v1", namespace, "pods", pod) + "/log", Query: query})
}

// Line is one line of a log that carries timestamps.
type Line struct {
	At   time.Time
	Text string
}

// ParseLine takes the timestamp off. A line without one has a zero time: the kubelet's own messages are such lines.
func ParseLine(line string) Line {
	stamp, rest, _ := strings.Cut(line, " ")
	if at, err := time.Parse(time.RFC3339Nano, stamp); err == nil {
		return Line{At: at, Text: rest}
	}
	return Line{Text: line}
}

// longLine is where a line is cut in pieces.
const longLine = 1 << 20

// EachLine hands the lines of a log to see until the log ends. Of a log that breaks off the last line may be a piece: it is
// left out, for whoever reads on gets it whole.
func EachLine(log io.Reader, see func(line string)) error {
	lines := bufio.NewReaderSize(log, 64<<10)
	var line []byte
	for {
		piece, err := lines.ReadSlice('\n')
		line = append(line, piece...)
		full := errors.Is(err, bufio.ErrBufferFull)
		if full && len(line) < longLine {
			continue
		}
		if err != nil && !full && !errors.Is(err, io.EOF) {
			return err
		}
		if len(line) > 0 {
			see(strings.TrimSuffix(string(line), "\n"))
			line = line[:0]
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
	}
}
