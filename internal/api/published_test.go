package api_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// published is a line of published.jsonl: an answer of Step Functions that another project recorded and published.
type published struct {
	ID, Source, Date string
	Call             string // validate, test (TestState) or run (an execution)
	Definition       json.RawMessage
	Input            json.RawMessage
	Type             string
	More             map[string]any // further parameters of TestState
	Refused          string         // the exception and its message, if the call failed

	// The answer of ValidateStateMachineDefinition is one of these: no problem (OK); all diagnostics in order (severity, code,
	// message, location); or one of the diagnostics (code, message, location). Part is true if the message is only a part.
	OK          bool
	Diagnostics [][]string
	Problem     []string
	Part        bool

	// The result of the state or the execution. Only the fields that were published are compared.
	Status, Error string
	Cause         *string
	CauseContains string `json:"cause_contains"`
	CausePrefix   string `json:"cause_prefix"`
	CauseTail     string `json:"cause_tail"`
	Output        json.RawMessage
	Types         []string `json:"history_types"`
	Previous      []int    `json:"previousEventIds"`
}

// differing are the ids of answers that our answers differ from, by reason.
var differing = map[string][]string{
	"in recordings of November 2024, EvaluationFailed has the event before the entry as its previous event; in later ones, the entry": {
		"floci-hist-map-iteration-failed",
	},
}

// TestPublished compares our answers with the published ones. Each difference is either in differing or a defect.
func TestPublished(t *testing.T) {
	file, err := os.Open("testdata/published.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	why := map[string]string{}
	for reason, ids := range differing {
		for _, id := range ids {
			why[id] = reason
		}
	}
	n, equal := 0, 0
	for lines := bufio.NewScanner(file); lines.Scan(); n++ {
		var c published
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		t.Run(c.ID, func(t *testing.T) {
			difference := ""
			synctest.Test(t, func(t *testing.T) {
				p := &publishedCase{published: &c, t: t, send: inBubble(t, "123456789012")}
				difference = p.difference()
			})
			reason, listed := why[c.ID]
			switch {
			case difference == "" && listed:
				t.Errorf("no longer differs: remove it from the list %q", reason)
			case difference != "" && !listed:
				t.Errorf("%s\n%s\n%s", difference, c.Definition, c.Source)
			}
			count(&equal, difference == "")
			delete(why, c.ID)
		})
	}
	for id := range why {
		t.Errorf("%s is listed, but not in published.jsonl", id)
	}
	t.Logf("published: %d of %d equal", equal, n)
}

func count(n *int, ok bool) {
	if ok {
		*n++
	}
}

// publishedCase is a published answer and the server to compare with it. Each case has its own server.
type publishedCase struct {
	*published
	t    *testing.T
	send sender
}

// call calls an action. An error of the API becomes a Go error.
func (p *publishedCase) call(action string, params map[string]any) (map[string]any, error) {
	switch answer := call(p.t, p.send, "http://127.0.0.1/", action, params).(type) {
	case map[string]any:
		return answer, nil
	case apiError:
		return nil, fmt.Errorf("%s: %s: %s", action, answer.Code, answer.Message)
	default:
		return nil, fmt.Errorf("%s: %v", action, answer)
	}
}

// difference returns the first difference from the published answer, "" if there is none.
func (p *publishedCase) difference() string {
	params := map[string]any{"definition": string(p.Definition), "roleArn": "arn:aws:iam::123456789012:role/r"}
	if p.Type != "" {
		params["type"] = p.Type
	}
	if len(p.Input) > 0 {
		params["input"] = string(p.Input)
	}
	var difference string
	var err error
	switch p.Call {
	case "validate":
		difference, err = p.validate(params)
	case "test":
		var answer map[string]any
		maps.Copy(params, p.More)
		if answer, err = p.call("TestState", params); err == nil {
			difference = p.outcome(answer)
		}
		if p.Refused != "" && err != nil && err.Error() == "TestState: "+p.Refused {
			err = nil
		}
	default:
		difference, err = p.run(params)
	}
	if err != nil {
		return err.Error()
	}
	return difference
}

func (p *publishedCase) validate(params map[string]any) (string, error) {
	delete(params, "roleArn")
	answer, err := p.call("ValidateStateMachineDefinition", params)
	if err != nil {
		return "", err
	}
	var got [][]string
	for _, x := range answer["diagnostics"].([]any) {
		d := x.(map[string]any)
		location, _ := d["location"].(string)
		got = append(got, []string{d["severity"].(string), d["code"].(string), d["message"].(string), location})
	}
	matches := func(d []string) bool {
		return d[1] == p.Problem[0] && (d[2] == p.Problem[1] || p.Part && strings.Contains(d[2], p.Problem[1])) &&
			(len(p.Problem) < 3 || p.Problem[2] == "" || d[3] == p.Problem[2])
	}
	switch {
	case p.OK:
		if answer["result"] != "OK" {
			return fmt.Sprintf("want no problem, got %q", got), nil
		}
	case p.Problem != nil:
		if !slices.ContainsFunc(got, matches) {
			return fmt.Sprintf("want %q, got %q", p.Problem, got), nil
		}
	case !slices.EqualFunc(p.Diagnostics, got, slices.Equal):
		return fmt.Sprintf("want %q\n got %q", p.Diagnostics, got), nil
	}
	return "", nil
}

// outcome compares the members that the answers of TestState and DescribeExecution share.
func (p *publishedCase) outcome(answer map[string]any) string {
	cause, _ := answer["cause"].(string)
	switch {
	case answer["status"] != p.Status, p.Error != "" && answer["error"] != p.Error:
		return fmt.Sprintf("want %s %s, got %v", p.Status, p.Error, answer)
	case p.Cause != nil && *p.Cause != cause:
		return fmt.Sprintf("want %s\n got %s", *p.Cause, cause)
	case !strings.HasPrefix(cause, p.CausePrefix), !strings.Contains(cause, p.CauseContains), !strings.HasSuffix(cause, p.CauseTail):
		return fmt.Sprintf("want %s ... %s ... %s\n got %s", p.CausePrefix, p.CauseContains, p.CauseTail, cause)
	case p.Output == nil:
		return ""
	}
	if want, got := canonical(p.Output), canonical([]byte(fmt.Sprint(answer["output"]))); want != got {
		return fmt.Sprintf("want %s\n got %s", want, got)
	}
	return ""
}

// canonical returns JSON with sorted keys.
func canonical(text []byte) string {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return string(text)
	}
	out, _ := json.Marshal(v)
	return string(out)
}

