package api_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestObservedCalls replays calls of Step Functions of September 2026 that github.com/radkawar/stackd published with their answers
// (there below testdata/aws/stepfunctions). The files consist of lines:
//
//	define NAME JSON        gives a definition a name for the lines that follow
//	ACTION JSON             calls an action
//	= JSON                  the answer to the call
//	! CODE: MESSAGE         the error of the call
//	until EXECUTION STATUS  waits until an execution has a status
//	history EXECUTION       reads a history; then one line per event: ID TYPE NAME <PREVIOUS
//
// sm:, ex:, xp: and act: are abbreviations of the beginnings of ARNs. Times are left out. T1, T2, ... are task tokens, R1, R2, ...
// revisions, and P1, P2, ... page tokens, numbered in the order in which they occurred.
func TestObservedCalls(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "observed", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				o := &observer{t: t, send: inBubble(t, ""), file: file, definitions: map[string]string{}, names: map[string]string{}}
				o.play(strings.Split(string(text), "\n"))
			})
		})
	}
}

// observer plays one file.
type observer struct {
	t           *testing.T
	send        sender
	file        string
	definitions map[string]string
	names       map[string]string // value of this server -> name in the file
	counts      [3]int
	answer      any
}

func (o *observer) play(lines []string) {
	o.t.Helper()
	for i := 0; i < len(lines); i++ {
		word, rest, _ := strings.Cut(strings.TrimSpace(lines[i]), " ")
		at := fmt.Sprintf("%s:%d", o.file, i+1)
		switch {
		case word == "" || word[0] == '#':
		case word == "define":
			name, text, _ := strings.Cut(rest, " ")
			o.definitions[name] = text
		case word == "=":
			o.compare(at, rest, o.answer)
		case word == "!":
			o.refused(at, rest)
		case word == "until":
			o.until(at, rest)
		case word == "history":
			var want []string
			for ; i+1 < len(lines) && lines[i+1] != ""; i++ {
				want = append(want, lines[i+1])
			}
			o.history(at, rest, want)
		default:
			o.answer = o.call(word, rest)
		}
	}
}

var observedARNs = []string{
	"sm:", "arn:aws:states:us-east-1:123456789012:stateMachine:", "ex:", "arn:aws:states:us-east-1:123456789012:execution:",
	"xp:", "arn:aws:states:us-east-1:123456789012:express:", "act:", "arn:aws:states:us-east-1:123456789012:activity:",
}

// theirs replaces the names in the file with this server's values.
func (o *observer) theirs(text string) string {
	for name, definition := range o.definitions {
		quoted, _ := json.Marshal(definition)
		text = strings.ReplaceAll(text, `"definition":"`+name+`"`, `"definition":`+string(quoted))
	}
	for given, name := range o.names {
		quoted, _ := json.Marshal(given)
		text = strings.ReplaceAll(text, `"`+name+`"`, string(quoted))
	}
	for i := 0; i < len(observedARNs); i += 2 {
		text = strings.ReplaceAll(text, `"`+observedARNs[i], `"`+observedARNs[i+1])
		text = strings.ReplaceAll(text, `'`+observedARNs[i], `'`+observedARNs[i+1])
	}
	return text
}

func (o *observer) call(action, body string) any {
	o.t.Helper()
	return o.masked(call(o.t, o.send, "http://127.0.0.1/", action, json.RawMessage(o.theirs(body))))
}

// unrecorded are members that are not compared: times, and settings that have their defaults in all state machines.
var unrecorded = []string{"creationDate", "updateDate", "startDate", "stopDate", "redriveDate", "timestamp", "encryptionConfiguration",
	"loggingConfiguration", "tracingConfiguration", "billingDetails", "inputDetails", "outputDetails", "roleArn"}

// masked replaces this server's values in an answer with the names in the file.
func (o *observer) masked(v any) any {
	switch v := v.(type) {
	case apiError:
		return apiError{v.Code, o.ours(v.Message)}
	case []any:
		for i := range v {
			v[i] = o.masked(v[i])
		}
	case map[string]any:
		for k, member := range v {
			if slices.Contains(unrecorded, k) {
				delete(v, k)
				continue
			}
			for i, token := range []string{"taskToken", "revisionId", "nextToken"} {
				if k == token {
					o.name(i, fmt.Sprint(member))
				}
			}
			v[k] = o.masked(member)
		}
	case string:
		return o.ours(v)
	}
	return v
}

func (o *observer) name(kind int, given string) {
	if o.names[given] == "" {
		o.counts[kind]++
		o.names[given] = fmt.Sprint("TRP"[kind:kind+1], o.counts[kind])
	}
}

func (o *observer) ours(text string) string {
	for name, definition := range o.definitions {
		if text == definition {
			return name
		}
	}
	for given, name := range o.names {
		text = strings.ReplaceAll(text, given, name)
	}
	for i := 0; i < len(observedARNs); i += 2 {
		text = strings.ReplaceAll(text, observedARNs[i+1], observedARNs[i])
	}
	return uuids.ReplaceAllString(text, "UUID")
}

var uuids = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

func (o *observer) compare(at, want string, got any) {
	o.t.Helper()
	var wanted any
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		o.t.Fatalf("%s: %v", at, err)
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		o.t.Errorf("%s:\n%s", at, diff)
	}
}

func (o *observer) refused(at, want string) {
	o.t.Helper()
	e, ok := o.answer.(apiError)
	if !ok {
		o.t.Errorf("%s: want an error, got %v", at, o.answer)
		return
	}
	if diff := cmp.Diff(want, e.Code+": "+e.Message); diff != "" {
		o.t.Errorf("%s:\n%s", at, diff)
	}
}

func (o *observer) until(at, rest string) {
	o.t.Helper()
	arn, status, _ := strings.Cut(rest, " ")
	for range 1000 { // 10 s of the bubble's time
		o.answer = o.call("DescribeExecution", `{"executionArn":"`+arn+`"}`)
		if x, ok := o.answer.(map[string]any); ok && x["status"] == status {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	o.t.Fatalf("%s: timeout, got %v", at, o.answer)
}

func (o *observer) history(at, arn string, want []string) {
	o.t.Helper()
	answer, _ := o.call("GetExecutionHistory", `{"executionArn":"`+arn+`","maxResults":1000}`).(map[string]any)
	events, _ := answer["events"].([]any)
	var got []string
	for _, e := range events {
		e := e.(map[string]any)
		name := ""
		for k, d := range e {
			if d, ok := d.(map[string]any); ok && strings.HasPrefix(k, "state") && d["name"] != nil {
				name = fmt.Sprint(d["name"])
			}
		}
		got = append(got, fmt.Sprintf("%v %v %s <%v", e["id"], e["type"], name, e["previousEventId"]))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		o.t.Errorf("%s:\n%s", at, diff)
	}
}
