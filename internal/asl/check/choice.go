package check

import (
	"slices"
	"strconv"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

func itoa(i int) string { return strconv.Itoa(i) }

// comparisons are the comparison operators, with the rule for their operand.
var comparisons = func() rules {
	all := rules{
		"StringMatches": {check: isString}, "BooleanEquals": {check: isBoolean}, "BooleanEqualsPath": {check: referencePath},
	}
	for _, name := range []string{"IsNull", "IsPresent", "IsNumeric", "IsString", "IsBoolean", "IsTimestamp"} {
		all[name] = fieldRule{check: isBoolean}
	}
	for kind, operand := range map[string]rule{"String": isString, "Numeric": isNumber, "Timestamp": timestamp} {
		for _, op := range []string{"Equals", "LessThan", "GreaterThan", "LessThanEquals", "GreaterThanEquals"} {
			all[kind+op], all[kind+op+"Path"] = fieldRule{check: operand}, fieldRule{check: referencePath}
		}
	}
	return all
}()

func isNumber(a at, v any) {
	if _, ok := v.(value.Number); !ok {
		a.schema("Expected value of type Number")
	}
}

// choice checks one element of Choices.
func choice(a at, v any) {
	if o, ok := v.(*value.Object); !ok {
		a.schema("Expected value of type [OBJECT]")
	} else if a.lang == jsonata {
		jsonataChoice(a, o)
	} else {
		pathChoice(a, o, true)
	}
}

// jsonataChoiceFields are the fields of a rule in JSONata: comparisons are part of the expression in Condition.
var jsonataChoiceFields = fieldTable{
	required: []string{"Next"},
	rules: rules{
		"Condition": {check: condition}, "Next": {check: isString}, "Comment": {check: isString},
		"Assign": {check: assignment}, "Output": {check: jsonataTemplate},
	},
}

// condition accepts a boolean or an expression.
func condition(a at, v any) {
	_, constant := v.(bool)
	switch {
	case constant:
	case isExpression(v):
		a.c.jsonata(a.loc, v.(string))
	default:
		a.schema("Expected value of type [BOOLEAN] or a JSONata expression")
	}
}

// onlyOne names the fields of which a rule must have exactly one.
const onlyOne = "The object must have only one of the following fields, [And, Or, Not, Variable, Condition]"

// jsonataChoice stops at the first comparison operator: the rule was written for JSONPath, and each of its fields would be an
// error.
func jsonataChoice(a at, o *value.Object) {
	for _, name := range o.Keys() {
		if _, comparison := comparisons[name]; comparison || slices.Contains(combiners, name) {
			a.schema("The QueryLanguage is set to 'JSONata', but field '%s' is only supported for the 'JSONPath' QueryLanguage", name)
			return
		}
	}
	if !o.Has("Condition") {
		a.schema(onlyOne)
	}
	a.c.fields(a.loc, o, jsonataChoiceFields, a.lang)
}

// combiners are the fields of which a rule in JSONPath has exactly one.
var combiners = []string{"And", "Or", "Not", "Variable"}

// pathChoice checks a rule in JSONPath. Only the outermost rule has Next and Assign.
func pathChoice(a at, o *value.Object, outermost bool) {
	has := slices.DeleteFunc(slices.Clone(combiners), func(name string) bool { return !o.Has(name) })
	switch {
	case o.Has("Condition"):
		a.schema("The QueryLanguage is set to 'JSONPath', but field 'Condition' is only supported for the 'JSONata' QueryLanguage")
		return
	case len(has) != 1:
		a.schema(onlyOne)
		return
	}
	table := choiceTable(has[0], outermost)
	a.c.fields(a.loc, o, table, a.lang)
	v, _ := o.Get(has[0])
	switch has[0] {
	case "Variable":
		referencePath(a.field("Variable"), v)
		oneComparison(a, o)
	case "Not":
		nested(a.field("Not"), v)
	default:
		eachOf(nested)(a.field(has[0]), v)
	}
}

// choiceTable returns the fields of a rule in JSONPath that has the combiner kind.
func choiceTable(kind string, outermost bool) fieldTable {
	t := fieldTable{rules: rules{"Comment": {check: isString}, kind: {}}}
	if kind == "Variable" {
		for name, r := range comparisons {
			t.rules[name] = r
		}
	}
	if outermost {
		t.required = []string{"Next"}
		t.rules["Next"], t.rules["Assign"] = fieldRule{check: isString}, fieldRule{check: assignment}
	}
	return t
}

func nested(a at, v any) {
	if o, ok := v.(*value.Object); ok {
		pathChoice(a, o, false)
	} else {
		a.schema("Expected value of type [OBJECT]")
	}
}

// oneComparison requires exactly one operator. AWS lists all of them if there are several.
func oneComparison(a at, o *value.Object) {
	var found []string
	for _, name := range o.Keys() {
		if _, ok := comparisons[name]; ok {
			found = append(found, name)
		}
	}
	switch len(found) {
	case 0:
		a.schema("A comparison operator is required")
	case 1:
	default:
		a.schema("There should only be one of the following fields: [%s]", strings.Join(found, ", "))
	}
}