func (p *publishedCase) run(params map[string]any) (string, error) {
	start := map[string]any{}
	if input, ok := params["input"]; ok {
		start["input"] = input
		delete(params, "input")
	}
	params["name"] = "m"
	machine, err := p.call("CreateStateMachine", params)
	if err != nil {
		return "", err
	}
	start["stateMachineArn"] = machine["stateMachineArn"]
	started, err := p.call("StartExecution", start)
	if err != nil {
		return "", err
	}
	arn := map[string]any{"executionArn": started["executionArn"]}
	answer, err := p.call("DescribeExecution", arn)
	for deadline := time.Now().Add(time.Minute); err == nil && answer["status"] == "RUNNING" && time.Now().Before(deadline); {
		time.Sleep(time.Second) // of the bubble's time
		answer, err = p.call("DescribeExecution", arn)
	}
	if err != nil {
		return "", err
	}
	if difference := p.outcome(answer); difference != "" {
		return difference, nil
	}
	history, err := p.call("GetExecutionHistory", arn)
	if err != nil {
		return "", err
	}
	var types []string
	var previous []int
	for _, x := range history["events"].([]any) {
		e := x.(map[string]any)
		types = append(types, e["type"].(string))
		previous = append(previous, int(e["previousEventId"].(float64)))
	}
	switch {
	case p.Types != nil && !slices.Equal(types, p.Types):
		return fmt.Sprintf("want %s\n got %s", p.Types, types), nil
	case p.Previous != nil && !slices.Equal(previous, p.Previous):
		return fmt.Sprintf("want %d\n got %d, of %s", p.Previous, previous, types), nil
	}
	return "", nil
}
