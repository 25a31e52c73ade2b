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

// scope is a set of states: those of the machine, of a branch, or of an item processor.
type scope struct {
	loc     string   // of the object that has the field States; empty for the machine
	top     language // of the machine
	express bool     // the execution that runs the states is an Express one
	// outer are the variables that the surrounding scopes assign: states can read them, but not assign them. visible are
	// these and the variables of the scope itself.
	outer, visible map[string]bool
}

// machine checks the transitions even if fields are invalid, so that the user sees all problems at once.
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

// machineFields are the fields of a definition. A timeout of 0 is valid for the machine, but not for a Task.
var machineFields = fieldTable{
	required: []string{"States", "StartAt"},
	rules: map[string]fieldRule{
		"Comment": {check: isString}, "StartAt": {check: isString}, "States": {check: isNonEmptyObject},
		"Version":        {check: oneOf("1.0")},
		"TimeoutSeconds": {check: integer(0, stepfn.MaxSeconds)},
		"QueryLanguage":  {},
	},
}

// subMachine checks a branch or an item processor.
func (c *checker) subMachine(s scope, root *value.Object, table fieldTable) {
	c.fields(s.loc, root, table, jsonPath)
	c.states(s, root)
}

// branchFields are the fields of a branch, which has neither QueryLanguage nor TimeoutSeconds.
var branchFields = fieldTable{
	required: []string{"States", "StartAt"},
	rules: map[string]fieldRule{
		"Comment": {check: isString}, "StartAt": {check: isString}, "States": {check: isNonEmptyObject},
	},
}

// processorFields are the fields of an item processor, which also describes how its iterations run.
var processorFields = fieldTable{
	required: []string{"States", "StartAt"},
	rules: map[string]fieldRule{
		"Comment": {check: isString}, "StartAt": {check: isString}, "States": {check: isNonEmptyObject},
		"ProcessorConfig": {check: isObject},
	},
}

// queryLanguage checks a QueryLanguage and returns its effective value: anything except exactly JSONPath is treated as
// JSONata.
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

// statesOf returns the States of a scope, or nil if they are not an object. A nil object is empty.
func statesOf(root *value.Object) *value.Object {
	v, _ := root.Get("States")
	states, _ := v.(*value.Object)
	return states
}

// states checks all states of a scope. Names of states must be unique in the whole machine.
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

// state checks one state and everything inside it.
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

// stateLanguage returns the effective query language of a state: its own or the machine's, not that of the states around it.
// downgraded means that it is JSONPath in a machine of JSONata, which is an error.
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

// otherLanguage reports fields that the query language of the state does not have. The location is that of the state.
func (c *checker) otherLanguage(loc string, state *value.Object, lang language) {
	for _, name := range state.Keys() {
		if only, ok := onlyIn[name]; ok && only != lang {
			c.schema(loc, fmt.Sprintf("The QueryLanguage is set to '%s', but field '%s' is only supported for the '%s' QueryLanguage",
				lang, name, only))
		}
	}
}

// onlyIn are the fields of states that exist in only one query language.
var onlyIn = map[string]language{
	"InputPath": jsonPath, "OutputPath": jsonPath, "ResultPath": jsonPath, "Parameters": jsonPath, "ResultSelector": jsonPath,
	"Result": jsonPath, "ItemsPath": jsonPath, "SecondsPath": jsonPath, "TimestampPath": jsonPath, "ErrorPath": jsonPath,
	"CausePath": jsonPath, "TimeoutSecondsPath": jsonPath, "HeartbeatSecondsPath": jsonPath, "MaxConcurrencyPath": jsonPath,
	"ToleratedFailureCountPath": jsonPath, "ToleratedFailurePercentagePath": jsonPath,
	"Arguments": jsonata, "Output": jsonata, "Items": jsonata,
}

// nextOrEnd treats End: false like a missing End.
func (c *checker) nextOrEnd(loc string, state *value.Object) {
	end, _ := state.Get("End")
	switch next := state.Has("Next"); {
	case next && end == true:
		c.schema(loc, "There should only be one of the following fields: [Next, End]")
	case !next && end != true:
		c.schema(loc, "This object should have only one of the following fields: [Next, End]")
	}
}
