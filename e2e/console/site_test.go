package console_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rayorch/rayorch/internal/api"
	"github.com/rayorch/rayorch/internal/api/access"
	"github.com/rayorch/rayorch/internal/api/console"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/catalog"
	"github.com/rayorch/rayorch/internal/engine/home"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/task"
)

const prefix = "arn:aws:states:::test:"

// site is a server with a console in this process. Tests define what its Tasks do.
type site struct {
	*httptest.Server
	t   *testing.T
	eng *engine.Engine
	sfn *sfn.Client

	ahead atomic.Int64 // nanoseconds by which the engine's clocks are ahead

	mu   sync.Mutex
	jobs map[string]func(context.Context, *task.Request) task.Result
}

// serve starts a site. keys are its access keys; without keys, it needs no sign-in.
func serve(t *testing.T, keys access.Keys) *site {
	t.Helper()
	s := &site{t: t, jobs: map[string]func(context.Context, *task.Request) task.Result{}}
	var cat *catalog.Catalog
	began, later := time.Now(), func() time.Duration { return time.Duration(s.ahead.Load()) }
	quiet := slog.New(slog.DiscardHandler)
	eng, err := engine.Open(context.Background(), engine.Config{
		Dir: "state", FS: vfs.NewMem(), Logger: quiet, Now: func() time.Time { return time.Now().Add(later()) },
		Uptime: func() time.Duration { return time.Since(began) + later() }, Runners: map[string]task.Runner{prefix: s, "arn:aws:states:::ray:": s}, LogBytes: 32 << 20,
		Machines: func(st *store.Store) engine.Machines {
			var err error
			if cat, err = catalog.Open(catalog.Config{Docs: st}); err != nil {
				t.Fatal(err)
			}
			return api.Machines(cat)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	closing := make(chan struct{})
	con := console.New(console.Config{Keys: keys, Open: len(keys) == 0, Version: "test"})
	s.eng = eng
	s.Server = httptest.NewServer(api.New(api.Config{
		Engine: eng, Catalog: cat, Logger: quiet, Keys: keys, Console: con, Session: con.Caller, Closing: closing, Version: "test",
	}))
	s.sfn = client(s.URL, keys)
	t.Cleanup(func() {
		close(closing)
		s.CloseClientConnections()
		s.Close()
		if err := eng.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// client returns a Step Functions client that uses one of the keys.
func client(url string, keys access.Keys) *sfn.Client {
	creds := credentials.NewStaticCredentialsProvider("any", "any", "")
	for id, key := range keys {
		creds = credentials.NewStaticCredentialsProvider(id, key.Secret, "")
	}
	return sfn.New(sfn.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(url), Credentials: creds,
		HTTPClient: &http.Client{Transport: home.OwnBody(http.DefaultTransport)},
	})
}

// Run runs the function that the test defined for the state. It makes a site a task.Runner.
func (s *site) Run(ctx context.Context, req *task.Request) task.Result {
	s.mu.Lock()
	job := s.jobs[req.State]
	s.mu.Unlock()
	if job == nil {
		return task.Result{Output: []byte(`{"done": true}`)}
	}
	return job(ctx, req)
}

// on defines what the Task of a state does.
func (s *site) on(state string, job func(context.Context, *task.Request) task.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs[state] = job
}

// gate is a Task whose attempts end when the test calls finish.
type gate struct {
	*site
	state string
	begun chan *task.Request
	end   chan task.Result
}

// gated makes the Task of a state wait: next returns each attempt when it begins, and finish ends it.
func (s *site) gated(state string) gate {
	g := gate{s, state, make(chan *task.Request, 100), make(chan task.Result)}
	s.on(state, func(ctx context.Context, req *task.Request) task.Result {
		_ = req.Submitted(fmt.Appendf(nil, `{"SubmissionId":"sub-%s-%d","Address":"http://127.0.0.1:8265"}`, strings.ToLower(req.State), req.Attempt))
		g.begun <- req
		select {
		case r := <-g.end:
			return r
		case <-ctx.Done():
			return task.Result{Stopped: "nothing is left <b>of it</b>"}
		}
	})
	return g
}

// next waits until an attempt begins, and returns its request.
func (g gate) next() *task.Request {
	g.t.Helper()
	select {
	case req := <-g.begun:
		return req
	case <-time.After(patience):
		g.t.Fatalf("state %s did not begin within %s: %s", g.state, patience, g.standing())
		return nil
	}
}

// finish ends a waiting attempt with a result.
func (g gate) finish(result task.Result) {
	g.t.Helper()
	give(g.site, g.state, g.end, result)
}

// give sends a value to the Task of a state, which waits for it.
func give[T any](s *site, state string, to chan<- T, value T) {
	s.t.Helper()
	select {
	case to <- value:
	case <-time.After(patience):
		s.t.Fatalf("the task of state %s did not receive a value within %s: %s", state, patience, s.standing())
	}
}

// standing describes the newest executions, for failure messages.
func (s *site) standing() string {
	var b strings.Builder
	found, err := s.eng.List(engine.ListFilter{Limit: 10})
	for i := range found.Executions {
		x := &found.Executions[i]
		if full, err := s.eng.Describe(x.ARN); err == nil {
			x = &full
		}
		fmt.Fprintf(&b, "\n%s: %s, %d events, %s %s", x.ARN, x.Status, x.LastEventID, x.Error, x.Cause)
	}
	return fmt.Sprint("executions: ", b.String(), err)
}

// machine creates a state machine and returns its ARN.
func (s *site) machine(name, definition string) string {
	s.t.Helper()
	out, err := s.sfn.CreateStateMachine(s.t.Context(), &sfn.CreateStateMachineInput{
		Name: aws.String(name), Definition: aws.String(definition), RoleArn: aws.String("arn:aws:iam::123456789012:role/r"),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return aws.ToString(out.StateMachineArn)
}

func (s *site) start(machine, name, input string) string {
	s.t.Helper()
	out, err := s.sfn.StartExecution(s.t.Context(), &sfn.StartExecutionInput{
		StateMachineArn: aws.String(machine), Name: aws.String(name), Input: aws.String(input),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return aws.ToString(out.ExecutionArn)
}

// ended waits for the end of an execution, and returns it.
func (s *site) ended(arn string) engine.Execution {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	if _, err := s.eng.Watch(ctx, arn, 1<<40); err != nil {
		s.t.Fatalf("wait for the end of %s: %v: %s", arn, err, s.standing())
	}
	x, err := s.eng.Describe(arn)
	if err != nil {
		s.t.Fatal(err)
	}
	return x
}

// object is a JSON object, so that tests can write definitions in Go.
type object map[string]any

func text(v any) string {
	out, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(out)
}

// work returns a Task state with the given next state, or the last state if next is empty. more contains additional fields.
func work(next string, more ...object) object {
	o := object{"Type": "Task", "Resource": prefix + "job.sync", "Parameters": object{}}
	if next == "" {
		o["End"] = true
	} else {
		o["Next"] = next
	}
	for _, m := range more {
		for k, v := range m {
			o[k] = v
		}
	}
	return o
}

func machine(start string, states object) string {
	return text(object{"StartAt": start, "States": states})
}

var succeed = `{"StartAt":"done","States":{"done":{"Type":"Succeed"}}}`

// printLines writes n lines in large blocks.
func printLines(w io.Writer, n int, line func(int) string) {
	var b strings.Builder
	for i := range n {
		b.WriteString(line(i) + "\n")
		if b.Len() > 1<<16 || i == n-1 {
			_, _ = io.WriteString(w, b.String())
			b.Reset()
		}
	}
}

var taskDone = task.Result{Output: []byte(`{"done": true}`)}

// bare starts a console in front of only the Step Functions API of this site, without rayorch's own endpoints, and returns its URL.
func (s *site) bare(t *testing.T) string {
	t.Helper()
	at, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	sign := v4.NewSigner()
	creds := aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}
	up := console.Upstream{URL: at, Sign: func(r *http.Request, body []byte) error {
		sum := sha256.Sum256(body)
		return sign.SignHTTP(r.Context(), creds, r, hex.EncodeToString(sum[:]), "states", "us-east-1", time.Now())
	}}
	front := httptest.NewServer(console.New(console.Config{Open: true, Where: "AWS us-east-1"}).Front(api.Guard{}.Check, up))
	t.Cleanup(func() { front.CloseClientConnections(); front.Close() })
	return front.URL
}
