package history_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/value"
)

var update = flag.Bool("update", false, "rewrite the golden file of the current version")

var at = time.Date(2026, 11, 23, 7, 44, 9, 42e6, time.UTC)

// full returns an event with all fields set, so that a test fails if the codec omits one.
func full() history.Event {
	e := history.Event{}
	v := reflect.ValueOf(&e).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString("text of " + v.Type().Field(i).Name)
		case reflect.Int64:
			f.SetInt(int64(100 + i))
		case reflect.Slice:
			f.SetBytes([]byte(`{"of":"` + v.Type().Field(i).Name + `"}`))
		case reflect.Map:
			f.Set(reflect.ValueOf(map[string]string{"a": "1", "b": `"x"`}))
		}
	}
	e.Time, e.Type = at, history.TaskScheduled
	return e
}

func events() []history.Event {
	return []history.Event{full(), {ID: 1, Time: at, Type: history.ExecutionStarted, Input: []byte("{}")},
		{ID: 25000, Previous: 3, Time: at, Type: history.ExecutionFailed, Error: "E"}}
}

func TestEncodeDecode(t *testing.T) {
	data := history.AppendEvents(nil, events())
	one := full()
	data = history.AppendEvent(data, &one)
	got, err := history.DecodeEvents(data)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(append(events(), full()), got); d != "" {
		t.Error(d)
	}
}

// TestOldEventsAreRead decodes what each version wrote. A new version adds a golden file; existing files never change.
func TestOldEventsAreRead(t *testing.T) {
	const current = "testdata/events-v1.golden"
	data := history.AppendEvents(nil, events())
	if *update {
		if err := os.WriteFile(current, []byte(hex.EncodeToString(data)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob("testdata/events-v*.golden")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		kept, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := history.DecodeEvents(kept)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if d := cmp.Diff(events(), got); d != "" {
			t.Errorf("%s: %s", file, d)
		}
		if file == current && !bytes.Equal(kept, data) {
			t.Errorf("%s: the encoding has changed: increase the version", file)
		}
	}
}

func TestNewerVersionIsAnError(t *testing.T) {
	data := history.AppendEvents(nil, events())
	data[0] = 9
	if _, err := history.DecodeEvents(data); err == nil || !strings.Contains(err.Error(), "version 9") {
		t.Errorf("error: %v", err)
	}
}

func TestShapes(t *testing.T) {
	head := `{"timestamp":1795419849.042,"type":"%","id":2,"previousEventId":1`
	for _, c := range []struct {
		e    history.Event
		want string
	}{
		{history.Event{Type: history.Entered("Pass"), Name: "A", Input: []byte(`[1]`)},
			`,"stateEnteredEventDetails":{"name":"A","input":"[1]","inputDetails":{"truncated":false}}}`},
		{history.Event{Type: history.Exited("Pass"), Name: "A", Output: []byte(`1`), AssignedVariables: map[string]string{"b": "2", "a": "1"}},
			`,"stateExitedEventDetails":{"name":"A","output":"1","outputDetails":{"truncated":false},` +
				`"assignedVariables":{"a":"1","b":"2"},"assignedVariablesDetails":{"truncated":false}}}`},
		{history.Event{Type: history.TaskScheduled, Resource: "r", ResourceType: "t", Region: "g", Parameters: []byte("{}"),
			TimeoutSeconds: 5, HeartbeatSeconds: 2, CredentialsARN: "arn"},
			`,"taskScheduledEventDetails":{"resource":"r","resourceType":"t","region":"g","parameters":"{}",` +
				`"timeoutInSeconds":5,"heartbeatInSeconds":2,"taskCredentials":{"roleArn":"arn"}}}`},
		{history.Event{Type: history.ExecutionFailed}, `,"executionFailedEventDetails":{}}`},
		{history.Event{Type: history.MapStateSucceeded}, `}`},
		{history.Event{Type: history.MapIterationStarted, Name: "M"}, `,"mapIterationStartedEventDetails":{"name":"M","index":0}}`},
		{history.Event{Type: history.EvaluationFailed, State: "A", Error: "e", Cause: "c", Location: "Output"},
			`,"evaluationFailedEventDetails":{"error":"e","cause":"c","location":"Output","state":"A"}}`},
	} {
		c.e.ID, c.e.Previous, c.e.Time = 2, 1, at
		want := strings.Replace(head, "%", string(c.e.Type), 1) + c.want
		if got := value.Text(history.ToAPI(&c.e, true)); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestWithoutData(t *testing.T) {
	e := full()
	for _, typ := range []history.Type{"PassStateEntered", "PassStateExited", history.TaskScheduled, history.TaskSucceeded} {
		e.Type = typ
		if got := value.Text(history.ToAPI(&e, false)); strings.Contains(got, `{\"of\"`) || strings.Contains(got, `\"x\"`) {
			t.Errorf("%s shows data: %s", typ, got)
		}
	}
}

// FuzzDecodeEvents checks that damaged batches give errors, and that decoded events can be encoded again.
func FuzzDecodeEvents(f *testing.F) {
	f.Add(history.AppendEvents(nil, events()))
	f.Add([]byte{1, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := history.DecodeEvents(data)
		if err != nil {
			return
		}
		again, err := history.DecodeEvents(history.AppendEvents(nil, got))
		if err != nil {
			t.Fatal(err)
		}
		if len(again) != len(got) {
			t.Errorf("encoded %d events, decoded %d", len(got), len(again))
		}
		for i := range got {
			history.ToAPI(&got[i], true)
		}
	})
}
