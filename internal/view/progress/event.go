package progress

import (
	"reflect"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// Event is an event of a history, with the details that a View uses. Fields that the type of event does not have are zero.
type Event struct {
	ID, Previous int64
	Type         string
	Time         time.Time

	Name     string // of the state, or of the Map of an iteration
	Resource string
	Input    string
	Output   string
	Error    string
	Cause    string
	MapRun   string // the ARN of a Map run
	Index    int
	Length   int
	Assigned map[string]string // variables, as JSON
}

// The type of an event consists of what it is about (a kind of state, task, or line of control) and what happened to it. The following
// methods read the two parts separately, so that they work for the events of all kinds of tasks (Task, LambdaFunction, Activity).
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

// FromAPI converts an event of the Step Functions API. It reads the details by reflection, because each of the more than 40 types of
// events has a separate struct for them.
func FromAPI(e *types.HistoryEvent) Event {
	out := Event{ID: e.Id, Previous: e.PreviousEventId, Type: string(e.Type), Time: aws.ToTime(e.Timestamp)}
	all := reflect.ValueOf(e).Elem()
	for i := range all.NumField() {
		f := all.Field(i)
		if f.Kind() == reflect.Pointer && f.Elem().Kind() == reflect.Struct && strings.HasSuffix(all.Type().Field(i).Name, "EventDetails") {
			out.details(f.Elem())
			break // an event has details of one type
		}
	}
	return out
}

// details copies the fields that a View uses from the details of an event.
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

// text returns the string field for a detail, nil if a View does not use the detail.
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

// number returns the integer field for a detail, nil if a View does not use the detail.
func (e *Event) number(field string) *int {
	switch field {
	case "Index":
		return &e.Index
	case "Length":
		return &e.Length
	}
	return nil
}
