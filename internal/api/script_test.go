package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rayorch/rayorch/internal/asl/conformance"
)

// script is a case in script.json: a sequence of calls, and AWS's answers to some of them.
type script struct {
	ID       string
	Date     string `json:"recorded_date"`
	Masks    []struct{ T, Regex, Replacement, Jsonpath string }
	Steps    []step
	Recorded map[string]any
}

type step struct {
	Op     string
	Params map[string]any
	Poll   bool
	Match  string
	Call   *int
}

// recorded returns the cases in a file of recordings. If the file is missing, it skips the test.
func recorded[T any](t *testing.T, name string) []T {
	t.Helper()
	var cases []T
	if err := conformance.Read(name, &cases); errors.Is(err, conformance.ErrMissing) {
		t.Skip("SKIPPED: " + err.Error())
	} else if err != nil {
		t.Fatal(err)
	}
	return cases
}

func TestRecordedScripts(t *testing.T) {
	all := recorded[script](t, "script.json")
	results := make([]string, len(all))
	t.Run("cases", func(t *testing.T) {
		for i := range all {
			t.Run(filepath.Base(all[i].ID), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { results[i] = replay(t, &all[i]) })
			})
		}
	})
	equal, codes := 0, 0
	for i, difference := range results {
		count(&equal, difference == "")
		codeAlone := strings.HasSuffix(difference, onlyCode)
		count(&codes, codeAlone)
		if difference != "" && !codeAlone {
			t.Errorf("differs: %s: %s", all[i].ID, difference)
		}
	}
	t.Logf("script: %d of %d equal, %d more with an equal code", equal, len(all), codes)
}

// onlyCode marks a difference in the message alone, where the recorded message is an exception of an emulator although the recording
// claims to be AWS's. The code, which can be compared, is equal.
const onlyCode = "only the code is comparable"

func emulated(want map[string]any) bool {
	e, _ := want["Error"].(map[string]any)
	message, _ := e["Message"].(string)
	return strings.HasPrefix(message, "Error=ValueError Args=")
}

// player replays a script against a new server.
type player struct {
	t       *testing.T
	s       *script
	send    sender
	answers []any
	names   map[string]string // exec-N in the script -> the server's ARN
	bound   map[string]string // placeholder in the recording -> the server's value
	token   string            // the last page token
}

// replay returns the first difference, "" if there is none.
func replay(t *testing.T, s *script) string {
	p := &player{t: t, s: s, send: inBubble(t, "111111111111"), names: map[string]string{}, bound: map[string]string{}}
	for i, st := range s.Steps {
		if st.Match == "" {
			p.answers = append(p.answers, p.perform(i, st))
			continue
		}
		p.answers = append(p.answers, nil)
		call := len(p.answers) - 2
		if st.Call != nil {
			call = *st.Call
		}
		if d := p.compare(s.Recorded[st.Match], p.answers[call], s.Steps[call].Op); d != "" {
			return st.Match + ": " + d
		}
	}
	return ""
}

// perform makes a call, and repeats it if the recording waited for a result.
func (p *player) perform(i int, st step) any {
	params := p.params(i, st)
	for deadline := time.Now().Add(15 * time.Second); ; {
		answer := call(p.t, p.send, "http://127.0.0.1/", pascal(st.Op), params)
		if !st.Poll || settled(st.Op, answer) || time.Now().After(deadline) {
			p.learn(i, answer)
			return answer
		}
		time.Sleep(20 * time.Millisecond) // of the bubble's time, like the deadline
	}
}

func settled(op string, answer any) bool {
	a, _ := answer.(map[string]any)
	switch op {
	case "get_execution_history":
		events, _ := a["events"].([]any)
		if len(events) == 0 {
			return false
		}
		kind, _ := events[len(events)-1].(map[string]any)["type"].(string)
		return strings.HasPrefix(kind, "Execution") && kind != "ExecutionStarted"
	case "list_executions":
		executions, _ := a["executions"].([]any)
		for _, x := range executions {
			if x.(map[string]any)["status"] == "RUNNING" {
				return false
			}
		}
		return len(executions) > 0
	}
	return true
}

var execution = regexp.MustCompile(`^arn:aws:states:[^:]*:\d+:(?:execution|express):.*:(exec-?\d+)`)

