package check_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/asl/check"
)

// lines formats problems as "CODE location: message".
func lines(r check.Result, severity string) []string {
	var out []string
	for _, p := range r.Problems {
		if p.Severity == severity {
			out = append(out, p.Code+" "+p.Location+": "+p.Message)
		}
	}
	return out
}

// one returns a machine with a single state, which must end.
func one(state string) string { return `{"StartAt":"X","States":{"X":` + state + `}}` }

const (
	schema  = "SCHEMA_VALIDATION_FAILED "
	missing = "MISSING_TRANSITION_TARGET "
)

func TestDefinition(t *testing.T) {
	const dollar = "The value for the field 'a.$' must be a valid JSONPath or a valid intrinsic function call"
	for _, c := range []struct {
		name, text string
		express    bool
		want       []string
	}{
		{name: "an empty text", text: " ", want: []string{schema + ": Definition must be a valid JSON object"}},
		{name: "an array", text: "[]", want: []string{schema + ": Definition must be a valid JSON object"}},
		{name: "an empty object", text: "{}", want: []string{schema + "/: These fields are required: [States, StartAt]"}},
		{name: "no states", text: `{"StartAt":"A","States":{}}`, want: []string{schema + "/States: Value cannot be empty"}},
		{name: "a pass", text: one(`{"Type":"Pass","End":true}`)},
		{name: "an unknown field", text: one(`{"Type":"Pass","End":true,"Retries":1}`),
			want: []string{schema + "/States/X: Field 'Retries' is not supported"}},
		{name: "an unknown field of the machine", text: `{"StartAt":"X","Timeout":1,"States":{"X":{"Type":"Succeed"}}}`,
			want: []string{schema + "/: Field 'Timeout' is not supported"}},
		{name: "an unknown version", text: `{"StartAt":"X","Version":"2.0","States":{"X":{"Type":"Succeed"}}}`,
			want: []string{schema + "/Version: Value should be one of the following: [1.0]"}},
		{name: "an unknown type", text: one(`{"Type":"Nap","End":true}`), want: []string{schema +
			"/States/X/Type: The field 'Type' should have one of these values: [Task, Wait, Pass, Succeed, Fail, Choice, Parallel, Map]"}},
		{name: "missing type", text: one(`{"End":true}`), want: []string{schema + "/States/X: These fields are required: [Type]"}},
		{name: "both next and end", text: `{"StartAt":"X","States":{"X":{"Type":"Pass","Next":"Y","End":true},"Y":{"Type":"Succeed"}}}`,
			want: []string{schema + "/States/X: There should only be one of the following fields: [Next, End]"}},
		{name: "neither next nor end", text: one(`{"Type":"Pass"}`),
			want: []string{schema + "/States/X: This object should have only one of the following fields: [Next, End]"}},
		{name: "fields of Task elsewhere", text: one(`{"Type":"Pass","End":true,"TimeoutSeconds":5,"Catch":[]}`), want: []string{
			schema + "/States/X: Field 'TimeoutSeconds' is not supported", schema + "/States/X: Field 'Catch' is not supported"}},

		{name: "a loop without an end state", text: `{"StartAt":"A","States":{"A":{"Type":"Pass","Next":"B"},"B":{"Type":"Pass","Next":"A"},
			"Unused":{"Type":"Pass","Next":"A"}}}`, want: []string{"MISSING_END_STATE : Workflow has no terminal state"}},
		{name: "a loop in a branch", text: `{"StartAt":"M","States":{"M":{"Type":"Map","End":true,"ItemProcessor":
			{"StartAt":"A","States":{"A":{"Type":"Pass","Next":"B"},"B":{"Type":"Pass","Next":"A"}}}}}}`},
		{name: "a missing target and no end state", text: one(`{"Type":"Pass","Next":"NOPE"}`), want: []string{
			missing + "/States/X/Next: Missing 'Next' target: NOPE", "MISSING_END_STATE : Workflow has no terminal state"}},
		{name: "missing targets", text: `{"StartAt":"C","States":{"C":{"Type":"Choice","Choices":
			[{"Variable":"$.x","IsPresent":true,"Next":"G1"}],"Default":"T"},"T":{"Type":"Task","Resource":"arn:aws:lambda:us-east-1:1:function:f",
			"Catch":[{"ErrorEquals":["States.ALL"],"Next":"G2"}],"End":true}}}`, want: []string{
			missing + "/States/C/Choices[0]/Next: Missing 'Next' target: G1",
			missing + "/States/T/Catch[0]/Next: Missing 'Next' target: G2"}},
		{name: "a missing start state", text: `{"StartAt":"Nope","States":{"A":{"Type":"Pass","End":true}}}`, want: []string{
			missing + "/StartAt: Missing 'Next' target: Nope", missing + `/States/A: State "A" is not reachable.`}},
		{name: "unreachable in a branch", text: one(`{"Type":"Parallel","End":true,"Branches":[{"StartAt":"W","States":
			{"W":{"Type":"Pass","End":true},"Ghost":{"Type":"Pass","End":true}}}]}`),
			want: []string{missing + `/States/X/Branches[0]/States/Ghost: State "Ghost" is not reachable.`}},
		{name: "a duplicate name", text: one(`{"Type":"Parallel","End":true,"Branches":[{"StartAt":"X","States":{"X":{"Type":"Pass","End":true}}}]}`),
			want: []string{"DUPLICATE_STATE_NAME /States/X/Branches[0]/States/X: Duplicate State name: X"}},
		{name: "no branches", text: one(`{"Type":"Parallel","Branches":[],"End":true}`),
			want: []string{schema + "/States/X/Branches: Value cannot be empty"}},

		{name: "a wait without a time", text: one(`{"Type":"Wait","End":true}`), want: []string{schema + "/States/X: This object should " +
			"have only one of the following fields: [SecondsPath, Seconds, TimestampPath, Timestamp]"}},
		{name: "a wait with two times", text: one(`{"Type":"Wait","Seconds":1,"Timestamp":"2024-01-01T00:00:00Z","End":true}`),
			want: []string{schema + "/States/X: There should only be one of the following fields: [SecondsPath, Seconds, TimestampPath, Timestamp]"}},
		{name: "a negative wait", text: one(`{"Type":"Wait","Seconds":-1,"End":true}`), want: []string{schema + "/States/X/Seconds: Minimum value is 0"}},
		{name: "a timeout of zero", text: one(`{"Type":"Task","Resource":"arn:aws:lambda:us-east-1:1:function:f","TimeoutSeconds":0,"End":true}`),
			want: []string{schema + "/States/X/TimeoutSeconds: Minimum value is 1"}},
		{name: "a timeout that is a string", text: one(`{"Type":"Task","Resource":"arn:aws:lambda:us-east-1:1:function:f","TimeoutSeconds":"5","End":true}`),
			want: []string{schema + "/States/X/TimeoutSeconds: Expected value of type Integer"}},
		{name: "not an ARN", text: one(`{"Type":"Task","Resource":"lambda","End":true}`),
			want: []string{schema + "/States/X/Resource: Value is not a valid resource ARN"}},
		{name: "missing parameters", text: one(`{"Type":"Task","Resource":"arn:aws:states:::sqs:sendMessage","End":true}`), want: []string{
			schema + "/States/X/Resource: Parameters field is required for resource ARN: arn:aws:states:::sqs:sendMessage"}},
		{name: "a missing parameter", text: one(`{"Type":"Task","Resource":"arn:aws:states:::sqs:sendMessage","Parameters":{"QueueUrl.$":"$.q"},"End":true}`),
			want: []string{schema + "/States/X/Parameters: The field 'MessageBody' is required but was missing"}},
		{name: "sync with a service that lacks it", text: one(`{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke.sync","Parameters":{"FunctionName":"f"},"End":true}`),
			want: []string{schema + "/States/X/Resource: The resource provided arn:aws:states:::lambda:invoke.sync is not recognized. " +
				"The value is not a valid resource ARN, or the resource is not available in this region."}},
		{name: "sync in express", express: true, text: one(`{"Type":"Task","Resource":"arn:aws:states:::states:startExecution.sync:2","Parameters":{"StateMachineArn":"a"},"End":true}`),
			want: []string{schema + "/States/X/Resource: Express state machine does not support '.sync' service integration"}},
		{name: "a distributed map in express", express: true, text: one(`{"Type":"Map","End":true,"ItemProcessor":{"ProcessorConfig":
			{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},"StartAt":"P","States":{"P":{"Type":"Pass","End":true}}}}`), want: []string{schema +
			"/States/X/ItemProcessor/ProcessorConfig/Mode: The field 'Mode' with value 'DISTRIBUTED' is not supported inside 'EXPRESS' state machines"}},
		{name: "missing execution type", text: one(`{"Type":"Map","End":true,"ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED"},
			"StartAt":"P","States":{"P":{"Type":"Pass","End":true}}}}`),
			want: []string{schema + "/States/X/ItemProcessor/ProcessorConfig: These fields are required: [ExecutionType]"}},
		{name: "missing item processor", text: one(`{"Type":"Map","End":true}`), want: []string{schema +
			"/States/X: This object should have only one of the following fields: [ItemProcessor, Iterator]"}},

		{name: "States.ALL before another catcher", text: one(`{"Type":"Task","Resource":"arn:aws:lambda:us-east-1:1:function:f","End":true,
			"Retry":[{"ErrorEquals":["States.ALL"]},{"ErrorEquals":["A"],"JitterStrategy":"SOME","BackoffRate":0.5}]}`), want: []string{
			schema + "/States/X/Retry[0]/ErrorEquals[0]: States.ALL must appear alone and at end of list",
			schema + "/States/X/Retry[1]/JitterStrategy: Value should be one of the following: [NONE, FULL]",
			schema + "/States/X/Retry[1]/BackoffRate: Minimum value is 1.0"}},
		{name: "a catcher without a target", text: one(`{"Type":"Task","Resource":"arn:aws:lambda:us-east-1:1:function:f","End":true,
			"Catch":[{"ErrorEquals":[]}]}`), want: []string{
			schema + "/States/X/Catch[0]: These fields are required: [Next]", schema + "/States/X/Catch[0]/ErrorEquals: Value cannot be empty"}},
		{name: "a choice without rules", text: `{"StartAt":"X","States":{"X":{"Type":"Choice","Choices":[],"Default":"Y"},"Y":{"Type":"Succeed"}}}`,
			want: []string{schema + "/States/X/Choices: Value cannot be empty"}},
		{name: "a choice rule with two combiners", text: `{"StartAt":"X","States":{"X":{"Type":"Choice","Choices":[
			{"Variable":"$.a","IsNull":true,"IsPresent":true,"Next":"Y"},{"And":[{"Variable":"$.a","IsNull":true,"Next":"Y"}],"Next":"Y"},
			{"Next":"Y"}]},"Y":{"Type":"Succeed"}}}`, want: []string{
			schema + "/States/X/Choices[0]: There should only be one of the following fields: [IsNull, IsPresent]",
			schema + "/States/X/Choices[1]/And[0]: Field 'Next' is not supported",
			schema + "/States/X/Choices[2]: The object must have only one of the following fields, [And, Or, Not, Variable, Condition]"}},

		{name: "a JSONata field in JSONPath", text: one(`{"Type":"Pass","Output":{},"End":true}`), want: []string{schema +
			"/States/X: The QueryLanguage is set to 'JSONPath', but field 'Output' is only supported for the 'JSONata' QueryLanguage"}},
		{name: "a JSONPath field in JSONata", text: one(`{"Type":"Pass","QueryLanguage":"JSONata","InputPath":"$.a","End":true}`),
			want: []string{schema + "/States/X: The QueryLanguage is set to 'JSONata', but field 'InputPath' is only supported for the 'JSONPath' QueryLanguage"}},
		{name: "a JSONPath state in a JSONata machine", text: `{"QueryLanguage":"JSONata","StartAt":"X","States":{"X":{"Type":"Pass","QueryLanguage":"JSONPath","Output":1,"End":true}}}`,
			want: []string{schema + "/States/X: 'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine"}},
		{name: "a language in lower case", text: one(`{"Type":"Pass","QueryLanguage":"jsonata","Output":{},"InputPath":"$","End":true}`), want: []string{
			schema + "/States/X: The QueryLanguage is set to 'JSONata', but field 'InputPath' is only supported for the 'JSONPath' QueryLanguage",
			schema + "/States/X/QueryLanguage: Value should be one of the following: [JSONPath, JSONata]"}},
		{name: "a query language in a branch", text: one(`{"Type":"Parallel","End":true,"Branches":[{"QueryLanguage":"JSONata","StartAt":"P","States":{"P":{"Type":"Pass","End":true}}}]}`),
			want: []string{schema + "/States/X/Branches[0]: Field 'QueryLanguage' is not supported"}},
		{name: "a bad path", text: one(`{"Type":"Pass","InputPath":"a.b","Parameters":{"a.$":"$.["},"End":true}`), want: []string{
			schema + "/States/X/InputPath: Value must be a valid JSONPath.", schema + "/States/X/Parameters: " + dollar}},
		{name: "a field with a value and a path", text: one(`{"Type":"Pass","Parameters":{"b":{"a":1,"a.$":"$.x"}},"End":true}`),
			want: []string{schema + "/States/X/Parameters/b: The fields 'a' and 'a.$' stand for the same field"}},
		{name: "both spellings of a key in JSONata", text: one(`{"Type":"Pass","QueryLanguage":"JSONata","Output":{"a":1,"a.$":"$.x"},"End":true}`)},
		{name: "a result path to a variable", text: one(`{"Type":"Pass","ResultPath":"$a.b","End":true}`),
			want: []string{schema + "/States/X/ResultPath: Value is not a Reference Path: A variable cannot be changed"}},
		{name: "a filter with an unquoted string", text: one(`{"Type":"Pass","Parameters":{"a.$":"$[?(@.code==es)].text"},"End":true}`)},
		{name: "expressions with one delimiter", text: `{"QueryLanguage":"JSONata","StartAt":"E","States":{"E":{"Type":"Pass","Output":
			{"v":"{% 1 %","w":[" {% 1 %}"],"x":" {% 1 %} ","y":"{%}"},"End":true}}}`, want: []string{
			schema + "/States/E/Output/v: JSONata string must start with {% and end with %}",
			schema + "/States/E/Output/w[0]: JSONata string must start with {% and end with %}",
			schema + "/States/E/Output/y: JSONata string must start with {% and end with %}"}},
		{name: "a result path that is not a reference path", text: one(`{"Type":"Pass","ResultPath":"$.a[*]","End":true}`),
			want: []string{schema + "/States/X/ResultPath: Value is not a Reference Path"}},
		{name: "reserved and invalid variables", text: one(`{"Type":"Pass","Assign":{"states":1,"a-b":1,"ok.$":"$"},"End":true}`), want: []string{
			"RESERVED_VARIABLE_NAME /States/X/Assign: Cannot assign to reserved variable '$states'.",
			"INVALID_VARIABLE_NAME /States/X/Assign: Invalid variable name 'a-b': the variable name contains invalid characters."}},
		{name: "a variable of a surrounding scope", text: one(`{"Type":"Parallel","End":true,"Assign":{"v":1},"Branches":[{"StartAt":"P","States":
			{"P":{"Type":"Pass","Assign":{"v.$":"$","w":1},"End":true}}}]}`), want: []string{"DUPLICATE_VARIABLE_NAME " +
			"/States/X/Branches[0]/States/P/Assign/v.$: The variable name 'v' was already defined in a parent scope."}},
		{name: "a variable of the parent of a distributed map", text: one(`{"Type":"Map","End":true,"Assign":{"v":1},"ItemProcessor":{"ProcessorConfig":
			{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},"StartAt":"P","States":{"P":{"Type":"Pass","Assign":{"v":1},"End":true}}}}`)},
		{name: "a long label", text: one(`{"Type":"Map","End":true,"Label":"` + strings.Repeat("l", 41) + `","ItemProcessor":{"ProcessorConfig":
			{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},"StartAt":"P","States":{"P":{"Type":"Pass","End":true}}}}`), want: []string{
			"INVALID_LABEL_NAME /States/X/Label: Label '" + strings.Repeat("l", 41) + "' exceeds the 40-character limit allowed by the service"}},
		{name: "expressions that AWS rejects", text: `{"QueryLanguage":"JSONata","StartAt":"E","States":{"E":{"Type":"Pass","Output":
			{"v":"{% phone %}","w":"{% $$ %}","x":"{% $states.errorOutput %}","y":"{% $states.input.items[value > 3] %}","z":"{% 1 + %}"},"End":true}}}`, want: []string{
			"UNSUPPORTED_JSONATA_EXPRESSION /States/E/Output/v: Reference to 'phone' at the top level is not supported.",
			"UNSUPPORTED_JSONATA_EXPRESSION /States/E/Output/w: Reference to '$$' is not supported.",
			"UNSUPPORTED_JSONATA_EXPRESSION /States/E/Output/x: Field '$states.errorOutput' does not exist.",
			"INVALID_JSONATA_EXPRESSION /States/E/Output/z: Unexpected end of expression"}},
		{name: "an invalid date", text: one(`{"Type":"Wait","Timestamp":"2024-01-01 00:00:00","End":true}`),
			want: []string{schema + "/States/X/Timestamp: String does not match RFC3339 timestamp"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, lines(check.Definition(c.text, c.express), check.Error)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestRefusal(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"two problems", `{"StartAt":"pass1","States":{"pass1":{"Type":"Pass","Next":"pass3"},"pass2":{"Type":"Pass","End":true}}}`,
			"Invalid State Machine Definition: 'MISSING_TRANSITION_TARGET: Missing 'Next' target: pass3 at /States/pass1/Next, " +
				"MISSING_TRANSITION_TARGET: State \"pass2\" is not reachable. at /States/pass2'"},
		{"an unknown location", `{"StartAt":"A","States":{"A":{"Type":"Pass","Next":"A"}}}`,
			"Invalid State Machine Definition: 'MISSING_END_STATE: Workflow has no terminal state at null'"},
		{"a valid definition", one(`{"Type":"Succeed"}`), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, _ := check.Definition(c.text, false).Refusal(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestState(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"any target", `{"Type":"Pass","Next":"Elsewhere"}`, nil},
		{"no branches", `{"Type":"Parallel","Branches":[],"End":true}`, []string{schema + "/States/StateName/Branches: Value cannot be empty"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, lines(check.State(c.text), check.Error)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	text := one(`{"Type":"Pass","Parameters":{"a":"$.b","c":"States.UUID()","d.$":"$.e","f.$":"$nowhere"},"End":true}`)
	r := check.Definition(text, false)
	if !r.OK() {
		t.Error("a definition with warnings is not OK")
	}
	var at []string
	for _, p := range r.Problems {
		at = append(at, p.Code+" "+p.Location)
	}
	if d := cmp.Diff([]string{"POSSIBLY_UNDEFINED_VARIABLE /States/X", "NO_DOLLAR /States/X/Parameters", "NO_DOLLAR /States/X/Parameters"}, at); d != "" {
		t.Error(d)
	}
}

func TestSyntaxMessage(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"not a definition", "Unrecognized token 'not': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false') " +
			`at [Source: (String)"not a definition"; line: 1, column: 4]`},
		{`{'not': 'json'`, `Unexpected character (''' (code 39)): was expecting double-quote to start field name at [Source: (String)"{'not': 'json'"; line: 1, column: 3]`},
		{`{"a":1,}`, `Unexpected character ('}' (code 125)): was expecting double-quote to start field name at [Source: (String)"{"a":1,}"; line: 1, column: 9]`},
		{"{\n\"a\" 1}", "Unexpected character ('1' (code 49)): was expecting a colon to separate field name and value at [Source: (String)\"{\n\"a\" 1}\"; line: 2, column: 6]"},
		{`[1 2]`, `Unexpected character ('2' (code 50)): was expecting comma to separate Array entries at [Source: (String)"[1 2]"; line: 1, column: 5]`},
		{`{"a":"b`, `Unexpected end-of-input: was expecting closing quote for a string value at [Source: (String)"{"a":"b"; line: 1, column: 8]`},
		{`{} x`, "Unrecognized token 'x': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false') " +
			`at [Source: (String)"{} x"; line: 1, column: 5]`},
	} {
		t.Run(c.text, func(t *testing.T) {
			message, at := check.SyntaxMessage(c.text, cmpError{})
			if got := message + " at " + at; got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

type cmpError struct{}

func (cmpError) Error() string { return "error of our own parser" }

func FuzzDefinition(f *testing.F) {
	f.Add(one(`{"Type":"Pass","End":true}`))
	f.Add(`{"StartAt":"A","States":{"A":{"Type":"Choice","Choices":[{"And":[{"Not":{"Variable":"$.a[?(@.b)]","IsNull":true}}],"Next":"A"}]}}}`)
	f.Add(`{"QueryLanguage":"JSONata","StartAt":"A","States":{"A":{"Type":"Map","Items":"{% [1,2 %}","ItemProcessor":{"States":[]},"Catch":[1]}}}`)
	f.Add("{\"a\":\x00}")
	f.Fuzz(func(t *testing.T, text string) {
		r := check.Definition(text, len(text)%2 == 0)
		if _, bad := r.Refusal(); bad == r.OK() {
			t.Error("Refusal and OK disagree")
		}
		check.References(text)
		check.State(text)
	})
}
