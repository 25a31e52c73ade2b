// Package doctor checks the prerequisites of runs: on this machine, in the clusters of a target, and of a deployment on AWS.
// A check is a value in a list, and Run runs the checks of a list in order. The package changes nothing and prints nothing;
// the command rayorch doctor chooses the lists and prints the results.
package doctor

import (
	"context"
	"fmt"
	"strings"
)

// Severity is the effect of a failed check on runs. The zero value in a Finding stands for the severity of its Check.
type Severity int

// The severities.
const (
	_ Severity = iota
	// Advisory means that runs work, but may be slower, wait, or fail under a condition that the finding mentions.
	Advisory
	// Required means that runs do not work.
	Required
)

// Check is one prerequisite.
type Check struct {
	// Name identifies the check in JSON output and never changes. Label is what people see, if it differs from the name.
	Name     string
	Label    string
	Severity Severity
	// Fix describes how to fix a failure. It applies to failed findings without Advice.
	Fix string
	// Gate skips the rest of the list if the check fails, because the following checks would fail for the same reason.
	Gate bool
	// Run returns a finding for each object that it checked, and none if the check does not apply.
	Run func(context.Context) []Finding
}

// Finding is the outcome of a check for one object.
type Finding struct {
	OK   bool
	Text string
	// Err is the error if the check could not be performed. It replaces Text, and the check's Fix does not apply.
	Err error
	// Object is the name of the object if the check has several findings. It is appended to the check's name.
	Object string
	// Severity overrides that of the check. For example, an object that cannot be read is only advisory.
	Severity Severity
	// Advice overrides the check's Fix. A finding that is OK can have advice, too: what a run does automatically.
	Advice string
}

// Result is a finding with what it inherits from its check. Its JSON form is public: see docs/cli.md.
type Result struct {
	// Context is the context of the kubeconfig, for a check in a cluster.
	Context string `json:"context,omitempty"`

	Name   string `json:"name"`
	Label  string `json:"-"` // the name for people, if it differs
	OK     bool   `json:"ok"`
	Found  string `json:"found"`
	Advice string `json:"advice,omitempty"` // how to fix the problem, or what a run does automatically
	// Needed reports whether the check is required for runs.
	Needed bool `json:"needed"`
}

// Run runs the checks in order, up to a gate that fails.
func Run(ctx context.Context, checks []Check) []Result {
	var results []Result
	for _, c := range checks {
		failed := false
		for _, f := range c.Run(ctx) {
			results = append(results, c.result(f))
			failed = failed || !f.OK
		}
		if failed && c.Gate {
			break
		}
	}
	return results
}

// result completes a finding with the name, severity and fix of its check.
func (c Check) result(f Finding) Result {
	r := Result{Name: strings.TrimSuffix(c.Name+" "+f.Object, " "), Label: c.Label, OK: f.OK, Found: f.Text, Advice: f.Advice}
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

// found returns the only finding of a check. If ok is false, the check's severity and fix apply.
func found(ok bool, format string, args ...any) []Finding {
	return []Finding{{OK: ok, Text: fmt.Sprintf(format, args...)}}
}

// failed returns the only finding of a failed check, with advice that overrides the check's fix.
func failed(advice, format string, args ...any) []Finding {
	return []Finding{{Text: fmt.Sprintf(format, args...), Advice: advice}}
}

// noted returns the only finding of a failed check that does not prevent runs.
func noted(advice, format string, args ...any) []Finding {
	return []Finding{{Text: fmt.Sprintf(format, args...), Advice: advice, Severity: Advisory}}
}

// readable returns the finding of a check that passes if its object could be read: the text, or the error instead.
func readable(text string, err error) []Finding {
	if err != nil {
		text = err.Error()
	}
	return found(err == nil, "%s", text)
}
