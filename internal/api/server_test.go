package api_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/rayorch/rayorch/internal/api"
	"github.com/rayorch/rayorch/internal/task"
)

// post calls an action with a raw body, and returns the response and its body.
func post(t testing.TB, url, action, body string, header map[string]string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Amz-Target", "AWSStepFunctions."+action)
	for k, v := range header {
		if k == "Host" {
			req.Host = v
		}
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(raw)
}

func TestInvalidRequests(t *testing.T) {
	url := serve(t, "")
	arn := "arn:aws:states:us-east-1:123456789012:stateMachine:m"
	long := strings.Repeat("n", 81)
	for _, c := range []struct{ name, action, body, code, message string }{
		{"unknown action", "Dance", "{}", "UnknownOperationException", ""},
		{"invalid JSON", "ListStateMachines", "{", "SerializationException",
			"the request body must be a JSON object: invalid JSON at offset 1: expected a key in an object"},
		{"not an object", "ListStateMachines", "[]", "SerializationException",
			"the request body must be a JSON object: the JSON value must be an object"},
		{"deep JSON", "ListStateMachines", `{"a":` + strings.Repeat("[", 5000), "SerializationException",
			"the request body must be a JSON object: invalid JSON at offset 1005: nested more than 1000 levels deep"},
		{"wrong type", "CreateActivity", `{"name":7}`, "SerializationException", "NUMBER_VALUE can not be converted to a String"},
		{"fraction", "ListStateMachines", `{"maxResults":1.5}`, "SerializationException", "FRACTIONAL_VALUE can not be converted to an Integer"},
		{"missing member", "DescribeExecution", "", "ValidationException",
			"1 validation error detected: Value at 'executionArn' failed to satisfy constraint: Member must not be null"},
		{"two violations", "CreateActivity", `{"name":"` + long + `","tags":[{"key":""}]}`, "ValidationException",
			"2 validation errors detected: Value '" + long + "' at 'name' failed to satisfy constraint: Member must have length less than " +
				"or equal to 80; Value '' at 'tags.1.member.key' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"name with a space", "CreateActivity", `{"name":"a b"}`, "InvalidName", "Invalid Name: 'a b'"},
		{"another kind of resource", "DescribeActivity", `{"activityArn":"` + arn + `"}`, "InvalidArn",
			"Invalid Arn: 'Resource type not valid in this context: stateMachine'"},
		{"another account", "DescribeStateMachine", `{"stateMachineArn":"arn:aws:states:us-east-1:999999999999:stateMachine:m"}`,
			"StateMachineDoesNotExist", "State Machine Does Not Exist: 'arn:aws:states:us-east-1:999999999999:stateMachine:m'"},
		{"page size too large", "ListActivities", `{"maxResults":1001}`, "ValidationException",
			"1 validation error detected: Value '1001' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 1000"},
		{"invalid page token", "ListActivities", `{"nextToken":"abc"}`, "InvalidToken", "Invalid Token: 'Invalid token'"},
		{"neither state machine nor Map run", "ListExecutions", `{}`, "ValidationException", "Must provide a StateMachine ARN or MapRun ARN"},
		{"unknown task token", "SendTaskHeartbeat", `{"taskToken":"t"}`, "InvalidToken", "Invalid Token: 'Invalid token'"},
		{"logging without a destination", "CreateStateMachine", `{"name":"m","roleArn":"r","definition":"{}","loggingConfiguration":{"level":"ALL"}}`,
			"InvalidLoggingConfiguration", "Invalid Logging Configuration: Must specify exactly one Log Destination."},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, body := post(t, url, c.action, c.body, nil)
			want := fmt.Sprintf(`{"__type":%q,"message":%q}`, c.code, c.message)
			if body != want {
				t.Errorf("got  %s\nwant %s", body, want)
			}
			if resp.StatusCode != http.StatusBadRequest || resp.Header.Get("X-Amzn-Errortype") != c.code || len(resp.Header.Get("X-Amzn-Requestid")) != 36 {
				t.Errorf("status %d, headers %v", resp.StatusCode, resp.Header)
			}
		})
	}
}

