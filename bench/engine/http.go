package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// caller is a minimal client of the Step Functions API, with one persistent connection. It avoids the SDK, whose overhead would be part
// of the measurement.
type caller struct {
	endpoint string
	client   http.Client
}

func newCaller(endpoint string) *caller {
	return &caller{endpoint: endpoint, client: http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}}
}

// call sends a request for an action and decodes the response into out.
func (c *caller) call(action string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, c.endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", "AWSStepFunctions."+action)
	req.Header.Set("Authorization", signature)
	resp, err := c.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", action, resp.Status, text)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(text, out)
}

// signature names the service, because emulators of several services route requests by it. None of the servers verifies it.
const signature = "AWS4-HMAC-SHA256 Credential=bench/20260101/us-east-1/states/aws4_request, SignedHeaders=host, Signature=0"

// reset deletes all data of a moto server and configures it to run executions. It is necessary before each execution, because the second
// execution after a reset fails (moto 5.2.1).
func (c *caller) reset() error {
	for _, post := range []struct{ path, body string }{
		{"/moto-api/reset", ""},
		{"/moto-api/config", `{"stepfunctions":{"execute_state_machine":true}}`},
	} {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, c.endpoint+post.path, strings.NewReader(post.body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := c.client.Do(req)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode/100 != 2 {
			return fmt.Errorf("%s: %s: %w", post.path, resp.Status, err)
		}
	}
	return nil
}

// machine creates the state machine of a chain, unless it exists, and returns its ARN.
func (c *caller) machine(steps int) (string, error) {
	var created struct{ StateMachineArn string }
	err := c.call("CreateStateMachine", map[string]string{
		"name": fmt.Sprintf("chain%d", steps), "definition": string(chain(steps)),
		"roleArn": "arn:aws:iam::123456789012:role/bench",
	}, &created)
	return created.StateMachineArn, err
}

// execute starts an execution and polls DescribeExecution, at most every millisecond, until it has ended.
func (c *caller) execute(machine string) error {
	var started struct{ ExecutionArn string }
	err := c.call("StartExecution", map[string]string{"stateMachineArn": machine, "input": `{"greeting":"hello"}`}, &started)
	if err != nil {
		return err
	}
	for {
		var now struct{ Status string }
		if err := c.call("DescribeExecution", map[string]string{"executionArn": started.ExecutionArn}, &now); err != nil {
			return err
		}
		if now.Status != "RUNNING" {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
}