// params replaces the values of AWS in a call's parameters with this server's. It restores the different roles, which the masks of
// the recording made equal.
func (p *player) params(i int, st step) map[string]any {
	out := map[string]any{}
	for k, v := range st.Params {
		if text, ok := v.(string); ok {
			if m := execution.FindStringSubmatch(text); len(m) > 1 && p.names[m[1]] != "" {
				v = p.names[m[1]]
			}
		}
		if k == "nextToken" && v == nil {
			v = p.token
		}
		if k == "roleArn" {
			v = fmt.Sprint(v, "-", p.role(i))
		}
		out[k] = v
	}
	return out
}

// role returns the placeholder of the role in the next description after a call.
func (p *player) role(i int) string {
	for _, st := range p.s.Steps[i:] {
		if st.Match == "" {
			continue
		}
		if o, ok := p.s.Recorded[st.Match].(map[string]any); ok {
			if r, ok := o["roleArn"].(string); ok {
				return r
			}
		}
	}
	return "x"
}

func (p *player) learn(i int, answer any) {
	a, _ := answer.(map[string]any)
	named := p.s.Steps[i].Params["name"] != nil
	if arn, ok := a["executionArn"].(string); ok && strings.HasPrefix(p.s.Steps[i].Op, "start_") && !named {
		p.names[fmt.Sprintf("exec-%d", i+1)], p.names[fmt.Sprintf("exec%d", i+1)] = arn, arn
	}
	if token, ok := a["nextToken"].(string); ok {
		p.token = token
	}
}

