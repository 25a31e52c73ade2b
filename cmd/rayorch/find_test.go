package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/rayorch/rayorch/internal/api/client"
)

// TestFindExecution names executions in all forms. One state machine is an Express state machine, whose executions the API does not list.
func TestFindExecution(t *testing.T) {
	a := testApp(t.TempDir(), io.Discard)
	err := a.with(t.Context(), ownerOptions{Run: true}, func(s *session) error {
		for _, m := range []struct {
			name string
			kind types.StateMachineType
			runs []string
		}{
			{"fast", types.StateMachineTypeExpress, []string{"f"}},
			{"demo", types.StateMachineTypeStandard, []string{"20260101-1", "20260101-2", "other"}},
			{"demo-cleanup", types.StateMachineTypeStandard, []string{"c"}},
			{"other", types.StateMachineTypeStandard, []string{"demo-1", "20260102"}},
			{"idle", types.StateMachineTypeStandard, nil},
		} {
			s.begin(t, m.name, m.kind, m.runs)
		}
		for text, want := range map[string]string{
			"":             "other:20260102",
			"demo":         "demo:other",     // its newest execution, although the name of another execution has this prefix
			"other":        "demo:other",     // the name of an execution takes precedence over that of a pipeline
			"other/":       "other:20260102", // the newest execution of a pipeline
			"demo/other":   "demo:other",
			"20260101-1":   "demo:20260101-1",
			"20260102":     "other:20260102",
			"demo-1":       "other:demo-1",
			"demo-cleanup": "demo-cleanup:c",
		} {
			arn, err := s.findExecution(t.Context(), text)
			if err != nil || !strings.HasSuffix(arn, ":execution:"+want) {
				t.Errorf("%q selects %s (%v), want %s", text, arn, err, want)
			}
		}
		for text, want := range map[string]string{
			"20260101": "2 executions start with",
			"fast":     `execution "fast" not found`,
			"fast/f":   "fast is an Express state machine: its executions are not recorded",
			"idle":     `execution "idle" not found`,
			"missing":  `execution "missing" not found`,
		} {
			if arn, err := s.findExecution(t.Context(), text); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q selects %s (%v), want an error that contains %q", text, arn, err, want)
			}
		}
		rows, err := s.listed(t.Context(), "", "", 0, false)
		if err != nil || len(rows) != 5 {
			t.Errorf("listed returns %v (%v), want 5 rows", rows, err)
		}
		if _, err := s.listed(t.Context(), "fast", "", 0, false); err == nil || !strings.Contains(err.Error(), "Express") {
			t.Errorf("listed returns %v for an Express state machine", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// begin creates a state machine and starts executions, no two of them in the same millisecond.
func (s *session) begin(t *testing.T, name string, kind types.StateMachineType, runs []string) {
	t.Helper()
	m, err := s.sfn.CreateStateMachine(t.Context(), &sfn.CreateStateMachineInput{
		Name: aws.String(name), Type: kind, RoleArn: aws.String("arn:aws:iam::123456789012:role/r"),
		Definition: aws.String(`{"StartAt":"P","States":{"P":{"Type":"Pass","End":true}}}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range runs {
		_, err := s.sfn.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: m.StateMachineArn, Name: aws.String(run)})
		if err == nil {
			err = client.Sleep(t.Context(), 2*time.Millisecond)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
