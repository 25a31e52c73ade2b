package ekstask

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task"
)

// keySent is the key of a record that is stored before a POST request is sent: a request of a previous rayorch process may have been
// executed.
const keySent = "eks.sent"

// caller is one attempt of eks:call.
type caller struct {
	client  *kube.Client
	req     *task.Request
	request kube.Request
	sent    bool // whether the server may already have received the request
}

// call sends a request to the API server and returns the response.
func (r *Runner) call(ctx context.Context, req *task.Request) task.Result {
	args, err := parseCall(req.Input)
	if err != nil {
		return task.Fail(stepfn.StatesRuntime, err.Error())
	}
	body, contentType, err := args.body()
	if err != nil {
		return task.Fail(stepfn.StatesRuntime, "the argument RequestBody of eks:call: "+err.Error())
	}
	c := &caller{req: req}
	if c.client, err = r.client(req, &args.target); err != nil {
		return task.Failure(err, stepfn.EKSClusterNotFound)
	}
	c.request = kube.Request{
		Method: args.Method, Path: args.Path, Query: url.Values(args.QueryParameters), Body: body, ContentType: contentType,
	}
	_, c.sent = req.Records[keySent]
	ctx, cancel := context.WithTimeout(ctx, r.cfg.CallGrace)
	defer cancel()
	response, err := c.do(ctx)
	r.logs.observe(c.client, req, c.request, response.Body, err)
	if err != nil {
		return r.failed(c.client, err)
	}
	return task.Result{Output: join(`{"ResponseBody":`, bodyJSON(response.Body), `}`)}
}

// do sends the request. If there is no response, it retries unless the request could then be executed twice. It does not retry after an
// error response: that may come from a service behind the API server, and the definition decides what it means.
func (c *caller) do(ctx context.Context) (response kube.Response, err error) {
	creates := c.creates()
	if creates {
		c.mark()
	}
	if c.request.Method == http.MethodPost && !c.sent {
		if err := c.req.Keep(keySent, []byte("{}")); err != nil {
			return response, err
		}
	}
	err = kube.Retry(ctx, func(ctx context.Context) (err error) {
		response, err = c.client.Do(ctx, c.request)
		switch {
		case err == nil:
			return nil
		case creates && c.sent && kube.StatusReason(err) == "AlreadyExists":
			response, err = c.created(ctx, err)
			return final(err)
		case kube.Code(err) != 0:
			return final(err)
		case c.request.Method == http.MethodPost && !notSent(err):
			c.sent = true
			if !creates {
				return final(err) // it is unknown whether the server has executed the request
			}
		}
		return err
	})
	var last *finalError
	if errors.As(err, &last) {
		err = last.error
	}
	return response, err
}

// finalError wraps an error after which kube.Retry must not retry.
type finalError struct{ error }

// final wraps err in a finalError. It returns nil if err is nil.
func final(err error) error {
	if err == nil {
		return nil
	}
	return &finalError{err}
}

// notSent reports whether the server cannot have received the request, because no connection was established.
func notSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// creates reports whether the call creates an object with a name. Such a call can be retried, because the object's field manager shows
// which attempt created it. A call that sets fieldManager itself is not included.
func (c *caller) creates() bool {
	if c.request.Method != http.MethodPost || strings.Contains(c.request.Path, "/proxy") || len(c.request.Query["fieldManager"]) > 0 {
		return false
	}
	return c.name() != ""
}

// name returns the name of the object in the request body, or "" if there is none.
func (c *caller) name() string {
	var o struct {
		Kind     string
		Metadata struct{ Name string }
	}
	if json.Unmarshal(c.request.Body, &o) != nil || o.Kind == "" {
		return ""
	}
	return o.Metadata.Name
}

// mark sets the field manager of the request, which identifies this attempt as the creator of the object.
func (c *caller) mark() {
	query := url.Values{"fieldManager": {manager(c.req)}}
	for key, values := range c.request.Query {
		query[key] = values
	}
	c.request.Query = query
}

// created handles the response that the object already exists. If this attempt created the object with an earlier request, it returns the
// object, otherwise the error exists.
func (c *caller) created(ctx context.Context, exists error) (kube.Response, error) {
	path := strings.TrimSuffix(c.request.Path, "/") + "/" + url.PathEscape(c.name())
	response, err := c.client.Do(ctx, kube.Request{Path: path})
	if err != nil {
		return response, err
	}
	var o struct{ Metadata kube.Meta }
	if json.Unmarshal(response.Body, &o) != nil || !madeBy(o.Metadata, manager(c.req)) {
		return response, exists
	}
	return response, nil
}

// bodyJSON returns a response body as compact JSON. A body that is not JSON becomes a string.
func bodyJSON(body []byte) []byte {
	trimmed := bytes.TrimSpace(body)
	if json.Valid(trimmed) {
		var b bytes.Buffer
		if json.Compact(&b, trimmed) == nil {
			return b.Bytes()
		}
	}
	return quote(string(body))
}

// responseJSON returns the Cause for an error response, in the format of Step Functions. It shortens a long body.
func responseJSON(res kube.Response) string {
	const most = 24 << 10 // Step Functions allows 32,768 characters in a Cause
	body := bodyJSON(res.Body)
	if len(body) > most {
		body = quote(strings.ToValidUTF8(string(res.Body[:min(len(res.Body), most/2)]), ""))
	}
	return string(join(`{"ResponseBody":`, body, `,"StatusCode":`, number(res.Status), `,"StatusText":`, quote(res.StatusText), `}`))
}