func pascal(op string) string {
	var b strings.Builder
	for _, word := range strings.Split(op, "_") {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// apiError is an error of the API.
type apiError struct{ Code, Message string }

func callAPI(t testing.TB, url, action string, params any) any {
	t.Helper()
	return call(t, http.DefaultClient.Do, url, action, params)
}

func call(t testing.TB, send sender, url, action string, params any) any {
	t.Helper()
	body, err := json.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequest(http.MethodPost, url, strings.NewReader(string(body)))
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", "AWSStepFunctions."+action)
	resp, err := send(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatalf("%s: %v in %s", action, err, raw)
	}
	if resp.StatusCode != http.StatusOK {
		return apiError{fmt.Sprint(out["__type"]), fmt.Sprint(out["message"])}
	}
	return out
}

// compare returns the first difference between a recording and an answer.
func (p *player) compare(want, got any, op string) string {
	switch want := want.(type) {
	case string: // the client rejected the call: no request reached AWS
		if strings.HasPrefix(want, "Parameter validation failed") {
			return ""
		}
	case map[string]any:
		if want["exception_typename"] == "ParamValidationError" {
			return ""
		}
		if kind, ok := want["exception_typename"]; ok {
			e, failed := got.(apiError)
			if !failed {
				return fmt.Sprintf("no error, want %v", kind)
			}
			got = map[string]any{"exception_typename": e.Code, "exception_value": fmt.Sprintf(
				"An error occurred (%s) when calling the %s operation: %s", e.Code, pascal(op), e.Message)}
			break
		}
		if e, failed := got.(apiError); failed {
			if emulated(want) && want["Error"].(map[string]any)["Code"] == e.Code {
				return onlyCode
			}
			got = map[string]any{"Error": map[string]any{"Code": e.Code, "Message": e.Message}, "message": e.Message}
		}
		delete(want, "ResponseMetadata")
	}
	return p.differ("", want, got)
}

// since has the dates when AWS introduced fields. Earlier recordings do not contain them.
var since = map[string]time.Time{
	"redriveCount":            time.Date(2023, 11, 15, 0, 0, 0, 0, time.UTC),
	"redriveStatus":           time.Date(2023, 11, 15, 0, 0, 0, 0, time.UTC),
	"redriveStatusReason":     time.Date(2023, 11, 15, 0, 0, 0, 0, time.UTC),
	"encryptionConfiguration": time.Date(2024, 7, 25, 0, 0, 0, 0, time.UTC),
	"variableReferences":      time.Date(2024, 11, 20, 0, 0, 0, 0, time.UTC),
}

func (p *player) recordedBefore(field string) bool {
	from, dated := since[field]
	at, err := time.Parse("02-01-2006, 15:04:05", p.s.Date)
	return dated && err == nil && at.Before(from)
}

func (p *player) differ(at string, want, got any) string {
	switch want := want.(type) {
	case map[string]any:
		if text, ok := got.(string); ok && json.Unmarshal([]byte(text), &got) != nil {
			return fmt.Sprintf("%s: %q is not valid JSON", at, text)
		}
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s: want an object, got %v", at, got)
		}
		return p.differObjects(at, want, g)
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(want) {
			return fmt.Sprintf("%s: want %d items, got %v", at, len(want), got)
		}
		for i := range want {
			if d := p.differ(fmt.Sprintf("%s[%d]", at, i), want[i], g[i]); d != "" {
				return d
			}
		}
		return ""
	case string:
		return p.differText(at, want, got)
	}
	if want != got {
		return fmt.Sprintf("%s: want %v, got %v", at, want, got)
	}
	return ""
}

func (p *player) differObjects(at string, want, got map[string]any) string {
	for k, w := range want {
		g, ok := got[k]
		if !ok {
			return fmt.Sprintf("%s.%s: missing, want %v", at, k, w)
		}
		if d := p.differ(at+"."+k, w, g); d != "" {
			return d
		}
	}
	for k, g := range got {
		if _, ok := want[k]; !ok && !p.recordedBefore(k) {
			return fmt.Sprintf("%s.%s: not expected, got %v", at, k, g)
		}
	}
	return ""
}

// placeholder matches strings in a recording that represent any value. The same placeholder always represents the same value.
var placeholder = regexp.MustCompile(`^(<uuid:\d+>|<resource:\d+>|<next-token:\d+>|s(nf|fn)_role_arn.*)$`)

// varying matches strings in a recording that represent a time or an id that differs between runs.
var varying = regexp.MustCompile(`^(datetime|timestamp|date|creation-date|start-date|stop-date|start-time|entered-time|` +
	`x-amzn-RequestId|RequestId)$`)

func (p *player) differText(at, want string, got any) string {
	if varying.MatchString(want) || strings.Contains(at, "Content-Length") { // the headers of AWS's response
		return ""
	}
	text, ok := got.(string)
	if !ok {
		return fmt.Sprintf("%s: want %q, got %v", at, want, got)
	}
	if placeholder.MatchString(want) {
		if had, bound := p.bound[want]; bound && had != text {
			return fmt.Sprintf("%s: %s was %s and is %s", at, want, had, text)
		}
		p.bound[want] = text
		return ""
	}
	if text = p.mask(text); text == want || p.fits(want, text) {
		return ""
	}
	return fmt.Sprintf("%s: want %q, got %q", at, want, text)
}

// within matches placeholders within a string.
var within = regexp.MustCompile(`<[a-z_0-9]+(:\d+)?>`)

// fits reports whether a string equals a recorded one except for placeholders, which it binds.
func (p *player) fits(want, text string) bool {
	names := within.FindAllString(want, -1)
	if len(names) == 0 {
		return false
	}
	pattern := "^"
	for i, part := range within.Split(want, -1) {
		if i > 0 {
			pattern += `([^"\s:/]+)`
		}
		pattern += regexp.QuoteMeta(part)
	}
	found := regexp.MustCompile(pattern + "$").FindStringSubmatch(text)
	if found == nil {
		return false
	}
	for i, name := range names {
		if had, bound := p.bound[name]; bound && had != found[i+1] {
			return false
		}
		p.bound[name] = found[i+1]
	}
	return true
}

// mask applies the masks of the recording to a string.
func (p *player) mask(text string) string {
	for name, arn := range p.names {
		parts := strings.Split(arn, ":")
		express := len(parts) > 8
		switch {
		case express && !strings.HasPrefix(name, "exec-"):
			text = strings.ReplaceAll(strings.ReplaceAll(text, parts[7], name), parts[8], "uid"+name[4:])
		case !express && strings.HasPrefix(name, "exec-"):
			text = strings.ReplaceAll(text, parts[7], name)
		}
	}
	for _, m := range p.s.Masks {
		if m.T == "RegexTransformer" {
			text = strings.ReplaceAll(text, m.Regex, m.Replacement)
		}
	}
	text = strings.ReplaceAll(text, "arn:aws:", "arn:<partition>:")
	return strings.ReplaceAll(text, "us-east-1", "<region>")
}
