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
	// maxBody is the maximum size of a request in bytes. AWS's limit for a definition is 1 MiB, which JSON escapes can multiply.
	maxBody = 6 << 20
)

// actionName returns the name of the action that a request calls.
func actionName(r *http.Request) string {
	name, _ := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	return name
}

// call is a request in progress. Its buffers are pooled.
type call struct {
	w    http.ResponseWriter
	body []byte // of the request
	out  []byte // of the response
}

var calls = sync.Pool{New: func() any { return &call{body: make([]byte, 0, 4096), out: make([]byte, 0, 4096)} }}

// keepBuffer is the maximum size of a buffer that returns to the pool, in bytes.
const keepBuffer = 1 << 16

// newCall takes a call from the pool. At thousands of requests per second, buffers would be most of the garbage.
func newCall(w http.ResponseWriter) *call {
	c := calls.Get().(*call)
	c.w, c.body, c.out = w, c.body[:0], c.out[:0]
	return c
}

// release returns the buffers to the pool. The call and its body must not be used after that.
func (c *call) release() {
	if cap(c.body) <= keepBuffer && cap(c.out) <= keepBuffer {
		c.w = nil
		calls.Put(c)
	}
}

// read reads the body of the request.
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
			if errors.Is(err, limit.ErrBusy) { // SDKs retry this
				return &fault{"ThrottlingException", err.Error(), http.StatusServiceUnavailable}
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return &fault{"RequestTimeoutException", "the request body did not arrive in time", http.StatusRequestTimeout}
			}
			return refusal("SerializationException", "the request body could not be read")
		}
	}
}

// parseBody parses the body. As on AWS, an empty body is an empty object.
func parseBody(body []byte) (*value.Object, error) {
	if len(body) == 0 {
		return &value.Object{}, nil
	}
	o, err := value.ParseObject(body)
	if err != nil {
		return nil, refusal("SerializationException", "the request body must be a JSON object: "+err.Error())
	}
	return o, nil
}

// send writes the response in one piece. It sets Content-Length, so that net/http does not use chunked encoding.
func (c *call) send(status int) {
	h := c.w.Header()
	h["Content-Type"] = []string{contentType}
	h["X-Amzn-Requestid"] = []string{requestID()}
	h["Content-Length"] = []string{strconv.Itoa(len(c.out))}
	c.w.WriteHeader(status)
	_, _ = c.w.Write(c.out) // fails only if the client has disconnected
}

func (c *call) answer(out *value.Object) {
	c.out = value.Append(c.out, out)
	c.send(http.StatusOK)
}

// refuse answers with an error in the form of AWS JSON 1.0. SDKs read the code from __type or from the header.
func (c *call) refuse(f *fault) {
	c.out = append(c.out, `{"__type":`...)
	c.out = value.AppendString(c.out, f.Code)
	c.out = append(c.out, `,"message":`...)
	c.out = value.AppendString(c.out, f.Message)
	c.out = append(c.out, '}')
	c.w.Header()["X-Amzn-Errortype"] = []string{f.Code}
	c.send(f.Status)
}

// requestID returns a random UUID. Request ids need not be unpredictable, so the faster generator is sufficient.
func requestID() string {
	var id uuid.UUID
	binary.LittleEndian.PutUint64(id[:8], rand.Uint64()) //nolint:gosec // not a secret
	binary.LittleEndian.PutUint64(id[8:], rand.Uint64()) //nolint:gosec // not a secret
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id.String()
}

// The following functions return members of an input whose types the action's shape has checked. A member that is absent or null
// is the zero value.

func text(in *value.Object, name string) string {
	v, _ := in.Get(name)
	s, _ := v.(string)
	return s
}

// textPtr returns a string member, nil if it is absent or null.
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
