// Package check validates the definition of a state machine. It reports all problems, each with its AWS code, a location,
// and a message in AWS's words where they are known. It works on the raw JSON instead of the parsed model (package asl), so
// that it can report more than the first error. It does not execute anything. CreateStateMachine, UpdateStateMachine,
// ValidateStateMachineDefinition and TestState use it.
//
// Messages and locations follow recorded answers of AWS. Where there is no recording, they follow the style of the recorded
// ones.
//
// A definition is checked in two passes: fields.go checks each object against a table of its fields (machine.go, states.go
// and the files of the types have the tables), then flow.go checks the transitions between states.
package check

import (
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// The severities of a problem. A definition with warnings can be used; one with errors cannot.
const (
	Error   = "ERROR"
	Warning = "WARNING"
)

// The codes of problems, documented by AWS at ValidateStateMachineDefinitionDiagnostic, and limits of names and fields.
const (
	codeJSON          = "INVALID_JSON_DESCRIPTION"
	codeSchema        = "SCHEMA_VALIDATION_FAILED"
	codeTransition    = "MISSING_TRANSITION_TARGET"
	codeNoEnd         = "MISSING_END_STATE"
	codeDuplicate     = "DUPLICATE_STATE_NAME"
	codeStateName     = "INVALID_STATE_NAME"
	codeLabel         = "INVALID_LABEL_NAME"
	codeSameLabel     = "DUPLICATE_LABEL_NAME"
	codeVariable      = "INVALID_VARIABLE_NAME"
	codeReserved      = "RESERVED_VARIABLE_NAME"
	codeSameVariable  = "DUPLICATE_VARIABLE_NAME"
	codeUndefined     = "POSSIBLY_UNDEFINED_VARIABLE"
	codeBadJSONata    = "INVALID_JSONATA_EXPRESSION"
	codeUnsupported   = "UNSUPPORTED_JSONATA_EXPRESSION"
	codeNoDollar      = "NO_DOLLAR"
	codeNoPath        = "NO_PATH"
	codeStaticResult  = "PASS_RESULT_IS_STATIC"
	noLocation        = "null" // how AWS prints an unknown location
	maxStateName      = 80
	maxLabel          = 40
	maxRetryDelay     = 31_622_400
	maxReaderMaxItems = 100_000_000
)

// Problem is an error or a warning. Location is empty if it is unknown.
type Problem struct{ Severity, Code, Message, Location string }

// Result has all problems: first those of fields, then those of transitions.
type Result struct{ Problems []Problem }

// OK reports whether there is no error. There may be warnings.
func (r Result) OK() bool {
	for _, p := range r.Problems {
		if p.Severity == Error {
			return false
		}
	}
	return true
}

// Refusal returns the message of the InvalidDefinition exception; bad is false if there is no error.
func (r Result) Refusal() (message string, bad bool) {
	var texts []string
	for _, p := range r.Problems {
		if p.Severity != Error {
			continue
		}
		at := p.Location
		if at == "" {
			at = noLocation
		}
		texts = append(texts, p.Code+": "+p.Message+" at "+at)
	}
	if len(texts) == 0 {
		return "", false
	}
	return "Invalid State Machine Definition: '" + strings.Join(texts, ", ") + "'", true
}

// Definition checks the text of a complete definition.
func Definition(text string, express bool) Result {
	c := &checker{names: map[string]bool{}, labels: map[string]bool{}}
	root, ok := c.parse(text)
	if ok {
		c.machine(root, express)
	}
	return Result{c.problems}
}

// StateName is the name of a state that TestState gets without its machine.
const StateName = "StateName"

// State checks the text of a single state, as TestState gets it. It does not check where the transitions lead.
func State(text string) Result {
	c := &checker{names: map[string]bool{}, labels: map[string]bool{}}
	if root, ok := c.parse(text); ok {
		c.state(scope{loc: "", top: jsonPath}, StateName, root)
	}
	return Result{c.problems}
}

// checker collects the problems of a definition.
type checker struct {
	problems []Problem
	names    map[string]bool // of the states of the whole machine
	labels   map[string]bool // of the Maps of the whole machine
	caught   bool            // inside a catcher, where $states.errorOutput exists
}

// add reports an error.
func (c *checker) add(code, location, message string) {
	c.problems = append(c.problems, Problem{Error, code, message, location})
}

// warn reports something that is allowed but probably not intended.
func (c *checker) warn(code, location, message string) {
	c.problems = append(c.problems, Problem{Warning, code, message, location})
}

// schema reports a violation of the schema, AWS's code for most errors.
func (c *checker) schema(location, message string) { c.add(codeSchema, location, message) }

// parse returns false if the text is not a JSON object: then nothing else can be checked.
func (c *checker) parse(text string) (*value.Object, bool) {
	if strings.TrimSpace(text) == "" {
		c.schema("", "Definition must be a valid JSON object")
		return nil, false
	}
	v, err := value.Parse([]byte(text))
	if err != nil {
		message, source := SyntaxMessage(text, err)
		c.add(codeJSON, source, message+"\n at "+source)
		return nil, false
	}
	root, ok := v.(*value.Object)
	if !ok {
		c.schema("", "Definition must be a valid JSON object")
	}
	return root, ok
}
