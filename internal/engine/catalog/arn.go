package catalog

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/rayorch/rayorch/internal/asl/check"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// ParseARN parses an ARN. The error is AWS's InvalidArn.
func ParseARN(s string) (stepfn.ARN, error) {
	a, ok := stepfn.ParseARN(s)
	switch {
	case ok:
		return a, nil
	case !strings.HasPrefix(s, "arn:"):
		return a, errInvalidARN("Invalid ARN prefix: " + s)
	}
	return a, errInvalidARN("Invalid ARN: " + s)
}

// ExpectARN is ParseARN for a parameter that accepts only some kinds of resources.
func ExpectARN(s string, kinds ...string) (stepfn.ARN, error) {
	a, err := ParseARN(s)
	if err != nil {
		return a, err
	}
	if slices.Contains(kinds, a.Kind) {
		return a, nil
	}
	return a, errInvalidARN("Resource type not valid in this context: " + a.Kind)
}

func errInvalidARN(what string) error { return errorf("InvalidArn", "Invalid Arn: '%s'", what) }

// CheckName checks the name of a state machine, execution or activity. The error is AWS's InvalidName.
func CheckName(name string) error {
	n := utf8.RuneCountInString(name)
	if n < 1 || n > stepfn.MaxName || check.ForbiddenInName(name) {
		return errorf("InvalidName", "Invalid Name: '%s'", name)
	}
	return nil
}
