package jsonata

// builtins are the built-in functions by name, without $eval, which Step Functions does not have.
var builtins map[string]*Function

// Builtins returns the names of the built-in functions, in no particular order.
func Builtins() []string {
	names := make([]string, 0, len(builtins))
	for name := range builtins {
		names = append(names, name)
	}
	return names
}

// builtin is the definition of a built-in function. The tables in the files fn_*.go have its fields in this order: the signature
// without brackets (signature.go), the arity, which is the number of arguments that functions such as $map pass to it, and its
// implementation. args are the arguments after the signature has checked them: there is at least one for each parameter, and a
// missing optional argument is Undefined.
type builtin struct {
	signature string
	arity     int
	call      func(c *Call, args []any) (any, error)
}

func init() { // an initializer of the variable would be an initialization cycle: functions look up functions
	all := []map[string]builtin{textFunctions, matchFunctions, numberFunctions, listFunctions, objectFunctions,
		callbackFunctions, otherFunctions}
	builtins = make(map[string]*Function, 80)
	for _, group := range all {
		for name, b := range group {
			builtins[name] = Native(name, "<"+b.signature+">", b.arity, b.call)
		}
	}
}

// ifDefined makes a function return Undefined if its first argument is Undefined.
func ifDefined(f func(c *Call, args []any) (any, error)) func(c *Call, args []any) (any, error) {
	return func(c *Call, args []any) (any, error) {
		if IsUndefined(args[0]) {
			return Undefined, nil
		}
		return f(c, args)
	}
}

// onText adapts a function whose first argument is a string.
func onText(f func(c *Call, s string, args []any) (any, error)) func(c *Call, args []any) (any, error) {
	return ifDefined(func(c *Call, args []any) (any, error) {
		s := args[0].(string)
		if err := c.step(len(s) >> 6); err != nil {
			return nil, err
		}
		return f(c, s, args)
	})
}

// onNumber adapts a function whose first argument is a number.
func onNumber(f func(c *Call, n float64, args []any) (any, error)) func(c *Call, args []any) (any, error) {
	return ifDefined(func(c *Call, args []any) (any, error) {
		n, _ := number(args[0])
		return f(c, n, args)
	})
}

// onList adapts a function whose first argument is an array.
func onList(f func(c *Call, list []any, args []any) (any, error)) func(c *Call, args []any) (any, error) {
	return ifDefined(func(c *Call, args []any) (any, error) {
		list := listOf(args[0])
		if err := c.step(len(list)); err != nil {
			return nil, err
		}
		return f(c, list, args)
	})
}

// maxPicture is the maximum length of a picture in bytes. The work that a picture causes grows with the square of its length;
// no practical picture is longer.
const maxPicture = 1000

// picture returns an argument that is a picture, and an error if it is too long.
func picture(v any) (string, error) {
	s := textOr(v, "")
	if len(s) > maxPicture {
		return "", &LimitError{Limit: LimitMemory}
	}
	return s, nil
}

// textOr returns an optional argument that is a string, or other if it is missing.
func textOr(v any, other string) string {
	if s, ok := v.(string); ok {
		return s
	}
	return other
}

// numberOr returns an optional argument that is a number, or other if it is missing.
func numberOr(v any, other float64) float64 {
	if f, ok := number(v); ok {
		return f
	}
	return other
}
