package api_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
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

// signing is how a test signs: by default, as an SDK with the right key would do it now.
type signing struct {
	secret, region, service string
	at                      time.Time
	header                  map[string]string
}

// signed is a request with the key AKID.
func signed(t *testing.T, url, action, body string, s signing) *http.Request {
	t.Helper()
	or := func(s, without string) string {
		if s == "" {
			return without
		}
		return s
	}
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
	creds := aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: or(s.secret, "secret")}
	err = v4.NewSigner().SignHTTP(t.Context(), creds, r, hex.EncodeToString(hash[:]), or(s.service, "states"), or(s.region, "us-east-1"), s.at)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// send sends a request, and another one like it when it is called again.
func send(t *testing.T, r *http.Request) (status int, body string) {
	t.Helper()
	again := r.Clone(t.Context())
	again.Body, _ = r.GetBody()
	resp, err := http.DefaultClient.Do(again)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

// passes makes a state machine and gives the input of StartExecution for it.
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

// executions counts those of the machine of passes.
func executions(t *testing.T, url string) int {
	t.Helper()
	status, body := send(t, signed(t, url, "ListExecutions", `{"stateMachineArn":"arn:aws:states:us-east-1:123456789012:stateMachine:m"}`, signing{}))
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	return strings.Count(body, `"executionArn"`)
}

const invocation = "amz-sdk-invocation-id"

// A StartExecution without a name that is sent again runs once; calls that only look alike run all.
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
	sends("without an id, sent again", plain, false)
	plain.Header.Set(invocation, "made-up")
	sends("without an id, sent again with one", plain, false)

	// boto3 signs no id: two calls in one second have one signature.
	now := time.Now().Add(time.Second)
	boto := func(id string) *http.Request {
		r := signed(t, url, "StartExecution", start, signing{at: now})
		r.Header.Set(invocation, id)
		return r
	}
	sends("boto3's first call", boto("1"), true)
	sends("boto3's second call in the same second", boto("2"), true)
	sends("boto3's first call, sent again", boto("1"), false)
	sends("boto3's second call, sent again", boto("2"), false)
	later(4 * time.Minute)
	sends("boto3's call, sent again later", boto("1"), false)
	sends("boto3's call, sent again later with another id", boto("3"), false)
	later(-4 * time.Minute)

	// The SDK for Go signs it.
	sdk := signed(t, url, "StartExecution", start, signing{header: map[string]string{invocation: "a"}})
	sends("the SDK for Go's call", sdk, true)
	sends("the SDK for Go's call, sent again", sdk, false)
	sdk.Header.Set(invocation, "b")
	sends("the SDK for Go's call, sent again with another id", sdk, false)

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
	for range 2 { // pollers read the same within a second
		if status, body := send(t, read); status != http.StatusOK {
			t.Errorf("reading: %d %s", status, body)
		}
	}
}

// A request that was not carried out may be sent again as it is: SDKs do so within the second.
func TestRetriesAreNoReplays(t *testing.T) {
	url := signedServer(t)
	create := signed(t, url, "StartExecution", `{"stateMachineArn":"arn:aws:states:us-east-1:123456789012:stateMachine:m"}`, signing{})
	for range 2 {
		if status, body := send(t, create); status != http.StatusBadRequest || !strings.Contains(body, "StateMachineDoesNotExist") {
			t.Errorf("%d %s", status, body)
		}
	}
}

// A restart does not forget: what was signed before it is too old.
func TestReplaysAfterARestart(t *testing.T) {
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
		again.URL.Host = strings.TrimPrefix(url, "http://") // its Host header stays
		if status, body := send(t, again); status != http.StatusForbidden || !strings.Contains(body, "Signature expired") {
			t.Errorf("%d %s", status, body)
		}
		offset = 0
		if got := executions(t, url); got != 1 {
			t.Errorf("%d executions", got)
		}
	})
}

// The scope of a signature is that of the request.
func TestScope(t *testing.T) {
	url := signedServer(t)
	now := time.Now().UTC()
	for _, c := range []struct {
		name     string
		sign     signing
		date     time.Time // in X-Amz-Date, where it is another one
		status   int
		contains string
	}{
		{"ours", signing{}, time.Time{}, 200, ""},
		{"the default region of somebody else", signing{region: "eu-central-1"}, time.Time{}, 200, ""},
		{"a region of their own", signing{region: "on-prem"}, time.Time{}, 200, ""},
		{"no region", signing{region: "a/../b"}, time.Time{}, 403, "incomplete"},
		{"not a region", signing{region: "US East"}, time.Time{}, 403, "Credential should be scoped to a valid region, not 'US East'. "},
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
				t.Errorf("%d %s", status, body)
			}
		})
	}
}
