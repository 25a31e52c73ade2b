package history

import (
	"slices"
	"strconv"
	"time"

	"github.com/rayorch/rayorch/internal/value"
)

// ToAPI returns an event as GetExecutionHistory shows it. With data = false (includeExecutionData=false) it omits input,
// output, parameters and variables.
func ToAPI(e *Event, data bool) *value.Object {
	o := value.NewObject(5)
	o.Set("timestamp", Seconds(e.Time))
	o.Set("type", string(e.Type))
	o.Set("id", value.Int(e.ID))
	o.Set("previousEventId", value.Int(e.Previous))
	code, known := codeOf[e.Type]
	if s := codes[code].shape; known && s.details != "" {
		o.Set(s.details, details(e, s.fields, data))
	}
	return o
}

// Seconds returns a time in the format of the API: seconds since 1970, with milliseconds as the fraction.
func Seconds(t time.Time) value.Number {
	ms := t.UnixMilli()
	b := strconv.AppendInt(nil, ms/1000, 10)
	b = append(b, '.', byte('0'+ms%1000/100), byte('0'+ms%100/10), byte('0'+ms%10))
	return value.Number(b)
}

// details returns the details object with the fields of a shape, in the order of its letters.
func details(e *Event, fields string, data bool) *value.Object {
	o := value.NewObject(len(fields) + 2)
	for i := range len(fields) {
		setters[fields[i]](o, e, data)
	}
	return o
}

// setters write the fields of details objects. The keys are the letters of the shapes in types.go.
var setters = map[byte]func(o *value.Object, e *Event, data bool){
	'n': func(o *value.Object, e *Event, _ bool) { o.Set("name", e.Name) },
	'i': func(o *value.Object, e *Event, data bool) { payload(o, "input", e.Input, data) },
	'o': func(o *value.Object, e *Event, data bool) { payload(o, "output", e.Output, data) },
	'a': assigned,
	'e': func(o *value.Object, e *Event, _ bool) { text(o, "error", e.Error) },
	'c': func(o *value.Object, e *Event, _ bool) { text(o, "cause", e.Cause) },
	'R': func(o *value.Object, e *Event, _ bool) { text(o, "roleArn", e.RoleARN) },
	'A': func(o *value.Object, e *Event, _ bool) { text(o, "stateMachineAliasArn", e.AliasARN) },
	'V': func(o *value.Object, e *Event, _ bool) { text(o, "stateMachineVersionArn", e.VersionARN) },
	'r': func(o *value.Object, e *Event, _ bool) { text(o, "resource", e.Resource) },
	't': func(o *value.Object, e *Event, _ bool) { text(o, "resourceType", e.ResourceType) },
	'g': func(o *value.Object, e *Event, _ bool) { text(o, "region", e.Region) },
	'p': func(o *value.Object, e *Event, data bool) {
		if data {
			text(o, "parameters", string(e.Parameters))
		}
	},
	'T': func(o *value.Object, e *Event, _ bool) { positive(o, "timeoutInSeconds", e.TimeoutSeconds) },
	'H': func(o *value.Object, e *Event, _ bool) { positive(o, "heartbeatInSeconds", e.HeartbeatSeconds) },
	'C': func(o *value.Object, e *Event, _ bool) {
		if e.CredentialsARN != "" {
			c := value.NewObject(1)
			c.Set("roleArn", e.CredentialsARN)
			o.Set("taskCredentials", c)
		}
	},
	'w': func(o *value.Object, e *Event, _ bool) { text(o, "workerName", e.WorkerName) },
	'x': func(o *value.Object, e *Event, _ bool) { o.Set("index", value.Int(e.Index)) },
	'l': func(o *value.Object, e *Event, _ bool) { o.Set("length", value.Int(e.Length)) },
	'm': func(o *value.Object, e *Event, _ bool) { text(o, "mapRunArn", e.MapRunARN) },
	'd': func(o *value.Object, e *Event, _ bool) { o.Set("redriveCount", value.Int(e.RedriveCount)) },
	'L': func(o *value.Object, e *Event, _ bool) { text(o, "location", e.Location) },
	'S': func(o *value.Object, e *Event, _ bool) { text(o, "state", e.State) },
}

// text omits empty strings: the API never shows an empty error, cause or role.
func text(o *value.Object, key, s string) {
	if s != "" {
		o.Set(key, s)
	}
}

func positive(o *value.Object, key string, n int64) {
	if n > 0 {
		o.Set(key, value.Int(n))
	}
}

func notTruncated() *value.Object {
	o := value.NewObject(1)
	o.Set("truncated", false)
	return o
}

// payload writes the data, and always the details, which say whether it is truncated. rayorch never truncates it.
func payload(o *value.Object, key string, b []byte, data bool) {
	if data {
		o.Set(key, string(b))
	}
	o.Set(key+"Details", notTruncated())
}

// assigned writes variables as JSON texts, and nothing if none was assigned.
func assigned(o *value.Object, e *Event, data bool) {
	if len(e.AssignedVariables) == 0 {
		return
	}
	if data {
		vars := value.NewObject(len(e.AssignedVariables))
		for _, k := range sortedKeys(e.AssignedVariables) {
			vars.Set(k, e.AssignedVariables[k])
		}
		o.Set("assignedVariables", vars)
	}
	o.Set("assignedVariablesDetails", notTruncated())
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
