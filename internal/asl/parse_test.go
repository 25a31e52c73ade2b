package asl_test

import (
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/value"
)

const nested = `{"Comment":"c","TimeoutSeconds":9,"StartAt":"P","States":{` +
	`"P":{"Type":"Parallel","Branches":[{"StartAt":"A","States":{"A":{"Type":"Pass","End":true}}},` +
	`{"StartAt":"M","States":{"M":{"Type":"Map","QueryLanguage":"JSONata","Items":"{% [1] %}","ItemProcessor":{"StartAt":"B",` +
	`"States":{"B":{"Type":"Pass","Output":"{% 1 %}","End":true}}},"End":true}}}],"Next":"C"},` +
	`"C":{"Type":"Choice","Choices":[{"And":[{"Variable":"$.x","IsPresent":true},{"Not":{"Variable":"$.x","NumericLessThanPath":"$.y"}}],` +
	`"Next":"E"}],"Default":"E"},"E":{"Type":"Succeed"}}}`

func TestProgramsAreNumberedInOrder(t *testing.T) {
	m, err := asl.Parse([]byte(nested))
	if err != nil {
		t.Fatal(err)
	}
	if m.TimeoutSeconds != 9 || m.Comment != "c" || len(m.Programs) != 4 {
		t.Fatalf("machine: %+v", m)
	}
	for i, start := range []string{"P", "A", "M", "B"} {
		if p := m.Programs[i]; p.Index != i || p.StartAt.Name != start {
			t.Errorf("program %d starts at %s", i, p.StartAt.Name)
		}
	}
	if !m.Programs[3].States["B"].JSONata || m.Programs[1].States["A"].JSONata {
		t.Error("want the query language of the Map in its item processor, and that of the Parallel in its branch")
	}
	c := m.Programs[0].States["C"]
	if c.Next != nil || c.Default.Name != "E" || c.Choices[0].Test.And[1].Not.Path == nil {
		t.Errorf("choice: %+v", c)
	}
}

func TestParseErrors(t *testing.T) {
	for name, c := range map[string][2]string{
		"invalid JSON":    {`{`, "offset"},
		"no states":       {`{"StartAt":"A"}`, `state "A" not found`},
		"no next":         {`{"StartAt":"A","States":{"A":{"Type":"Pass","Next":"B"}}}`, `state "B" not found`},
		"no type":         {`{"StartAt":"A","States":{"A":{"Type":"Past","End":true}}}`, `unknown type "Past"`},
		"no resource":     {`{"StartAt":"A","States":{"A":{"Type":"Task","End":true}}}`, "Resource"},
		"no wait":         {`{"StartAt":"A","States":{"A":{"Type":"Wait","End":true}}}`, "Seconds or Timestamp"},
		"bad path":        {`{"StartAt":"A","States":{"A":{"Type":"Pass","InputPath":"nope","End":true}}}`, "/States/A/InputPath"},
		"wide ResultPath": {`{"StartAt":"A","States":{"A":{"Type":"Pass","ResultPath":"$.a[*]","End":true}}}`, "reference path"},
		"no operator":     {`{"StartAt":"A","States":{"A":{"Type":"Choice","Choices":[{"Variable":"$.x","Next":"A"}]}}}`, "no comparison"},
		"bad JSONata":     {`{"QueryLanguage":"JSONata","StartAt":"A","States":{"A":{"Type":"Pass","Output":"{% ( %}","End":true}}}`, "/States/A/Output"},
		"array of states": {`{"StartAt":"A","States":[]}`, "must be an object"},
	} {
		if _, err := asl.Parse([]byte(c[0])); err == nil || !strings.Contains(err.Error(), c[1]) {
			t.Errorf("%s: error %v, want one with %q", name, err, c[1])
		}
	}
}

func TestDeepNestingIsAnError(t *testing.T) {
	deep := `{"StartAt":"A","States":{"A":{"Type":"Pass","End":true}}}`
	for range 150 {
		deep = `{"StartAt":"P","States":{"P":{"Type":"Parallel","Branches":[` + deep + `],"End":true}}}`
	}
	if _, err := asl.Parse([]byte(deep)); err == nil {
		t.Error("no error for 150 levels")
	}
}

func TestNewState(t *testing.T) {
	o, err := value.ParseObject([]byte(`{"Type":"Pass","Next":"Elsewhere"}`))
	if err != nil {
		t.Fatal(err)
	}
	m, err := asl.NewState("S", o)
	if err != nil || m.Programs[0].States["S"].Next.Name != "Elsewhere" {
		t.Errorf("%+v, %v", m, err)
	}
}

// FuzzParse checks that any text gives a machine or an error.
func FuzzParse(f *testing.F) {
	f.Add([]byte(nested))
	f.Add([]byte(`{"StartAt":"A","States":{"A":{"Type":"Fail","ErrorPath":"$.e"}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := asl.Parse(data)
		if err == nil && m.Programs[0].StartAt == nil {
			t.Error("the machine has no start state")
		}
	})
}
