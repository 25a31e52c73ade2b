package jsonata

// builtins are the language's functions by name. $eval is not among them: Step Functions has none.
var builtins map[string]*Function

// Builtins are the names of the language's functions.
func Builtins() []string {
	names := make([]string, 0, len(builtins))
	for name := range builtins {
		names = append(names, name)
	}
	return names
}

type builtin struct {
	signature string
	arity     int
	call      func(c *Call, args []any) (any, error)
}

func init() { // not in a declaration: functions call functions
	all := []map[string]builtin{textFunctions, matchFunctions, numberFunctions, listFunctions, objectFunctions,
		callbackFunctions, otherFunctions}
	builtins = make(map[string]*Function, 80)
	for _, group := range all {
		for name, b := range group {
			builtins[name] = Native(name, "<"+b.signature+">", b.arity, b.call)
		}
	}
}

// ifDefined is a function that gives nothing for nothing.
func ifDefined(f func(c *Call, args []any) (any, error)) func(c *Call, args []any) (any, error) {
	return func(c *Call, args []any) (any, error) {
		if IsUndefined(args[0]) {
			return Undefined, nil
		}
		return f(c, args)
	}
}

// onText is a function of a text.
func onText(f func(c *Call, s string, args []any) (any, error)) func(c *Call, args []any) (any, error) {
	return ifDefined(func(c *Call, args []any) (any, error) {
		s := args[0].(string)
		if err := c.step(len(s) >> 6); err != nil {
			return nil, err
		}
		return f(c, s, args)
	})
}

// onNumber is a function of a number.
func onNumber(f func(c *Call, n float64, args []any) (any, error)) func(c *Call, args []any) (any, error) {
	return ifDefined(func(c *Call, args []any) (any, error) {
		n, _ := number(args[0])
		return f(c, n, args)
	})
}

// onList is a function of an array.
func onList(f func(c *Call, list []any, args []any) (any, error)) func(c *Call, args []any) (any, error) {
	return ifDefined(func(c *Call, args []any) (any, error) {
		list := listOf(args[0])
		if err := c.step(len(list)); err != nil {
			return nil, err
		}
		return f(c, list, args)
	})
}

// maxPicture is how long a picture may be: what it asks for grows with its square. No picture that is meant is longer.
const maxPicture = 1000

// picture is the argument that says how something is written.
func picture(v any) (string, error) {
	s := textOr(v, "")
	if len(s) > maxPicture {
		return "", &LimitError{Limit: LimitMemory}
	}
	return s, nil
}

// textOr and numberOr are arguments that may be left out.
func textOr(v any, other string) string {
	if s, ok := v.(string); ok {
		return s
	}
	return other
}

func numberOr(v any, other float64) float64 {
	if f, ok := number(v); ok {
		return f
	}
	return other
}
