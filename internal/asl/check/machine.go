package check

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// language is the query language of a state.
type language string

const (
	jsonPath language = "JSONPath"
	jsonata  language = "JSONata"
)

func (l language) other() language {
	if l == jsonPath {
		return jsonata
	}
	return jsonPath
}

// scope is a set of states: the machine's own, a branch's, or an item processor's.
type scope struct {
	loc     string // of the object that holds States; empty for the machine
	top     language
	express bool
	// outer are the variables that the scopes around assign: they can be read here but not assigned. visible are those
	// and the scope's own.
	outer, visible map[string]bool
}

// machine looks at the graph even when fields are wrong: whoever mends a definition sees all there is to mend.
func (c *checker) machine(root *value.Object, express bool) {
	s := scope{top: jsonPath, express: express}
	c.fields("/", root, machineFields, jsonPath)
	if v, ok := root.Get("QueryLanguage"); ok {
		s.top = c.queryLanguage("/QueryLanguage", v)
	}
	c.states(s, root)
	if c.flow("", root); startable(root) && !endable(root) {
		c.add(codeNoEnd, "", "Workflow has no terminal state")
	} else {
		c.reach("", root)
	}
}

// A timeout of 0 is accepted for the whole machine, though not for a Task.
var machineFields = fieldTable{
	required: []string{"States", "StartAt"},
	rules: map[string]fieldRule{
		"Comment": {check: isString}, "StartAt": {check: isString}, "States": {check: isNonEmptyObject},
		"Version":        {check: oneOf("1.0")},
		"TimeoutSeconds": {check: integer(0, stepfn.MaxSeconds)},
		"QueryLanguage":  {},
	},
}

// subMachine is a branch or an item processor.
func (c *checker) subMachine(s scope, root *value.Object, table fieldTable) {
	c.fields(s.loc, root, table, jsonPath)
	c.states(s, root)
}

// A branch has no query language of its own, nor a timeout.
var branchFields = fieldTable{
	required: []string{"States", "StartAt"},
	rules: map[string]fieldRule{
		"Comment": {check: isString}, "StartAt": {check: isString}, "States": {check: isNonEmptyObject},
	},
}

// An item processor says besides how its iterations are run.
var processorFields = fieldTable{
	required: []string{"States", "StartAt"},
	rules: map[string]fieldRule{
		"Comment": {check: isString}, "StartAt": {check: isString}, "States": {check: isNonEmptyObject},
		"ProcessorConfig": {check: isObject},
	},
}

// queryLanguage checks a QueryLanguage and says what it stands for: anything but the exact JSONPath is JSONata.
func (c *checker) queryLanguage(loc string, v any) language {
	name, ok := v.(string)
	switch {
	case !ok:
		c.schema(loc, "Expected value of type [STRING]")
	case name == string(jsonPath):
		return jsonPath
	case name != string(jsonata):
		c.schema(loc, "Value should be one of the following: [JSONPath, JSONata]")
	}
	return jsonata
}

// statesOf is nil for what is no object: a nil object is empty.
func statesOf(root *value.Object) *value.Object {
	v, _ := root.Get("States")
	states, _ := v.(*value.Object)
	return states
}

func (c *checker) states(s scope, root *value.Object) {
	states := statesOf(root)
	s.visible = assigned(s.outer, states)
	for i := range states.Len() {
		name, v := states.At(i)
		loc := s.loc + "/States/" + name
		if c.names[name] {
			c.add(codeDuplicate, loc, "Duplicate State name: "+name)
		}
		c.names[name] = true
		c.stateName(loc, name)
		if state, ok := v.(*value.Object); ok {
			c.state(s, name, state)
		} else {
			c.schema(loc, "Expected value of type [OBJECT]")
		}
	}
}

func (c *checker) stateName(loc, name string) {
	switch {
	case strings.TrimSpace(name) == "":
		c.add(codeStateName, loc, "The state name cannot be empty")
	case utf8.RuneCountInString(name) > maxStateName:
		c.add(codeStateName, loc, fmt.Sprintf("Invalid State name: State '%s' exceeds the %d-character limit allowed by the service", name, maxStateName))
	}
}

// state checks one state and what is inside it.
func (c *checker) state(s scope, name string, state *value.Object) {
	loc := s.loc + "/States/" + name
	v, ok := state.Get("Type")
	if !ok {
		c.schema(loc, "These fields are required: [Type]")
		return
	}
	kind, _ := v.(string)
	spec, known := stateTypes[kind]
	if !known {
		c.schema(loc+"/Type", "The field 'Type' should have one of these values: "+
			"[Task, Wait, Pass, Succeed, Fail, Choice, Parallel, Map]")
		return
	}
	lang, downgraded := c.stateLanguage(s, loc, state)
	if !downgraded {
		c.otherLanguage(loc, state, lang)
	}
	if v, ok := state.Get("QueryLanguage"); ok {
		c.queryLanguage(loc+"/QueryLanguage", v)
	}
	c.fields(loc, state, spec.table, lang)
	if spec.transits {
		c.nextOrEnd(loc, state)
	}
	if spec.check != nil {
		spec.check(c, stateAt{s, loc, state, lang})
	}
	c.variables(s, loc, state, lang)
	if lang == jsonPath {
		c.warnings(loc, kind, state)
	}
}

// stateLanguage is the state's effective query language: its own, or the machine's, whatever the states around declare.
func (c *checker) stateLanguage(s scope, loc string, state *value.Object) (lang language, downgraded bool) {
	v, ok := state.Get("QueryLanguage")
	switch {
	case !ok:
		return s.top, false
	case v != string(jsonPath):
		return jsonata, false
	case s.top == jsonata:
		c.schema(loc, "'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine")
		return jsonPath, true
	}
	return jsonPath, false
}

// otherLanguage reports fields that the state's query language does not have, at the state.
func (c *checker) otherLanguage(loc string, state *value.Object, lang language) {
	for _, name := range state.Keys() {
		if only, ok := onlyIn[name]; ok && only != lang {
			c.schema(loc, fmt.Sprintf("The QueryLanguage is set to '%s', but field '%s' is only supported for the '%s' QueryLanguage",
				lang, name, only))
		}
	}
}

// onlyIn are the fields of states that one query language has and the other has not.
var onlyIn = map[string]language{
	"InputPath": jsonPath, "OutputPath": jsonPath, "ResultPath": jsonPath, "Parameters": jsonPath, "ResultSelector": jsonPath,
	"Result": jsonPath, "ItemsPath": jsonPath, "SecondsPath": jsonPath, "TimestampPath": jsonPath, "ErrorPath": jsonPath,
	"CausePath": jsonPath, "TimeoutSecondsPath": jsonPath, "HeartbeatSecondsPath": jsonPath, "MaxConcurrencyPath": jsonPath,
	"ToleratedFailureCountPath": jsonPath, "ToleratedFailurePercentagePath": jsonPath,
	"Arguments": jsonata, "Output": jsonata, "Items": jsonata,
}

// nextOrEnd takes End: false for no End.
func (c *checker) nextOrEnd(loc string, state *value.Object) {
	end, _ := state.Get("End")
	switch next := state.Has("Next"); {
	case next && end == true:
		c.schema(loc, "There should only be one of the following fields: [Next, End]")
	case !next && end != true:
		c.schema(loc, "This object should have only one of the following fields: [Next, End]")
	}
}
