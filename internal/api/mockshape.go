package api

import (
	"bufio"
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// mockShapes describes the answers of AWS services, one line per service, gzipped. shapes.py generates it from the public service
// models.
//
//go:embed mockshapes.gz
var mockShapes []byte

// mockShape is a shape in a service's answers. Kinds: s string, n number, b boolean, l list, m map, o structure.
type mockShape struct {
	Kind     string            `json:"k"`
	Min, Max *float64          `json:",omitempty"`
	Enum     []string          `json:"e"`
	Fields   map[string]string `json:"f"`
	Required []string          `json:"r"`
	Item     string            `json:"i"`
}

// mockService is a service: the name of the shape of each action's answer, and all shapes by name.
type mockService struct {
	Actions map[string]string
	Shapes  map[string]*mockShape
}

var mockCache sync.Map // *mockService by name, nil if the service is unknown

// mockOf returns a service, nil if it is unknown.
func mockOf(name string) *mockService {
	if s, ok := mockCache.Load(name); ok {
		return s.(*mockService)
	}
	s := readMock(name)
	mockCache.Store(name, s)
	return s
}

// readMock searches the lines for a service, and decodes only the line of that service.
func readMock(name string) *mockService {
	plain, err := gzip.NewReader(bytes.NewReader(mockShapes))
	if err != nil {
		return nil
	}
	lines := bufio.NewReaderSize(plain, 1<<16)
	for {
		line, err := lines.ReadBytes('\n')
		names, text, _ := bytes.Cut(line, []byte("\t"))
		if slices.Contains(strings.Split(string(names), ","), name) {
			s := &mockService{}
			if json.Unmarshal(text, s) != nil {
				return nil
			}
			if size := s.Shapes["MemorySize"]; name == "lambda" && size != nil {
				size.Max = &recordedMemorySize
			}
			return s
		}
		if err != nil {
			return nil
		}
	}
}

// recordedMemorySize is Lambda's limit in the answers of TestState that were recorded in 2025. The public model has a newer one.
var recordedMemorySize = 10240.0

// checkMockShape compares a Task's mocked result with the shape of the service's answer, if it is known. Mode STRICT requires all
// required fields, mode PRESENT checks only the fields that are present, and NONE checks nothing.
func checkMockShape(m *asl.Machine, state string, mock *value.Object) error {
	mode := text(mock, "fieldValidationMode")
	result := bytesOf(mock, "result")
	service, shape := answerShape(taskResource(m, state))
	if result == nil || mode == "NONE" || shape == "" {
		return nil
	}
	v, err := value.Parse(result)
	if err != nil {
		return nil //nolint:nilerr // interp.TestState rejects invalid JSON, with AWS's message for it
	}
	if o, ok := v.(*value.Object); ok && strings.HasPrefix(taskResource(m, state), stepfn.Integration+"lambda:invoke") {
		if payload, there := o.Get("Payload"); there { // bytes in the service's model, a string in the answer
			if _, ok := payload.(string); !ok {
				return invalid("Mock result schema validation error: Field 'Payload' must be a string")
			}
		}
	}
	c := mockCheck{service, mode != "PRESENT"}
	if wrong := c.value("", shape, v); wrong != "" {
		return invalid("Mock result schema validation error: " + wrong)
	}
	return nil
}

// taskResource returns the resource of a Task state, "" for other states.
func taskResource(m *asl.Machine, name string) string {
	for _, p := range m.Programs {
		if s, ok := p.States[name]; ok && s.Type == asl.Task {
			return s.Resource
		}
	}
	return ""
}

// answerShape returns the shape of the answer of a resource. It is empty if the shape is unknown, or if the result is not the
// service's answer: the resource ends in .sync or .waitForTaskToken.
func answerShape(resource string) (*mockService, string) {
	rest, ok := strings.CutPrefix(resource, stepfn.Integration)
	rest = strings.TrimPrefix(rest, "aws-sdk:")
	name, action, _ := strings.Cut(rest, ":")
	if !ok || action == "" || strings.Contains(action, ".") {
		return nil, ""
	}
	s := mockOf(name)
	if s == nil {
		return nil, ""
	}
	return s, s.Actions[upperFirst(action)]
}

// mockCheck compares values with shapes.
type mockCheck struct {
	service *mockService
	strict  bool // required fields must be present
}

// value returns the first violation in a value, "" if there is none. field is the nearest field name above the value.
func (c mockCheck) value(field, shape string, v any) string {
	s := c.service.Shapes[shape]
	if s == nil || v == nil {
		return ""
	}
	wrong := func(what string) string { return "Field '" + field + "' " + what }
	switch s.Kind {
	case "s":
		t, ok := v.(string)
		if !ok {
			return wrong("must be a string")
		}
		return prefixed(wrong, s.text(t))
	case "n":
		n, ok := v.(value.Number)
		if !ok {
			return wrong("must be a number")
		}
		return prefixed(wrong, s.number(n.Float64()))
	case "b":
		if _, ok := v.(bool); !ok {
			return wrong("must be a boolean")
		}
	case "l":
		items, ok := v.([]any)
		if !ok {
			return wrong("must be an array")
		}
		return c.items(field, s.Item, items)
	default:
		o, ok := v.(*value.Object)
		if !ok {
			return wrong("must be an object")
		}
		return c.members(s, o)
	}
	return ""
}

// prefixed adds the field's name to a violation, if there is one.
func prefixed(wrong func(string) string, what string) string {
	if what == "" {
		return ""
	}
	return wrong(what)
}

// items checks the items of a list. As on AWS, errors name the list but not the position.
func (c mockCheck) items(field, shape string, items []any) string {
	for _, item := range items {
		if wrong := c.value(field, shape, item); wrong != "" {
			return wrong
		}
	}
	return ""
}

// members checks the members of an object. Step Functions capitalizes the names of members, and ignores unknown ones.
func (c mockCheck) members(s *mockShape, o *value.Object) string {
	known := map[string]string{}
	for name, shape := range s.Fields {
		known[upperFirst(name)] = shape
	}
	for i := range o.Len() {
		name, v := o.At(i)
		shape := known[name]
		if s.Kind == "m" {
			shape = s.Item
		}
		if name == "Payload" && s.Kind == "o" {
			continue // Lambda's answer: any JSON
		}
		if wrong := c.value(name, shape, v); wrong != "" {
			return wrong
		}
	}
	for _, name := range s.Required {
		if c.strict && !o.Has(upperFirst(name)) {
			return "Required field '" + upperFirst(name) + "' is missing"
		}
	}
	return ""
}

// text returns the violation of a string, "" if there is none.
func (s *mockShape) text(t string) string {
	n := float64(utf8.RuneCountInString(t))
	switch {
	case s.Min != nil && n < *s.Min:
		return "is smaller than the minimum length"
	case s.Max != nil && n > *s.Max:
		return "exceeds the maximum length"
	case s.Enum != nil && !slices.Contains(s.Enum, t):
		return "is not an expected value"
	}
	return ""
}

// number returns the violation of a number, "" if there is none.
func (s *mockShape) number(f float64) string {
	switch {
	case s.Min != nil && f < *s.Min:
		return "is less than the minimum value"
	case s.Max != nil && f > *s.Max:
		return "exceeds the maximum value"
	}
	return ""
}
