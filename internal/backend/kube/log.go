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

// LogOptions select a part of a container's log.
type LogOptions struct {
	Follow     bool
	Timestamps bool
	Previous   bool      // the log of the container before its last restart
	TailLines  int       // 0 for all
	LimitBytes int       // 0 for all
	SinceTime  time.Time // zero for all
	// Parameters are further query parameters of the API, such as the LogParameters of Step Functions.
	Parameters map[string][]string
}

// PodLog returns the log of a container. container may be "" if the pod has only one. The caller must close the log.
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

// Line is a line of a log with timestamps.
type Line struct {
	At   time.Time
	Text string
}

// ParseLine splits a line into its timestamp and its text. The time is zero if there is no timestamp, as in messages of the
// kubelet.
func ParseLine(line string) Line {
	stamp, rest, _ := strings.Cut(line, " ")
	if at, err := time.Parse(time.RFC3339Nano, stamp); err == nil {
		return Line{At: at, Text: rest}
	}
	return Line{Text: line}
}

// longLine is the length in bytes at which EachLine splits a line.
const longLine = 1 << 20

// EachLine calls see with each line of a log until the log ends. If reading fails, it omits the incomplete last line, because a
// caller that resumes reading gets the complete line.
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