func TestBodyTooLarge(t *testing.T) {
	resp, _ := post(t, serve(t, ""), "ListStateMachines", strings.Repeat(" ", 7<<20), nil)
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// Another site must not be able to make a browser send requests to the server.
func TestGuard(t *testing.T) {
	url := serve(t, "")
	for _, c := range []struct {
		name   string
		header map[string]string
		status int
	}{
		{"plain", nil, 200},
		{"localhost", map[string]string{"Host": "localhost:80"}, 200},
		{"prefix of SDKs", map[string]string{"Host": "sync-127.0.0.1:80"}, 200},
		{"IPv6", map[string]string{"Host": "[::1]:80"}, 200},
		{"DNS rebinding", map[string]string{"Host": "evil.example"}, 403},
		{"origin of another site", map[string]string{"Origin": "https://evil.example"}, 403},
		{"fetch metadata", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		{"origin of the server itself", map[string]string{"Host": "localhost:80", "Origin": "http://localhost:80"}, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			if resp, body := post(t, url, "ListStateMachines", "{}", c.header); resp.StatusCode != c.status {
				t.Errorf("status %d, want %d: %s", resp.StatusCode, c.status, body)
			}
		})
	}
}

func TestCheckListen(t *testing.T) {
	for _, c := range []struct {
		addr      string
		keys, tls bool
		want      string
	}{
		{"127.0.0.1:8080", false, false, ""},
		{"localhost:0", false, false, ""},
		{"[::1]:0", false, false, ""},
		{"0.0.0.0:80", true, true, ""},
		{"0.0.0.0:80", false, true, "listen address 0.0.0.0:80 can be reached from other machines and needs access keys"},
		{":80", false, false, "listen address :80 can be reached from other machines and needs access keys and a TLS certificate"},
		{"8080", false, false, `listen address must be HOST:PORT, such as 127.0.0.1:8080, got "8080": address 8080: missing port in address`},
	} {
		t.Run(c.addr, func(t *testing.T) {
			got := ""
			if err := api.CheckListen(c.addr, c.keys, c.tls); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func get(t testing.TB, url string, change func(*http.Request)) (int, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(req)
	}
	return do(t, req)
}

func do(t testing.TB, req *http.Request) (status int, body string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
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

func TestEndpoints(t *testing.T) {
	url := serve(t, "")
	arn := callAPI(t, url, "CreateStateMachine", map[string]any{"name": "m", "definition": passMachine, "roleArn": "r"}).(map[string]any)["stateMachineArn"]
	run := callAPI(t, url, "StartExecution", map[string]any{"stateMachineArn": arn, "name": "x"}).(map[string]any)["executionArn"].(string)
	for _, c := range []struct {
		path   string
		status int
		want   string
	}{
		{"/healthz", 200, "ok"},
		{"/readyz", 200, "ok"},
		{"/rayorch/v1/info", 200, `"version":"test"`},
		{"/rayorch/v1/pending?execution=none", 404, ""},
		{"/rayorch/v1/watch?execution=" + run + "&after=1", 200, `{"closed":true,"lastEventId":4,"status":"SUCCEEDED"}`},
		{"/rayorch/v1/watch?execution=" + run + "x", 404, "does not exist"},
		{"/rayorch/v1/watch?after=x", 400, "must be an integer"},
		{"/rayorch/v1/logs?execution=" + run, 200, `{"logs":[]}`},
		{"/rayorch/v1/log?execution=" + run + "&state=P", 404, "no such log"},
		{"/metrics", 200, `rayorch_executions_closed_total{status="SUCCEEDED"} 1`},
		{"/metrics", 200, `rayorch_api_requests_total{action="StartExecution",code="ok"} 1`},
		{"/debug/pprof/", 404, ""},
		{"/", 404, ""},
	} {
		t.Run(c.path, func(t *testing.T) {
			if status, body := get(t, url+c.path, nil); status != c.status || !strings.Contains(body, c.want) {
				t.Errorf("got %d %s, want %d %s", status, body, c.status, c.want)
			}
		})
	}
	_, events := get(t, url+"/rayorch/v1/watch?execution="+run, func(r *http.Request) { r.Header.Set("Accept", "text/event-stream") })
	if n := strings.Count(events, "\nid: ") + 1; n != 4 || !strings.HasSuffix(events, "event: closed\ndata: {\"status\":\"SUCCEEDED\"}\n\n") {
		t.Errorf("%d events: %s", n, events)
	}
}

func TestEndpointsNeedKeys(t *testing.T) {
	url := signedServer(t)
	if status, _ := get(t, url+"/healthz", nil); status != 200 {
		t.Errorf("health: status %d", status)
	}
	for _, c := range []struct {
		secret string
		status int
	}{{"", 401}, {"wrong", 401}, {"secret", 200}} {
		status, _ := get(t, url+"/metrics", func(r *http.Request) {
			if c.secret != "" {
				r.SetBasicAuth("AKID", c.secret)
			}
		})
		if status != c.status {
			t.Errorf("secret %q: status %d", c.secret, status)
		}
	}
}

// A request that was signed for another action, or for none, is rejected.
func TestSignatureCoversTheAction(t *testing.T) {
	url := signedServer(t)
	for _, c := range []struct {
		signed, sent string
		status       int
	}{
		{"ListStateMachines", "ListStateMachines", http.StatusOK},
		{"ListStateMachines", "ListActivities", http.StatusForbidden},
		{"", "ListStateMachines", http.StatusForbidden},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		if c.signed != "" {
			req.Header.Set("X-Amz-Target", "AWSStepFunctions."+c.signed)
		}
		hash := sha256.Sum256([]byte("{}"))
		creds := aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret"}
		if err := v4.NewSigner().SignHTTP(t.Context(), creds, req, hex.EncodeToString(hash[:]), "states", "us-east-1", time.Now()); err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Amz-Target", "AWSStepFunctions."+c.sent)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != c.status {
			t.Errorf("signed for %q, sent as %q: status %d, want %d", c.signed, c.sent, resp.StatusCode, c.status)
		}
	}
}

func TestPages(t *testing.T) {
	url := serve(t, "")
	for i := range 5 {
		callAPI(t, url, "CreateActivity", map[string]any{"name": fmt.Sprint("a", i)})
	}
	var names []string
	for token := any(nil); ; {
		page := callAPI(t, url, "ListActivities", map[string]any{"maxResults": 2, "nextToken": token}).(map[string]any)
		for _, a := range page["activities"].([]any) {
			names = append(names, a.(map[string]any)["name"].(string))
		}
		if token = page["nextToken"]; token == nil {
			break
		}
		if e, ok := callAPI(t, url, "ListStateMachines", map[string]any{"nextToken": token}).(apiError); !ok || e.Code != "InvalidToken" {
			t.Errorf("page token of another action: %v", e)
		}
	}
	if got := strings.Join(names, " "); got != "a0 a1 a2 a3 a4" {
		t.Errorf("got %s", got)
	}
}

// FuzzBodies checks that the answer to any body has AWS's form and is not an internal error.
func FuzzBodies(f *testing.F) {
	srv := newServer(f, "", nil)
	for action, body := range map[string]string{
		"CreateStateMachine":  `{"name":"m","definition":"{}","roleArn":"r","tags":[{"key":"k"}]}`,
		"StartExecution":      `{"stateMachineArn":"arn:aws:states:us-east-1:123456789012:stateMachine:m","input":"{\"a\":1}"}`,
		"TestState":           `{"definition":"{\"Type\":\"Pass\",\"End\":true}","mock":{"result":"1"},"variables":"{}"}`,
		"GetExecutionHistory": `{"executionArn":"arn:aws:states:us-east-1:123456789012:execution:m:x","nextToken":"eA"}`,
	} {
		f.Add(action, body)
	}
	f.Fuzz(func(t *testing.T, action, body string) {
		if action == "GetActivityTask" {
			return // waits
		}
		req := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/", strings.NewReader(body))
		req.Header.Set("X-Amz-Target", "AWSStepFunctions."+action)
		w := httptest.NewRecorder()
		srv.Config.Handler.ServeHTTP(w, req)
		if w.Code >= 500 || !strings.HasPrefix(w.Body.String(), "{") {
			t.Errorf("%s %q: %d %s", action, body, w.Code, w.Body)
		}
	})
}

func TestMapRuns(t *testing.T) {
	url := serve(t, "")
	call := func(action string, params map[string]any) map[string]any {
		t.Helper()
		out, ok := callAPI(t, url, action, params).(map[string]any)
		if !ok {
			t.Fatalf("%s: %v", action, callAPI(t, url, action, params))
		}
		return out
	}
	arn := call("CreateStateMachine", map[string]any{"name": "m", "roleArn": "r", "definition": `{"StartAt":"M","States":{"M":{"Type":"Map",
		"End":true,"Label":"Each","ItemsPath":"$.n","ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},
		"StartAt":"P","States":{"P":{"Type":"Pass","End":true}}}}}}`})["stateMachineArn"]
	run := call("StartExecution", map[string]any{"stateMachineArn": arn, "input": `{"n":[1,2,3]}`})["executionArn"].(string)
	untilEnded(t, url, run)
	listed := call("ListMapRuns", map[string]any{"executionArn": run})["mapRuns"].([]any)
	if len(listed) != 1 || listed[0].(map[string]any)["stateMachineArn"] != arn.(string)+"/Each" {
		t.Fatalf("ListMapRuns: %v", listed)
	}
	mapRun := listed[0].(map[string]any)["mapRunArn"]
	d := call("DescribeMapRun", map[string]any{"mapRunArn": mapRun})
	if d["status"] != "SUCCEEDED" || d["itemCounts"].(map[string]any)["succeeded"] != 3.0 {
		t.Errorf("DescribeMapRun: %v", d)
	}
	children := call("ListExecutions", map[string]any{"mapRunArn": mapRun})["executions"].([]any)
	if len(children) != 3 {
		t.Fatalf("%d children", len(children))
	}
	child := children[0].(map[string]any)["executionArn"]
	if m := call("DescribeStateMachineForExecution", map[string]any{"executionArn": child}); m["label"] != "Each" || m["mapRunArn"] != mapRun {
		t.Errorf("state machine of a child: %v", m)
	}
	if e, ok := callAPI(t, url, "UpdateMapRun", map[string]any{"mapRunArn": mapRun, "maxConcurrency": 1}).(apiError); !ok || e.Code != "ValidationException" {
		t.Errorf("UpdateMapRun of a completed Map run: %v", e)
	}
}

// The response with a log contains each line when it is written, and ends when the task ends.
func TestFollowLog(t *testing.T) {
	line, end := make(chan string), make(chan struct{})
	url := newServerIn(t, "state", vfs.NewMem(), "", nil, namedRunner{"arn:aws:states:::test:", func(_ context.Context, req *task.Request) task.Result {
		for text := range line {
			io.WriteString(req.Log, text)
		}
		<-end
		return task.Result{Output: []byte(`{}`)}
	}}).URL
	arn := callAPI(t, url, "CreateStateMachine", map[string]any{"name": "m", "roleArn": "r", "definition": `{"StartAt":"T","States":
		{"T":{"Type":"Task","Resource":"arn:aws:states:::test:run","Parameters":{},"End":true}}}`}).(map[string]any)["stateMachineArn"]
	run := callAPI(t, url, "StartExecution", map[string]any{"stateMachineArn": arn}).(map[string]any)["executionArn"].(string)
	line <- "one\n"
	resp, err := http.Get(url + "/rayorch/v1/log?follow=true&state=T&execution=" + run)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for _, want := range []string{"one", "two"} {
		if want == "two" {
			line <- "two\n"
		}
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("got %q, want %q", lines.Text(), want)
		}
	}
	close(line)
	close(end)
	if lines.Scan() {
		t.Errorf("line after the end: %q", lines.Text())
	}
	if _, body := get(t, url+"/rayorch/v1/logs?execution="+run, nil); !strings.Contains(body, `"State":"T","Attempt":1`) {
		t.Errorf("logs: %s", body)
	}
}
