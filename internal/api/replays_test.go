package api_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rayorch/rayorch/internal/api"
	"github.com/rayorch/rayorch/internal/api/access"
)

// signing has the parameters of a signature. The zero value is a valid signature of an SDK, of the current time.
type signing struct {
	secret, region, service string
	at                      time.Time
	header                  map[string]string
}

// signed returns a request that is signed with the key AKID.
func signed(t *testing.T, url, action, body string, s signing) *http.Request {
	t.Helper()

	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "AWSStepFunctions."+action)
	for name, v := range s.header {
		r.Header.Set(name, v)
	}
	if s.at.IsZero() {
		s.at = time.Now()
	}
	hash := sha256.Sum256([]byte(body))
	creds := aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: cmp.Or(s.secret, "secret")}
	err = v4.NewSigner().SignHTTP(t.Context(), creds, r, hex.EncodeToString(hash[:]), cmp.Or(s.service, "states"),
		cmp.Or(s.region, "us-east-1"), s.at)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// send sends a copy of a request, so that it can send the same request several times.
func send(t *testing.T, r *http.Request) (status int, body string) {
	t.Helper()
	again := r.Clone(t.Context())
	again.Body, _ = r.GetBody()
	return do(t, again)
}

// passes creates a state machine, and returns the input of StartExecution for it.
func passes(t *testing.T, url string) string {
	t.Helper()
	m, err := sdkClient(url, "AKID", "secret").CreateStateMachine(t.Context(), &sfn.CreateStateMachineInput{
		Name: aws.String("m"), Definition: aws.String(passMachine), RoleArn: aws.String("arn:aws:iam::123456789012:role/r"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return `{"stateMachineArn":"` + *m.StateMachineArn + `"}`
}

// executions counts the executions of the state machine of passes.
func executions(t *testing.T, url string) int {
	t.Helper()
	status, body := send(t, signed(t, url, "ListExecutions", `{"stateMachineArn":"arn:aws:states:us-east-1:123456789012:stateMachine:m"}`, signing{}))
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	return strings.Count(body, `"executionArn"`)
}

const invocation = "amz-sdk-invocation-id"

// A replayed StartExecution without a name starts no second execution. Separate calls with the same signature start one each.
func TestReplays(t *testing.T) {
	offset := time.Duration(0)
	later := func(d time.Duration) { offset += d }
	url := newServer(t, "123456789012", func(c *api.Config) {
		c.Keys, c.Now = access.Keys{"AKID": {Secret: "secret", Role: access.Admin}}, func() time.Time { return time.Now().Add(offset) }
	}).URL
	start := passes(t, url)
	want := 0
	sends := func(what string, r *http.Request, ok bool) {
		t.Helper()
		status, body := send(t, r)
		if ok {
			want++
		}
		if (status == http.StatusOK) != ok || !ok && (status != http.StatusForbidden || !strings.Contains(body, "InvalidSignatureException")) {
			t.Errorf("%s: %d %s", what, status, body)
		}
		if got := executions(t, url); got != want {
			t.Fatalf("%s: %d executions, want %d", what, got, want)
		}
	}

	plain := signed(t, url, "StartExecution", start, signing{})
	sends("without an id", plain, true)
	sends("without an id, replayed", plain, false)
	plain.Header.Set(invocation, "made-up")
	sends("without an id, replayed with one", plain, false)

	// boto3 does not sign the id: two calls in the same second have the same signature.
	now := time.Now().Add(time.Second)
	boto := func(id string) *http.Request {
		r := signed(t, url, "StartExecution", start, signing{at: now})
		r.Header.Set(invocation, id)
		return r
	}
	sends("boto3's first call", boto("1"), true)
	sends("boto3's second call in the same second", boto("2"), true)
	sends("boto3's first call, replayed", boto("1"), false)
	sends("boto3's second call, replayed", boto("2"), false)
	later(4 * time.Minute)
	sends("boto3's call, replayed later", boto("1"), false)
	sends("boto3's call, replayed later with another id", boto("3"), false)
	later(-4 * time.Minute)

	// The SDK for Go signs the id.
	sdk := signed(t, url, "StartExecution", start, signing{header: map[string]string{invocation: "a"}})
	sends("the SDK for Go's call", sdk, true)
	sends("the SDK for Go's call, replayed", sdk, false)
	sdk.Header.Set(invocation, "b")
	sends("the SDK for Go's call, replayed with another id", sdk, false)

	c := sdkClient(url, "AKID", "secret")
	for range 3 {
		want++
		if _, err := c.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: aws.String("arn:aws:states:us-east-1:123456789012:stateMachine:m")}); err != nil {
			t.Error(err)
		}
	}
	if got := executions(t, url); got != want {
		t.Errorf("%d executions, want %d", got, want)
	}

	read := signed(t, url, "ListStateMachines", "{}", signing{})
	for range 2 { // clients that poll send the same request several times in a second
		if status, body := send(t, read); status != http.StatusOK {
			t.Errorf("read: %d %s", status, body)
		}
	}
}

// A request that was not carried out can be sent again with the same signature, as SDKs do when they retry within a second.
func TestRetriesAreNotReplays(t *testing.T) {
	url := signedServer(t)
	create := signed(t, url, "StartExecution", `{"stateMachineArn":"arn:aws:states:us-east-1:123456789012:stateMachine:m"}`, signing{})
	for range 2 {
		if status, body := send(t, create); status != http.StatusBadRequest || !strings.Contains(body, "StateMachineDoesNotExist") {
			t.Errorf("%d %s", status, body)
		}
	}
}

// After a restart, the server rejects all signatures from before the restart, because it no longer knows which were used.
func TestReplaysAfterRestart(t *testing.T) {
	fs := vfs.NewMem()
	offset := time.Duration(0)
	open := func(t *testing.T) string {
		return newServerIn(t, "state", fs, "123456789012", func(c *api.Config) {
			c.Keys, c.Now = access.Keys{"AKID": {Secret: "secret", Role: access.Admin}}, func() time.Time { return time.Now().Add(offset) }
		}).URL
	}
	var recorded *http.Request
	t.Run("before", func(t *testing.T) {
		url := open(t)
		recorded = signed(t, url, "StartExecution", passes(t, url), signing{header: map[string]string{invocation: "a"}})
		if status, body := send(t, recorded); status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
	})
	offset = time.Minute
	t.Run("after", func(t *testing.T) {
		url := open(t)
		again := recorded.Clone(context.Background())
		again.URL.Host = strings.TrimPrefix(url, "http://") // the Host header is unchanged
		if status, body := send(t, again); status != http.StatusForbidden || !strings.Contains(body, "Signature expired") {
			t.Errorf("%d %s", status, body)
		}
		offset = 0
		if got := executions(t, url); got != 1 {
			t.Errorf("%d executions", got)
		}
	})
}

// The scope of a signature must match the request.
func TestScope(t *testing.T) {
	url := signedServer(t)
	now := time.Now().UTC()
	for _, c := range []struct {
		name     string
		sign     signing
		date     time.Time // of X-Amz-Date, if it differs from sign.at
		status   int
		contains string
	}{
		{"default", signing{}, time.Time{}, 200, ""},
		{"another AWS region", signing{region: "eu-central-1"}, time.Time{}, 200, ""},
		{"custom region", signing{region: "on-prem"}, time.Time{}, 200, ""},
		{"region with slashes", signing{region: "a/../b"}, time.Time{}, 403, "incomplete"},
		{"invalid region", signing{region: "US East"}, time.Time{}, 403, "Credential should be scoped to a valid region, not 'US East'. "},
		{"another service", signing{service: "s3"}, time.Time{}, 403, "Credential should be scoped to correct service: 'states'. "},
		{"another day", signing{at: now.AddDate(0, 0, -1)}, now, 403, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '" +
			now.AddDate(0, 0, -1).Format("20060102") + "' != '" + now.Format("20060102") + "', from '" + now.Format("20060102T150405Z") + "'."},
		{"yesterday", signing{at: now.AddDate(0, 0, -1)}, time.Time{}, 403, "Signature expired"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := signed(t, url, "ListStateMachines", "{}", c.sign)
			if !c.date.IsZero() {
				r.Header.Set("X-Amz-Date", c.date.Format("20060102T150405Z"))
			}
			if status, body := send(t, r); status != c.status || !strings.Contains(body, c.contains) {
				t.Errorf("got %d %s, want %d %s", status, body, c.status, c.contains)
			}
		})
	}
}
