package stack

import (
	"fmt"
	"strings"

	"github.com/rayorch/rayorch/internal/value"
)

// dynamicReference starts a text that CloudFormation replaces, in any property, with a parameter of Systems Manager or with a secret
// (AWS CloudFormation User Guide, "Get values stored in other services using dynamic references"). It has no escape for it. A
// pipeline's author could read with it whatever the one who deploys may read.
const dynamicReference = "{{resolve:"

// literal writes a JSON text so that CloudFormation finds no dynamic reference in it: the JSON means the same.
func literal(text string) string {
	return strings.ReplaceAll(text, dynamicReference, `\u007b`+dynamicReference[1:])
}

// checkLiteral reports a dynamic reference in a property that holds no JSON, such as a name.
func checkLiteral(v any, path string) error {
	switch v := v.(type) {
	case string:
		if _, found, ok := strings.Cut(v, dynamicReference); ok {
			return fmt.Errorf("%s: %s is a dynamic reference, which CloudFormation would replace: remove it from the parameters", path,
				shown(dynamicReference+found))
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
