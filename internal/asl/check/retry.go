package check

import (
	"slices"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// retrierFields are the fields of an element of Retry. AWS accepts an interval of 0, but not a delay of more than a year.
var retrierFields = fieldTable{
	required: []string{"ErrorEquals"},
	rules: rules{
		"ErrorEquals": {check: eachOf(isString)}, "Comment": {check: isString},
		"IntervalSeconds": {check: integer(0, stepfn.MaxSeconds)},
		"MaxAttempts":     {check: integer(0, stepfn.MaxSeconds)},
		"BackoffRate":     {check: number(1, 0)},
		"MaxDelaySeconds": {check: integer(1, maxRetryDelay)},
		"JitterStrategy":  {check: oneOf("NONE", "FULL")},
	},
}

// catcherFields are the fields of an element of Catch: ResultPath in JSONPath, and Output in JSONata.
var catcherFields = fieldTable{
	ofState:  true,
	required: []string{"ErrorEquals", "Next"},
	rules: rules{
		"ErrorEquals": {check: eachOf(isString)}, "Comment": {check: isString}, "Next": {check: isString},
		"ResultPath": {check: resultPath}, "Output": {check: jsonataTemplate}, "Assign": {check: assignment},
	},
}

func retriers(a at, v any) { handlers(a, v, retrierFields) }

// catchers sets c.caught, because expressions can read $states.errorOutput only in Catch.
func catchers(a at, v any) {
	a.c.caught = true
	handlers(a, v, catcherFields)
	a.c.caught = false
}

// handlers checks the elements of Retry or Catch.
func handlers(a at, v any, table fieldTable) {
	list, ok := v.([]any)
	if !ok {
		a.schema("Expected value of type [ARRAY]")
		return
	}
	for i, item := range list {
		loc := a.loc + "[" + itoa(i) + "]"
		o, ok := item.(*value.Object)
		if !ok {
			a.c.schema(loc, "Expected value of type [OBJECT]")
			continue
		}
		a.c.otherLanguage(loc, o, a.lang)
		a.c.fields(loc, o, table, a.lang)
		catchAll(a.c, loc, o, i == len(list)-1)
	}
}

// catchAll requires States.ALL to be alone in the last element: later elements could never match.
func catchAll(c *checker, loc string, o *value.Object, last bool) {
	v, _ := o.Get("ErrorEquals")
	names, _ := v.([]any)
	if i := slices.Index(names, any(stepfn.StatesALL)); i >= 0 && (len(names) > 1 || !last) {
		c.schema(loc+"/ErrorEquals["+itoa(i)+"]", stepfn.StatesALL+" must appear alone and at end of list")
	}
}
