package conformance_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/asl/conformance"
	"github.com/rayorch/rayorch/internal/value"
)

func load(t *testing.T, name string) []conformance.Case {
	t.Helper()
	cases, err := conformance.Load(name)
	if errors.Is(err, conformance.ErrMissing) {
		t.Skip("SKIPPED: " + err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

// grade is how well a case matches: the status, the types of the events, and the whole history.
type grade struct{ status, types, equal bool }

func run(t *testing.T, c *conformance.Case) (g grade, difference string) {
	defer func() {
		if p := recover(); p != nil {
			g, difference = grade{}, fmt.Sprint("panic: ", p)
			t.Errorf("%s: panic: %v", c.ID, p)
		}
	}()
	m, err := asl.Parse(c.Definition)
	if err != nil {
		return g, "parse: " + err.Error()
	}
	now := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	d := &driver{t: t, m: m, now: now, abort: aborted(c)}
	head := d.finish(params(c.Input, now))
	got := api(d.events)
	for _, mask := range c.Masks {
		if mask.T == "SfnNoneRecursiveParallelTransformer" {
			got = conformance.Parallel(got)
		}
	}
	if strings.Contains(c.Key, "[True]") { // reverseOrder
		slices.Reverse(got)
	}
	g.status = c.Status == "?" || string(head.Status) == c.Status
	g.types = slices.Equal(conformance.Types(c.Events), conformance.Types(got))
	difference = conformance.Match(c.Events, any(got))
	g.equal = difference == ""
	return g, difference
}

func TestHistory(t *testing.T) {
	cases := load(t, "history.json")
	var equal, types, status int
	for i := range cases {
		g, difference := run(t, &cases[i])
		count(&equal, g.equal)
		count(&types, g.types)
		count(&status, g.status)
		if difference != "" {
			t.Errorf("%d %s: %s", i, cases[i].ID[strings.LastIndex(cases[i].ID, "::")+2:], difference)
		}
	}
	fmt.Fprintf(os.Stderr, "history: equal %d, types %d, status %d of %d\n", equal, types, status, len(cases))
}

func count(n *int, ok bool) {
	if ok {
		*n++
	}
}

func TestChoice(t *testing.T) {
	cases := load(t, "choice.json")
	equal := 0
	for i := range cases {
		c := &cases[i]
		m, err := asl.Parse(c.Definition)
		if err != nil {
			t.Errorf("%s: %v", c.ID, err)
			continue
		}
		now := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
		d := &driver{t: t, m: m, now: now}
		head := d.finish(params(c.Input, now))
		output, err := value.Parse(head.Output)
		if err != nil {
			t.Logf("%s: %s %s: %s", c.ID, head.Status, head.Error, head.Cause)
			continue
		}
		difference := conformance.Match(c.ExpectedOutput, output)
		count(&equal, difference == "")
		if difference != "" {
			t.Logf("%s: %s", c.ID, difference)
		}
	}
	fmt.Fprintf(os.Stderr, "choice: equal %d of %d\n", equal, len(cases))
	if equal < len(cases) {
		t.Errorf("%d of %d cases are equal, want all", equal, len(cases))
	}
}
