// Package check finds what is wrong with a state machine's definition: every problem at once, each with AWS's code, its
// place, and AWS's words where they are known. It works on the raw JSON, so that it can say more than that a definition
// does not compile; it changes nothing and runs nothing. CreateStateMachine, UpdateStateMachine,
// ValidateStateMachineDefinition and TestState answer with it.
//
// Words and places follow recorded answers of AWS; where none is recorded they follow their manner.
package check

import (
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// The severities of a problem. Only errors make a definition unusable.
const (
	Error   = "ERROR"
	Warning = "WARNING"
)

// The codes of problems, as AWS documents them at ValidateStateMachineDefinitionDiagnostic.
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
	noLocation        = "null" // how AWS prints a place that it does not know
	maxStateName      = 80
	maxLabel          = 40
	maxRetryDelay     = 31_622_400
	maxReaderMaxItems = 100_000_000
)

// Problem is one thing that is wrong. Location is empty where it has none.
type Problem struct{ Severity, Code, Message, Location string }

// Result is everything that was found: first what stands in the wrong place, then what leads nowhere.
type Result struct{ Problems []Problem }

// OK says that there is no error; there may be warnings.
func (r Result) OK() bool {
	for _, p := range r.Problems {
		if p.Severity == Error {
			return false
		}
	}
	return true
}

// Refusal is the message of the InvalidDefinition exception, when there is an error.
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

// Definition checks the text of a whole definition.
func Definition(text string, express bool) Result {
	c := &checker{names: map[string]bool{}, labels: map[string]bool{}}
	root, ok := c.parse(text)
	if ok {
		c.machine(root, express)
	}
	return Result{c.problems}
}

// StateName is what a state is called that TestState is given without its machine.
const StateName = "StateName"

// State checks the text of one state alone, as TestState takes it: where it goes next is not looked at.
func State(text string) Result {
	c := &checker{names: map[string]bool{}, labels: map[string]bool{}}
	if root, ok := c.parse(text); ok {
		c.state(scope{loc: "", top: jsonPath}, StateName, root)
	}
	return Result{c.problems}
}

// checker collects problems.
type checker struct {
	problems []Problem
	names    map[string]bool // of states, in the whole machine
	labels   map[string]bool
	caught   bool // inside a catcher, where there is an error's output
}

// add reports an error.
func (c *checker) add(code, location, message string) {
	c.problems = append(c.problems, Problem{Error, code, message, location})
}

// warn reports what is allowed but hardly meant.
func (c *checker) warn(code, location, message string) {
	c.problems = append(c.problems, Problem{Warning, code, message, location})
}

// schema reports what AWS calls a violation of the schema, which is most of what can be wrong.
func (c *checker) schema(location, message string) { c.add(codeSchema, location, message) }

// parse gives up here when there is no object: nothing else can be said about such a text.
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
