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

// keySent is the record that a request was about to be sent: a former process may have had it done.
const keySent = "eks.sent"

// caller is one run of eks:call.
type caller struct {
	client  *kube.Client
	req     *task.Request
	request kube.Request
	// sent tells that the request may have arrived before.
	sent bool
}

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
	answer, err := c.do(ctx)
	r.logs.observe(c.client, req, c.request, answer.Body, err)
	if err != nil {
		return r.failed(c.client, err)
	}
	return task.Result{Output: join(`{"ResponseBody":`, bodyJSON(answer.Body), `}`)}
}

// do repeats what got no answer, where that can do no harm. What the server answers is for the definition to judge: it may
// come from a service behind the server.
func (c *caller) do(ctx context.Context) (answer kube.Response, err error) {
	creates := c.creates()
	if creates {
		c.mark()
	}
	if c.request.Method == http.MethodPost && !c.sent {
		if err := c.req.Keep(keySent, []byte("{}")); err != nil {
			return answer, err
		}
	}
	err = kube.Retry(ctx, func(ctx context.Context) (err error) {
		answer, err = c.client.Do(ctx, c.request)
		switch {
		case err == nil:
			return nil
		case creates && c.sent && kube.StatusReason(err) == "AlreadyExists":
			answer, err = c.created(ctx, err)
			return final(err)
		case kube.Code(err) != 0:
			return final(err)
		case c.request.Method == http.MethodPost && !notSent(err):
			c.sent = true
			if !creates {
				return final(err) // nobody can tell whether it was done
			}
		}
		return err
	})
	var last *finalError
	if errors.As(err, &last) {
		err = last.error
	}
	return answer, err
}

// finalError is not tried again, whatever it is.
type finalError struct{ error }

func final(err error) error {
	if err == nil {
		return nil
	}
	return &finalError{err}
}

// notSent tells of a request that cannot have arrived, as there was no connection.
func notSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// creates tells that the call makes an object with a name, which can be told from another's of that name.
func (c *caller) creates() bool {
	if c.request.Method != http.MethodPost || strings.Contains(c.request.Path, "/proxy") || len(c.request.Query["fieldManager"]) > 0 {
		return false
	}
	return c.name() != ""
}

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

// mark names this attempt as the one that creates the object.
func (c *caller) mark() {
	query := url.Values{"fieldManager": {manager(c.req)}}
	for key, values := range c.request.Query {
		query[key] = values
	}
	c.request.Query = query
}

// created reads the object that is there, which may be what this attempt made before: then it is the answer.
func (c *caller) created(ctx context.Context, exists error) (kube.Response, error) {
	path := strings.TrimSuffix(c.request.Path, "/") + "/" + url.PathEscape(c.name())
	answer, err := c.client.Do(ctx, kube.Request{Path: path})
	if err != nil {
		return answer, err
	}
	var o struct{ Metadata kube.Meta }
	if json.Unmarshal(answer.Body, &o) != nil || !madeBy(o.Metadata, manager(c.req)) {
		return answer, exists
	}
	return answer, nil
}

// bodyJSON is a body as JSON: what is no JSON is a string.
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

// answerJSON is the Cause of a call that the server refused.
func answerJSON(res kube.Response) string {
	const most = 24 << 10 // a Cause may have 32,768 characters
	body := bodyJSON(res.Body)
	if len(body) > most {
		body = quote(strings.ToValidUTF8(string(res.Body[:min(len(res.Body), most/2)]), ""))
	}
	return string(join(`{"ResponseBody":`, body, `,"StatusCode":`, number(res.Status), `,"StatusText":`, quote(res.StatusText), `}`))
}
