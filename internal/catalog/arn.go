package catalog

import (
	"strings"
	"unicode/utf8"

	"github.com/rayorch/rayorch/internal/asl/check"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// ARN is a Step Functions ARN taken apart: arn:PARTITION:states:REGION:ACCOUNT:KIND:NAME[:QUALIFIER...].
type ARN struct {
	Partition, Region, Account, Kind, Name string
	// Qualifier is what follows the name: a version's number, an alias, an execution's name.
	Qualifier string
}

// ParseARN takes an ARN apart. The error is AWS's InvalidArn.
func ParseARN(s string) (ARN, error) {
	if !strings.HasPrefix(s, "arn:") {
		return ARN{}, errInvalidARN("Invalid ARN prefix: " + s)
	}
	parts := strings.SplitN(s, ":", 8)
	if len(parts) < 7 || parts[2] != "states" {
		return ARN{}, errInvalidARN("Invalid ARN: " + s)
	}
	a := ARN{Partition: parts[1], Region: parts[3], Account: parts[4], Kind: parts[5], Name: parts[6]}
	if len(parts) == 8 {
		a.Qualifier = parts[7]
	}
	if a.Name == "" {
		return ARN{}, errInvalidARN("Invalid ARN: " + s)
	}
	return a, nil
}

// ExpectARN is ParseARN for a parameter that takes only some kinds of resource.
func ExpectARN(s string, kinds ...string) (ARN, error) {
	a, err := ParseARN(s)
	if err != nil {
		return a, err
	}
	for _, k := range kinds {
		if a.Kind == k {
			return a, nil
		}
	}
	return a, errInvalidARN("Resource type not valid in this context: " + a.Kind)
}

func errInvalidARN(what string) error { return errorf("InvalidArn", "Invalid Arn: '%s'", what) }

// CheckName says whether a machine, execution or activity may have this name. The error is AWS's InvalidName.
func CheckName(name string) error {
	n := utf8.RuneCountInString(name)
	if n < 1 || n > stepfn.MaxName || check.ForbiddenInName(name) {
		return errorf("InvalidName", "Invalid Name: '%s'", name)
	}
	return nil
}
