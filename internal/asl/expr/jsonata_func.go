package expr

import (
	"math"

	"github.com/rayorch/rayorch/internal/asl/jsonata"
	"github.com/rayorch/rayorch/internal/value"
)

// ownFunctions are the functions that Step Functions adds to JSONata. Their signatures are inferred from observed calls.
var ownFunctions = map[string]*jsonata.Function{
	"partition": jsonata.Native("partition", "<an?:a>", 2, partitionFunc),
	"range":     jsonata.Native("range", "<nnn?:a>", 3, rangeFunc),
	"hash":      jsonata.Native("hash", "<s-s?:s>", 2, hashFunc),
	"parse":     jsonata.Native("parse", "<s-:x>", 1, parseFunc),
	"random":    jsonata.Native("random", "<n?:n>", 1, randomFunc),
	"uuid":      jsonata.Native("uuid", "<:s>", 0, uuidFunc),
}

// builtinFunctions are names that do not refer to workflow variables. $eval is one of them, although Step Functions does not
// have the function.
var builtinFunctions = func() map[string]bool {
	names := map[string]bool{"states": true, "eval": true}
	for _, name := range jsonata.Builtins() {
		names[name] = true
	}
	for name := range ownFunctions {
		names[name] = true
	}
	return names
}()

// scopeOf returns the scope of a call.
func scopeOf(c *jsonata.Call) *Scope { return c.Env().Data.(*Scope) }

// integerArgument returns an argument that is a number, truncated to an integer.
func integerArgument(v any) (n int64, ok bool) {
	f, ok := jsonata.Number(v)
	if !ok || math.IsNaN(f) {
		return 0, false
	}
	return int64(max(-1<<62, min(1<<62, f))), true
}

// partitionFunc implements $partition: it splits an array into parts of the given size. Without a size, the array is one
// part.
func partitionFunc(c *jsonata.Call, args []any) (any, error) {
	a, ok := jsonata.Items(args[0])
	if !ok || len(a) == 0 {
		return jsonata.Undefined, nil
	}
	if len(a) == 1 && a[0] == nil {
		return nil, jsonata.ArgumentError("T0412", 1, nil)
	}
	size, ok := integerArgument(args[1])
	switch {
	case !ok:
		size = int64(len(a))
	case size < 0:
		return nil, jsonata.NewError("D3137", "Second argument must be zero or greater")
	case size == 0:
		return jsonata.Undefined, nil
	}
	if err := c.Charge((len(a)/int(min(size, int64(len(a)))) + 1) * 48); err != nil {
		return nil, err
	}
	return partition(a, size), nil
}

// maxRange is the maximum length of a result of $range: Step Functions rejects one more.
const maxRange = 360_145

// rangeFunc implements $range: the numbers from a first to a last one. A single number is not returned as an array.
func rangeFunc(c *jsonata.Call, args []any) (any, error) {
	from, ok1 := integerArgument(args[0])
	to, ok2 := integerArgument(args[1])
	step, ok3 := integerArgument(args[2])
	if !ok1 || !ok2 || !ok3 || step == 0 || step > 0 && from > to || step < 0 && from < to {
		return jsonata.Undefined, nil
	}
	n := math.Floor((float64(to)-float64(from))/float64(step)) + 1
	if n > maxRange {
		return nil, &jsonata.LimitError{Limit: jsonata.LimitMemory}
	}
	if n == 1 {
		return float64(from), nil
	}
	if err := c.Charge(int(n) * 24); err != nil {
		return nil, err
	}
	out := make([]any, int(n))
	for i := range out {
		out[i] = float64(from + int64(i)*step)
	}
	return out, nil
}

// hashFunc implements $hash. Without an algorithm it returns nothing.
func hashFunc(c *jsonata.Call, args []any) (any, error) {
	data, ok := args[0].(string)
	algorithm, named := args[1].(string)
	if !ok || !named {
		return jsonata.Undefined, nil
	}
	if err := c.Step(len(data) >> 6); err != nil {
		return nil, err
	}
	sum, ok := digest(data, algorithm)
	if !ok {
		return nil, jsonata.NewError("D3137", "Unsupported hash algorithm: "+algorithm)
	}
	return sum, nil
}

// parseFunc implements $parse, the replacement of $eval for JSON. As in Step Functions, JSON with a duplicate key, or with a
// number that is too large for a float, is invalid.
func parseFunc(c *jsonata.Call, args []any) (any, error) {
	text, ok := args[0].(string)
	if !ok {
		return jsonata.Undefined, nil
	}
	if err := c.Charge(16 * len(text)); err != nil { // the worst case is [[],[],[]]
		return nil, err
	}
	v, ok := parseJSON(text)
	keys := 0
	if !ok || !countKeys(v, &keys) || keys != colons(text) {
		return nil, jsonata.NewError("D3137", "Invalid JSON")
	}
	return v, nil
}

// countKeys counts the keys of all objects in a value. It returns false if a number is too large for a float.
func countKeys(v any, keys *int) bool {
	switch v := v.(type) {
	case value.Number:
		return !math.IsInf(v.Float64(), 0)
	case []any:
		for _, item := range v {
			if !countKeys(item, keys) {
				return false
			}
		}
	case *value.Object:
		*keys += v.Len()
		for i := range v.Len() {
			if _, item := v.At(i); !countKeys(item, keys) {
				return false
			}
		}
	}
	return true
}

// colons counts the colons outside of strings in a JSON text. This is the number of its keys, including duplicates.
func colons(text string) int {
	n, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\':
			i++
		case c == ':' && !quoted:
			n++
		}
	}
	return n
}

// randomFunc implements $random: a number in [0, 1). With a seed, the result depends only on the seed.
func randomFunc(c *jsonata.Call, args []any) (any, error) {
	if seed, ok := integerArgument(args[0]); ok {
		return javaRandom(seed), nil
	}
	return c.Env().Float64(), nil
}

func uuidFunc(c *jsonata.Call, _ []any) (any, error) { return newUUID(scopeOf(c).random()), nil }
