package check

import (
	"slices"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// An interval of 0 is accepted; a delay of more than a year is not.
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

// catcherFields holds ResultPath for one query language and Output for the other.
var catcherFields = fieldTable{
	ofState:  true,
	required: []string{"ErrorEquals", "Next"},
	rules: rules{
		"ErrorEquals": {check: eachOf(isString)}, "Comment": {check: isString}, "Next": {check: isString},
		"ResultPath": {check: resultPath}, "Output": {check: jsonataTemplate}, "Assign": {check: assignment},
	},
}

func retriers(a at, v any) { handlers(a, v, retrierFields) }

// catchers may read $states.errorOutput, which nothing else may.
func catchers(a at, v any) {
	a.c.caught = true
	handlers(a, v, catcherFields)
	a.c.caught = false
}

// handlers checks retriers and catchers alike.
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

// catchAll holds States.ALL to the last place: what came after it could never be reached.
func catchAll(c *checker, loc string, o *value.Object, last bool) {
	v, _ := o.Get("ErrorEquals")
	names, _ := v.([]any)
	if i := slices.Index(names, any(stepfn.StatesALL)); i >= 0 && (len(names) > 1 || !last) {
		c.schema(loc+"/ErrorEquals["+itoa(i)+"]", stepfn.StatesALL+" must appear alone and at end of list")
	}
}
