package check

import (
	"maps"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// stateAt is a state in its context.
type stateAt struct {
	scope scope
	loc   string
	state *value.Object
	lang  language
}

// stateType describes the states of one type.
type stateType struct {
	table    fieldTable
	transits bool                    // has Next or End
	check    func(*checker, stateAt) // checks that the table cannot express; may be nil
}

// stateTypes are the types of states by name. init sets them, because their rules refer to them.
var stateTypes map[string]stateType

// Fields that several types of states have, grouped by purpose.
var (
	everyState = rules{
		"Type": {}, "QueryLanguage": {}, "Comment": {check: isString},
	}
	inputOutput = rules{
		"InputPath": {check: nullablePath}, "OutputPath": {check: nullablePath}, "Output": {check: jsonataTemplate},
	}
	assign     = rules{"Assign": {check: assignment}}
	transition = rules{"Next": {check: isString}, "End": {check: isBoolean}}
	parameters = rules{"Parameters": {check: template}}
	results    = rules{
		"ResultPath": {check: resultPath}, "ResultSelector": {check: template},
		"Retry": {check: retriers}, "Catch": {check: catchers},
	}
)

// rules are the rules of fields, by name.
type rules = map[string]fieldRule

// stateTable builds the table of a type from its own fields and the groups of fields that it shares with other types.
func stateTable(required []string, oneOf []group, parts ...rules) fieldTable {
	all := maps.Clone(everyState)
	for _, p := range parts {
		maps.Copy(all, p)
	}
	return fieldTable{required: required, rules: all, oneOf: oneOf, ofState: true}
}

func init() {
	seconds := fieldRule{check: integer(1, stepfn.MaxSeconds), expression: true}
	stateTypes = map[string]stateType{
		"Pass": {transits: true, table: stateTable(nil, nil, inputOutput, assign, transition, parameters, rules{
			"Result": {}, "ResultPath": {check: resultPath},
		})},
		"Task": {transits: true, check: (*checker).task, table: stateTable([]string{"Resource"},
			[]group{
				{fields: []string{"TimeoutSeconds", "TimeoutSecondsPath"}},
				{fields: []string{"HeartbeatSeconds", "HeartbeatSecondsPath"}},
			},
			inputOutput, assign, transition, parameters, results, rules{
				"Resource": {check: isString}, "Credentials": {check: isObject}, "Arguments": {check: jsonataTemplate},
				"TimeoutSeconds": seconds, "TimeoutSecondsPath": {check: referencePath},
				"HeartbeatSeconds": seconds, "HeartbeatSecondsPath": {check: referencePath},
			})},
		"Choice": {table: stateTable([]string{"Choices"}, nil, inputOutput, assign, rules{
			"Choices": {check: eachOf(choice)}, "Default": {check: isString},
		})},
		"Wait": {transits: true, table: stateTable(nil,
			[]group{{fields: []string{"SecondsPath", "Seconds", "TimestampPath", "Timestamp"}, must: true}},
			inputOutput, assign, transition, rules{
				"Seconds":     {check: integer(0, stepfn.MaxSeconds), expression: true},
				"Timestamp":   {check: timestamp, expression: true},
				"SecondsPath": {check: referencePath}, "TimestampPath": {check: referencePath},
			})},
		"Succeed": {table: stateTable(nil, nil, inputOutput)},
		"Fail": {table: stateTable(nil,
			[]group{{fields: []string{"Error", "ErrorPath"}}, {fields: []string{"Cause", "CausePath"}}},
			rules{
				"Error": {check: isString, expression: true}, "Cause": {check: isString, expression: true},
				"ErrorPath": {check: pathOrIntrinsic}, "CausePath": {check: pathOrIntrinsic},
			})},
		"Parallel": {transits: true, check: (*checker).parallel, table: stateTable([]string{"Branches"}, nil,
			inputOutput, assign, transition, parameters, results, rules{
				"Branches": {check: isNonEmptyArray}, "Arguments": {check: jsonataTemplate},
			})},
		"Map": {transits: true, check: (*checker).mapState, table: mapTable()},
	}
}

// parallel checks the branches. Each of them is a scope.
func (c *checker) parallel(s stateAt) {
	v, _ := s.state.Get("Branches")
	branches, _ := v.([]any)
	for i, b := range branches {
		inner := s.scope
		inner.loc, inner.outer = s.loc+"/"+indexed("Branches", i), s.scope.visible
		if branch, ok := b.(*value.Object); ok {
			c.subMachine(inner, branch, branchFields)
		} else {
			c.schema(inner.loc, "Expected value of type [OBJECT]")
		}
	}
}
