package jsonata

import "github.com/rayorch/rayorch/internal/value"

var otherFunctions = map[string]builtin{
	"boolean":    {"x-:b", 1, ifDefined(booleanFunc)},
	"not":        {"x-:b", 1, ifDefined(notFunc)},
	"type":       {"x:s", 1, ifDefined(typeFunc)},
	"error":      {"s?:x", 1, errorFunc},
	"assert":     {"bs?:x", 2, assertFunc},
	"now":        {"s?s?:s", 2, nowFunc},
	"millis":     {":n", 0, millisFunc},
	"fromMillis": {"n-s?s?:s", 3, onNumber(fromMillisFunc)},
	"toMillis":   {"s-s?:n", 2, onText(toMillisFunc)},
}

func booleanFunc(c *Call, args []any) (any, error) { return c.truth(args[0]) }

func notFunc(c *Call, args []any) (any, error) {
	yes, err := c.truth(args[0])
	return !yes, err
}

func typeFunc(_ *Call, args []any) (any, error) {
	switch args[0].(type) {
	case nil:
		return "null", nil
	case bool:
		return "boolean", nil
	case string:
		return "string", nil
	case *value.Object:
		return "object", nil
	case *Function:
		return "function", nil
	case []any, *sequence:
		return "array", nil
	}
	return "number", nil
}

func errorFunc(_ *Call, args []any) (any, error) {
	return nil, NewError("D3137", textOr(args[0], "$error() function evaluated"))
}

func assertFunc(_ *Call, args []any) (any, error) {
	if yes, _ := args[0].(bool); !yes {
		return nil, NewError("D3141", textOr(args[1], "$assert() statement failed"))
	}
	return Undefined, nil
}

func millisFunc(c *Call, _ []any) (any, error) {
	return float64(c.evaluator.env.Now.UnixMilli()), nil
}

func nowFunc(c *Call, args []any) (any, error) {
	return fromMillisFunc(c, float64(c.evaluator.env.Now.UnixMilli()), append([]any{nil}, args...))
}
