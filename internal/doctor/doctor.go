// Package doctor checks the prerequisites of runs: on this machine, in the clusters of a target, and of a deployment on AWS.
// A check is a value in a list, and Run works through a list in its order. The package changes nothing and prints nothing;
// `rayorch doctor` selects the lists and prints the results.
package doctor

import (
	"context"
	"fmt"
	"strings"
)

// Severity is what a failed check means for runs.
type Severity int

// The zero value, in a Finding, stands for the severity of its Check.
const (
	_ Severity = iota
	// Advisory: runs work, but may be slower, wait, or fail under a condition that the finding names.
	Advisory
	// Required: runs cannot work.
	Required
)

// Check is one prerequisite.
type Check struct {
	Name     string
	Severity Severity
	// Fix is how to make a failed check pass, if its finding has no advice of its own.
	Fix string
	// Gate ends the list if the check fails: the checks that follow would fail for the same reason.
	Gate bool
	// Look returns one finding for each object that it checked, and none if the check does not apply.
	Look func(context.Context) []Finding
}

// Finding is what a check saw.
type Finding struct {
	OK   bool
	Text string
	// Err is why the check could not be made. It is shown in place of Text, and the check's Fix does not apply.
	Err error
	// Object is the name of the object if the check looks at several; it follows the check's name.
	Object string
	// Severity overrides that of the check: what cannot be read, for example, is only advisory.
	Severity Severity
	// Advice overrides the check's Fix. A finding that is OK may have one, too: what a run will do by itself.
	Advice string
}

// Result is a finding as it is shown. Its JSON form is a contract: docs/cli.md.
type Result struct {
	// Context is the kubeconfig's, of a check in a cluster.
	Context string `json:"context,omitempty"`

	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Found  string `json:"found"`
	Advice string `json:"advice,omitempty"` // how to get what is missing, or what will happen by itself
	// Needed is set if runs cannot work without it.
	Needed bool `json:"needed"`
}

// Run works through the list, up to a gate that fails.
func Run(ctx context.Context, checks []Check) []Result {
	var results []Result
	for _, c := range checks {
		failed := false
		for _, f := range c.Look(ctx) {
			results = append(results, c.result(f))
			failed = failed || !f.OK
		}
		if failed && c.Gate {
			break
		}
	}
	return results
}

func (c Check) result(f Finding) Result {
	r := Result{Name: strings.TrimSuffix(c.Name+" "+f.Object, " "), OK: f.OK, Found: f.Text, Advice: f.Advice}
	switch {
	case f.Err != nil:
		r.Found = f.Err.Error()
	case r.Advice == "" && !f.OK:
		r.Advice = c.Fix
	}
	severity := f.Severity
	if severity == 0 {
		severity = c.Severity
	}
	r.Needed = severity == Required
	return r
}

// found is the only finding of a check, which passed or failed with the check's severity and fix.
func found(ok bool, format string, args ...any) []Finding {
	return []Finding{{OK: ok, Text: fmt.Sprintf(format, args...)}}
}

// failed is the only finding of a check that failed, with advice of its own.
func failed(advice, format string, args ...any) []Finding {
	return []Finding{{Text: fmt.Sprintf(format, args...), Advice: advice}}
}

// noted is the only finding of a check that did not pass but does not prevent runs.
func noted(advice, format string, args ...any) []Finding {
	return []Finding{{Text: fmt.Sprintf(format, args...), Advice: advice, Severity: Advisory}}
}

// readable is the finding of a check that passes if its object can be read: the text, or the error in its place.
func readable(text string, err error) []Finding {
	if err != nil {
		text = err.Error()
	}
	return found(err == nil, "%s", text)
}
