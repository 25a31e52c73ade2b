package progress

import (
	"reflect"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// Event is an event of a history with what the fold reads of its details.
type Event struct {
	ID, Previous int64
	Type         string
	Time         time.Time

	Name     string // of a state, or of the Map of an iteration
	Resource string
	Input    string
	Output   string
	Error    string
	Cause    string
	MapRun   string // its ARN
	Index    int
	Length   int
	Assigned map[string]string // variables, as JSON
}

// An event's type is the kind of state, task or line of control that it is about, and what happens to it: the fold reads the two apart,
// so that it knows the events of every kind of task.
func (e *Event) is(suffix string) bool { return strings.HasSuffix(e.Type, suffix) }
func (e *Event) entered() bool         { return e.is("StateEntered") }
func (e *Event) exited() bool          { return e.is("StateExited") }
func (e *Event) failed() bool          { return e.is("Failed") || e.is("TimedOut") }
func (e *Event) ofExecution() bool     { return strings.HasPrefix(e.Type, "Execution") }
func (e *Event) evaluationFailed() bool {
	return e.Type == string(types.HistoryEventTypeEvaluationFailed)
}
func (e *Event) stateKind() (kind string) { kind, _, _ = strings.Cut(e.Type, "State"); return kind }
func (e *Event) inGroup() bool {
	return strings.HasPrefix(e.Type, "Map") || strings.HasPrefix(e.Type, "Parallel")
}
func (e *Event) groupKind() string {
	if strings.HasPrefix(e.Type, kindMap) {
		return kindMap
	}
	return kindParallel
}

// FromAPI is an event of the Step Functions API.
func FromAPI(e *types.HistoryEvent) Event {
	out := Event{ID: e.Id, Previous: e.PreviousEventId, Type: string(e.Type), Time: aws.ToTime(e.Timestamp)}
	all := reflect.ValueOf(e).Elem()
	for i := range all.NumField() {
		f := all.Field(i)
		if f.Kind() == reflect.Pointer && f.Elem().Kind() == reflect.Struct && strings.HasSuffix(all.Type().Field(i).Name, "EventDetails") {
			out.details(f.Elem())
			break // an event has one
		}
	}
	return out
}

// details reads the fields of an event's details that the fold needs, each of which only some kinds of events have.
func (e *Event) details(d reflect.Value) {
	for i := range d.NumField() {
		field := d.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		switch v := d.Field(i).Interface().(type) {
		case *string:
			if to := e.text(field.Name); to != nil && v != nil {
				*to = *v
			}
		case map[string]string:
			e.Assigned = v
		case int32:
			if to := e.number(field.Name); to != nil {
				*to = int(v)
			}
		}
	}
}

// text is the field for a detail of that name; nil if the fold does not read it.
func (e *Event) text(field string) *string {
	switch field {
	case "Name", "State":
		return &e.Name
	case "Resource":
		return &e.Resource
	case "Input":
		return &e.Input
	case "Output":
		return &e.Output
	case "Error":
		return &e.Error
	case "Cause":
		return &e.Cause
	case "MapRunArn":
		return &e.MapRun
	}
	return nil
}

// number is text for numbers.
func (e *Event) number(field string) *int {
	switch field {
	case "Index":
		return &e.Index
	case "Length":
		return &e.Length
	}
	return nil
}
