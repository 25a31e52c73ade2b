package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// TestFindExecution names executions in every way, beside an Express state machine, whose executions no API lists.
func TestFindExecution(t *testing.T) {
	a := &app{out: &bytes.Buffer{}, err: &bytes.Buffer{}, stateDir: t.TempDir(), output: "json"}
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
			"demo":         "demo:other",     // its newest, though another's run begins so
			"other":        "demo:other",     // a run's own name comes first
			"other/":       "other:20260102", // a pipeline's newest
			"demo/other":   "demo:other",
			"20260101-1":   "demo:20260101-1",
			"20260102":     "other:20260102",
			"demo-1":       "other:demo-1",
			"demo-cleanup": "demo-cleanup:c",
		} {
			arn, err := s.findExecution(t.Context(), text)
			if err != nil || !strings.HasSuffix(arn, ":execution:"+want) {
				t.Errorf("%q is %s (%v), want %s", text, arn, err, want)
			}
		}
		for text, want := range map[string]string{
			"20260101": "2 executions start with",
			"fast":     `there is no execution "fast"`,
			"fast/f":   "fast is an Express state machine: its executions are not recorded",
			"idle":     `there is no execution "idle"`,
			"missing":  `there is no execution "missing"`,
		} {
			if arn, err := s.findExecution(t.Context(), text); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q is %s (%v), want an error with %q", text, arn, err, want)
			}
		}
		rows, err := s.listed(t.Context(), "", "", 0, false)
		if err != nil || len(rows) != 5 {
			t.Errorf("list shows %v (%v)", rows, err)
		}
		if _, err := s.listed(t.Context(), "fast", "", 0, false); err == nil || !strings.Contains(err.Error(), "Express") {
			t.Errorf("listing an Express state machine gives %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// begin creates a state machine and runs it; two runs never begin in one millisecond.
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
			err = pause(t.Context(), 2*time.Millisecond)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
