package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// Definitions that are deeply nested, huge or not valid text are rejected, or fail a state. They do not affect the server.
func TestHostileInputs(t *testing.T) {
	url := serve(t, "")
	deep := func(open, middle, shut string, n int) string {
		return strings.Repeat(open, n) + middle + strings.Repeat(shut, n)
	}
	state := func(fields string) string { return `{"Type":"Pass",` + fields + `,"End":true}` }
	quoted := func(s string) string {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	jsonata := func(s string) string {
		return state(`"QueryLanguage":"JSONata","Output":` + quoted("{% "+s+" %}"))
	}
	machine := func(n int) string {
		inner := `{"StartAt":"S","States":{"S":{"Type":"Succeed"}}}`
		for i := range n {
			inner = fmt.Sprintf(`{"StartAt":"P%d","States":{"P%d":{"Type":"Parallel","Branches":[%s],"End":true}}}`, i, i, inner)
		}
		return inner
	}
	for name, definition := range map[string]string{
		"deep Result":          state(`"Result":` + deep("[", "", "]", 50_000)),
		"long path":            state(`"InputPath":"$` + strings.Repeat(".a", 200_000) + `"`),
		"deep filter":          state(`"InputPath":` + quoted("$[?("+deep("(", "@.a", ")", 50_000)+")]")),
		"deep intrinsic":       state(`"Parameters":{"a.$":` + quoted(deep("States.Array(", "", ")", 30_000)) + `}`),
		"huge number":          state(`"Result":1` + strings.Repeat("0", 500_000)),
		"huge exponent":        state(`"Result":1e` + strings.Repeat("9", 1000)),
		"deep JSONata":         jsonata(deep("(", "1", ")", 100_000)),
		"deep JSONata array":   jsonata(deep("[", "", "]", 100_000)),
		"long JSONata sum":     jsonata("1" + strings.Repeat("+1", 200_000)),
		"endless JSONata":      jsonata("($f := function($x){ $f($x + 1) }; $f(1))"),
		"endless JSONata tail": jsonata("($f := function($x){ $x > 1e300 ? 1 : $f($x + 1) }; $f(1))"),
		"huge JSONata range":   jsonata("[1..10000000000]"),
		"huge JSONata pad":     jsonata("$pad('', 2000000000, 'x')"),
		"JSONata regex":        jsonata(`$match("` + strings.Repeat("a", 5000) + `", /(a*)*b/)`),
		"deep machine":         machine(2000),
		"invalid UTF-8":        "{\"Type\":\"Pass\",\"Result\":\"\xff\xfe\",\"End\":true}",
		"lone surrogate":       state(`"Result":"\ud800"`),
		"NUL character":        state(`"Result":"\u0000"`),
	} {
		t.Run(name, func(t *testing.T) {
			for _, action := range []string{"ValidateStateMachineDefinition", "TestState"} {
				body := `{"definition":` + quoted(definition) + `}`
				if name == "invalid UTF-8" {
					body = `{"definition":"` + strings.ReplaceAll(definition, `"`, `\"`) + `"}`
				}
				if resp, text := post(t, url, action, body, nil); resp.StatusCode >= http.StatusInternalServerError {
					t.Errorf("%s: %d %.300s", action, resp.StatusCode, text)
				}
			}
			if resp, text := post(t, url, "ListStateMachines", "{}", nil); resp.StatusCode != http.StatusOK {
				t.Errorf("next request: %d %s", resp.StatusCode, text)
			}
		})
	}
}
