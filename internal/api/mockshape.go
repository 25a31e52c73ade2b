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

// mockShapes says what AWS services answer: a gzipped line a service, made by shapes.py of the public service models.
//
//go:embed mockshapes.gz
var mockShapes []byte

// mockShape is one shape of a service's answers. Kinds: s text, n number, b boolean, l list, m map, o structure.
type mockShape struct {
	Kind     string            `json:"k"`
	Min, Max *float64          `json:",omitempty"`
	Enum     []string          `json:"e"`
	Fields   map[string]string `json:"f"`
	Required []string          `json:"r"`
	Item     string            `json:"i"`
}

// mockService is one service: the shape of each action's answer, and the shapes they are made of.
type mockService struct {
	Actions map[string]string
	Shapes  map[string]*mockShape
}

var mockCache sync.Map // of services by name, nil for those that are not known

// mockOf finds a service. Only the line of the service is decoded.
func mockOf(name string) *mockService {
	if s, ok := mockCache.Load(name); ok {
		return s.(*mockService)
	}
	s := readMock(name)
	mockCache.Store(name, s)
	return s
}

// readMock looks through the lines: a service that is asked for once is decoded once, the others never.
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

// recordedMemorySize is Lambda's limit as TestState was recorded with it in 2025; the public model has since got another.
var recordedMemorySize = 10240.0

// checkMockShape holds a Task's mocked result against the shape of what the service answers, where that is known: in mode
// STRICT all of it, in mode PRESENT only the fields that are there.
func checkMockShape(m *asl.Machine, state string, mock *value.Object) error {
	mode := text(mock, "fieldValidationMode")
	result := bytesOf(mock, "result")
	service, shape := answerShape(taskResource(m, state))
	if result == nil || mode == "NONE" || shape == "" {
		return nil
	}
	v, err := value.Parse(result)
	if err != nil {
		return nil //nolint:nilerr // what is no JSON is refused elsewhere, in other words
	}
	if o, ok := v.(*value.Object); ok && strings.HasPrefix(taskResource(m, state), stepfn.Integration+"lambda:invoke") {
		if payload, there := o.Get("Payload"); there { // bytes in the service's model: a text, as the answer has it
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

// taskResource is the resource of a Task state; empty for every other state.
func taskResource(m *asl.Machine, name string) string {
	for _, p := range m.Programs {
		if s, ok := p.States[name]; ok && s.Type == asl.Task {
			return s.Resource
		}
	}
	return ""
}

// answerShape is the shape of what a resource answers; empty where it is not known, or where the answer is not the
// service's own (a job's result, a token's).
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

// mockCheck holds a value against shapes, strictly or only as far as it goes.
type mockCheck struct {
	service *mockService
	strict  bool
}

// value gives the first thing that is wrong with a value; field is the nearest name above it.
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

func prefixed(wrong func(string) string, what string) string {
	if what == "" {
		return ""
	}
	return wrong(what)
}

// items names the list in its errors, as AWS does, and not the position.
func (c mockCheck) items(field, shape string, items []any) string {
	for _, item := range items {
		if wrong := c.value(field, shape, item); wrong != "" {
			return wrong
		}
	}
	return ""
}

// members checks an object. Step Functions spells members with a capital; those it does not know, it lets pass.
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

func (s *mockShape) number(f float64) string {
	switch {
	case s.Min != nil && f < *s.Min:
		return "is less than the minimum value"
	case s.Max != nil && f > *s.Max:
		return "exceeds the maximum value"
	}
	return ""
}
