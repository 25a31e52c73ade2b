package api

import (
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/rayorch/rayorch/internal/api/limit"
	"github.com/rayorch/rayorch/internal/value"
)

const (
	contentType  = "application/x-amz-json-1.0"
	targetPrefix = "AWSStepFunctions."
	// maxBody is what AWS takes, 1 MiB, and room for the escapes that a definition of that size needs in JSON.
	maxBody = 6 << 20
)

// actionName is the action that a request asks for.
func actionName(r *http.Request) string {
	name, _ := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	return name
}

// call is a request being answered: its buffers are used again.
type call struct {
	w    http.ResponseWriter
	body []byte
	out  []byte
}

var calls = sync.Pool{New: func() any { return &call{body: make([]byte, 0, 4096), out: make([]byte, 0, 4096)} }}

// keepBuffer is the size above which a buffer is not kept for the next request.
const keepBuffer = 1 << 16

// newCall takes buffers from the pool: at thousands of requests a second they are most of the garbage.
func newCall(w http.ResponseWriter) *call {
	c := calls.Get().(*call)
	c.w, c.body, c.out = w, c.body[:0], c.out[:0]
	return c
}

// release gives the buffers back; nothing of the request may be used afterwards.
func (c *call) release() {
	if cap(c.body) <= keepBuffer && cap(c.out) <= keepBuffer {
		c.w = nil
		calls.Put(c)
	}
}

// read takes the body in.
func (c *call) read(r *http.Request) error {
	if r.ContentLength > maxBody {
		return &fault{"RequestEntityTooLargeException", "the request is too large", http.StatusRequestEntityTooLarge}
	}
	body := http.MaxBytesReader(c.w, r.Body, maxBody)
	for {
		if len(c.body) == cap(c.body) {
			c.body = append(c.body, 0)[:len(c.body)]
		}
		n, err := body.Read(c.body[len(c.body):cap(c.body)])
		c.body = c.body[:len(c.body)+n]
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			var large *http.MaxBytesError
			if errors.As(err, &large) {
				return &fault{"RequestEntityTooLargeException", "the request is too large", http.StatusRequestEntityTooLarge}
			}
			if errors.Is(err, limit.ErrBusy) { // SDKs try again
				return &fault{"ThrottlingException", err.Error(), http.StatusServiceUnavailable}
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return &fault{"RequestTimeoutException", "the request's body did not arrive in time", http.StatusRequestTimeout}
			}
			return refusal("SerializationException", "the request's body could not be read")
		}
	}
}

// parseBody takes an empty body for an empty object, as AWS does.
func parseBody(body []byte) (*value.Object, error) {
	if len(body) == 0 {
		return &value.Object{}, nil
	}
	o, err := value.ParseObject(body)
	if err != nil {
		return nil, refusal("SerializationException", "the request's body must be a JSON object: "+err.Error())
	}
	return o, nil
}

// header sends everything in one write: the length is known, so that nothing is chunked.
func (c *call) header(status int) {
	h := c.w.Header()
	h["Content-Type"] = []string{contentType}
	h["X-Amzn-Requestid"] = []string{requestID()}
	h["Content-Length"] = []string{strconv.Itoa(len(c.out))}
	c.w.WriteHeader(status)
	_, _ = c.w.Write(c.out) // the client is gone when this fails
}

func (c *call) answer(out *value.Object) {
	c.out = value.Append(c.out, out)
	c.header(http.StatusOK)
}

// refuse answers in the form of AWS JSON 1.0: SDKs take the code from __type, some from the header.
func (c *call) refuse(f *fault) {
	c.out = append(c.out, `{"__type":`...)
	c.out = value.AppendString(c.out, f.Code)
	c.out = append(c.out, `,"message":`...)
	c.out = value.AppendString(c.out, f.Message)
	c.out = append(c.out, '}')
	c.w.Header()["X-Amzn-Errortype"] = []string{f.Code}
	c.header(f.Status)
}

// requestID is a UUID; it is no secret, so the quick generator will do.
func requestID() string {
	var id uuid.UUID
	binary.LittleEndian.PutUint64(id[:8], rand.Uint64()) //nolint:gosec // it is no secret
	binary.LittleEndian.PutUint64(id[8:], rand.Uint64()) //nolint:gosec // it is no secret
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id.String()
}

// Readers of a checked input: what is absent, or null, is the type's zero.

func text(in *value.Object, name string) string {
	v, _ := in.Get(name)
	s, _ := v.(string)
	return s
}

// given is a pointer to a text, nil when it is absent.
func textPtr(in *value.Object, name string) *string {
	v, _ := in.Get(name)
	if s, ok := v.(string); ok {
		return &s
	}
	return nil
}

func integer(in *value.Object, name string) int64 {
	v, _ := in.Get(name)
	n, _ := v.(value.Number)
	i, _ := n.Int64()
	return i
}

func flag(in *value.Object, name string) bool {
	v, _ := in.Get(name)
	b, _ := v.(bool)
	return b
}

func object(in *value.Object, name string) *value.Object {
	v, _ := in.Get(name)
	o, _ := v.(*value.Object)
	return o
}

func list(in *value.Object, name string) []any {
	v, _ := in.Get(name)
	items, _ := v.([]any)
	return items
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
