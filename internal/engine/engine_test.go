package engine_test

import (
	"context"
	"testing"

	"github.com/rayorch/rayorch/internal/engine"
)

func TestPass(t *testing.T) {
	e, err := engine.Open(context.Background(), engine.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	x, err := e.Start(t.Context(), engine.StartRequest{
		MachineARN: "arn:aws:states:us-east-1:123456789012:stateMachine:m", Name: "a",
		Definition: []byte(`{"StartAt":"P","States":{"P":{"Type":"Pass","End":true}}}`), Input: []byte(`{"a":1}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", x)
	x, err = e.Describe(x.ARN)
	t.Logf("%+v %v", x, err)
	ev, err := e.History(x.ARN, engine.HistoryQuery{})
	t.Logf("%+v %v", ev, err)
	l, err := e.List(engine.ListFilter{MachineARN: x.MachineARN})
	t.Logf("%+v %v", l, err)
}
