package conformance_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/asl/conformance"
	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/value"
)

// request is a request of TestState in the API.
type request struct {
	Definition, Input, Context, StateName, Variables, RoleArn, InspectionLevel string
	RevealSecrets                                                              bool
	Mock                                                                       *struct {
		Result      *string
		ErrorOutput *struct{ Error, Cause string }
	}
	StateConfiguration *struct {
		RetrierRetryCount        int
		MapIterationFailureCount *int64
		MapItemReaderData        string
	}
}

// The minimum numbers of matching cases. The others need the validation of mocks against the models of AWS services, which package api
// does.
const (
	testEqual  = 135
	testStatus = 136
)

func TestTestState(t *testing.T) {
	cases, err := conformance.LoadTestState()
	if errors.Is(err, conformance.ErrMissing) {
		t.Skip("SKIPPED: " + err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	var equal, status int
	for i, c := range cases {
		got := testState(t, c.Request)
		want := c.Response
		if c.ExpectError {
			e, _ := want.Get("Error")
			want = e.(*value.Object)
		}
		difference := conformance.Match(want, got)
		count(&equal, difference == "")
		a, _ := want.Get("status")
		b, _ := got.Get("status")
		count(&status, a == b)
		if difference != "" {
			t.Logf("%d %s: %s", i, c.ID[strings.LastIndex(c.ID, "::")+2:], difference)
		}
	}
	fmt.Fprintf(os.Stderr, "teststate (interp): equal %d, status %d of %d\n", equal, status, len(cases))
	if equal < testEqual || status < testStatus {
		t.Errorf("%d equal, %d status; want at least %d and %d", equal, status, testEqual, testStatus)
	}
}

func testState(t *testing.T, raw json.RawMessage) *value.Object {
	var r request
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	result, err := interpTest(&r)
	var refused *interp.TestRejected
	o := value.NewObject(6)
	if errors.As(err, &refused) {
		o.Set("Code", refused.Code)
		o.Set("Message", refused.Message)
		return o
	}
	if err != nil {
		o.Set("Message", err.Error())
		return o
	}
	for _, kv := range [][2]string{{"status", result.Status}, {"output", string(result.Output)}, {"error", result.Error},
		{"cause", result.Cause}, {"nextState", result.NextState}} {
		if kv[1] != "" {
			o.Set(kv[0], kv[1])
		}
	}
	if r.InspectionLevel != "INFO" {
		o.Set("inspectionData", result.Inspection)
	}
	return o
}

func interpTest(r *request) (interp.TestResult, error) {
	name := r.StateName
	definition, err := value.ParseObject([]byte(r.Definition))
	if err != nil {
		return interp.TestResult{}, err
	}
	var m *asl.Machine
	if name == "" {
		name = "StateName"
		m, err = asl.NewState(name, definition)
	} else {
		m, err = asl.New(definition)
	}
	if err != nil {
		return interp.TestResult{}, err
	}
	now := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	req := &interp.TestRequest{State: name, Params: params([]byte("{}"), now)}
	req.Params.ExecutionARN = "arn:<partition>:states:<region>:111111111111:express:x:y"
	req.Params.RoleARN = r.RoleArn
	if r.Input != "" {
		req.Params.Input = []byte(r.Input)
	}
	fill(req, r)
	if r.RevealSecrets && req.Mock != nil {
		return interp.TestResult{}, &interp.TestRejected{Code: "ValidationException",
			Message: "TestState does not support RevealSecrets when a mock is specified."}
	}
	return interp.TestState(m, req, now)
}

func fill(req *interp.TestRequest, r *request) {
	if r.Context != "" {
		req.Context = []byte(r.Context)
	}
	if r.Variables != "" {
		req.Variables = []byte(r.Variables)
	}
	if m := r.Mock; m != nil {
		req.Mock = &interp.TestMock{}
		if m.Result != nil {
			req.Mock.Result = []byte(*m.Result)
		} else if m.ErrorOutput != nil {
			req.Mock.Error, req.Mock.Cause = m.ErrorOutput.Error, m.ErrorOutput.Cause
		}
	}
	if c := r.StateConfiguration; c != nil {
		req.RetryCount, req.FailedIterations = c.RetrierRetryCount, c.MapIterationFailureCount
		if c.MapItemReaderData != "" {
			req.ReaderData = []byte(c.MapItemReaderData)
		}
	}
}
