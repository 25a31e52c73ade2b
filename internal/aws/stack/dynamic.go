package stack

import (
	"fmt"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// dynamicReference is the start of a dynamic reference, which CloudFormation replaces in any property with a parameter of
// Systems Manager or a secret (AWS CloudFormation User Guide, "Get values stored in other services using dynamic
// references"). CloudFormation has no escape for it. If rayorch passed these on, the author of a pipeline could read
// secrets with the permissions of the user who deploys it.
const dynamicReference = "{{resolve:"

// literal escapes dynamic references in a JSON text, so that CloudFormation does not recognize them. The JSON value stays
// the same.
func literal(text string) string {
	return strings.ReplaceAll(text, dynamicReference, `\u007b`+dynamicReference[1:])
}

// checkLiteral returns an error for a dynamic reference in v. It rejects those in properties that do not contain JSON, such
// as names, where literal cannot escape them.
func checkLiteral(v any, path string) error {
	switch v := v.(type) {
	case string:
		if _, found, ok := strings.Cut(v, dynamicReference); ok {
			return fmt.Errorf("%s: %s is a dynamic reference, which CloudFormation would replace: remove it from the parameters", path,
				abbreviated(dynamicReference+found))
		}
	case []any:
		for i, item := range v {
			if err := checkLiteral(item, fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	case *value.Object:
		for i := range v.Len() {
			key, item := v.At(i)
			if err := checkLiteral(key, path); err != nil {
				return err
			}
			if err := checkLiteral(item, path+"."+key); err != nil {
				return err
			}
		}
	}
	return nil
}
