package jsonata

import (
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

var numberFunctions = map[string]builtin{
	"number":        {"(nsb)-:n", 1, ifDefined(numberFunc)},
	"abs":           {"n-:n", 1, onNumber(mapNumber(math.Abs))},
	"floor":         {"n-:n", 1, onNumber(mapNumber(math.Floor))},
	"ceil":          {"n-:n", 1, onNumber(mapNumber(math.Ceil))},
	"round":         {"n-n?:n", 2, onNumber(roundFunc)},
	"sqrt":          {"n-:n", 1, onNumber(sqrtFunc)},
	"power":         {"n-n:n", 2, onNumber(powerFunc)},
	"random":        {":n", 0, randomFunc},
	"sum":           {"a<n>:n", 1, onNumbers(sum)},
	"max":           {"a<n>:n", 1, onNumbers(extreme(math.Max))},
	"min":           {"a<n>:n", 1, onNumbers(extreme(math.Min))},
	"average":       {"a<n>:n", 1, onNumbers(average)},
	"formatBase":    {"n-n?:s", 2, onNumber(formatBaseFunc)},
	"formatNumber":  {"n-so?:s", 3, onNumber(formatNumberFunc)},
	"formatInteger": {"n-s:s", 2, onNumber(formatIntegerFunc)},
	"parseInteger":  {"s-s:n", 2, onText(parseIntegerFunc)},
}

func mapNumber(f func(float64) float64) func(*Call, float64, []any) (any, error) {
	return func(_ *Call, n float64, _ []any) (any, error) { return f(n), nil }
}

var decimalText = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?([Ee][-+]?[0-9]+)?$`)

// numberFunc converts booleans and strings to numbers.
func numberFunc(_ *Call, args []any) (any, error) {
	switch v := args[0].(type) {
	case bool:
		if v {
			return 1.0, nil
		}
		return 0.0, nil
	case string:
		if decimalText.MatchString(v) {
			if f, err := strconv.ParseFloat(v, 64); err == nil {
				return f, nil
			}
		}
		if f, ok := prefixedNumber(v); ok {
			return f, nil
		}
		return nil, ArgumentError("D3030", 1, v)
	default:
		return v, nil
	}
}

// prefixedNumber parses 0x1F, 0o17 and 0b11.
func prefixedNumber(s string) (float64, bool) {
	if len(s) < 3 || s[0] != '0' {
		return 0, false
	}
	base, ok := map[byte]int{'x': 16, 'X': 16, 'o': 8, 'O': 8, 'b': 2, 'B': 2}[s[1]]
	if !ok || len(s) > 1000 {
		return 0, false
	}
	n, ok := new(big.Int).SetString(s[2:], base)
	if !ok || n.Sign() < 0 || s[2] == '+' || strings.Contains(s, "_") {
		return 0, false
	}
	f, _ := new(big.Float).SetInt(n).Float64()
	return f, true
}

// roundFunc rounds half to even, to a number of decimal places.
func roundFunc(_ *Call, f float64, args []any) (any, error) {
	digits := int(max(-400, min(400, numberOr(args[1], 0))))
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return f, nil
	}
	shifted := shift(f, digits)
	if math.IsInf(shifted, 0) {
		return f, nil
	}
	out := shift(math.RoundToEven(shifted), -digits)
	if out == 0 {
		return 0.0, nil // not -0
	}
	return out, nil
}

// shift moves the decimal point in the decimal notation of a number, because a multiplication is not exact: 1.005 shifted by 2
// is 100.5.
func shift(f float64, digits int) float64 {
	if digits == 0 {
		return f
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
	power, _ := strconv.Atoi(exponent)
	out, _ := strconv.ParseFloat(mantissa+"e"+strconv.Itoa(power+digits), 64)
	return out
}

func sqrtFunc(_ *Call, f float64, args []any) (any, error) {
	if f < 0 {
		return nil, ArgumentError("D3060", 1, args[0])
	}
	return math.Sqrt(f), nil
}

func powerFunc(_ *Call, f float64, args []any) (any, error) {
	out := math.Pow(f, numberOr(args[1], math.NaN()))
	if math.IsInf(out, 0) || math.IsNaN(out) {
		return nil, ArgumentError("D3061", 1, args[0]).with("exp", args[1])
	}
	return out, nil
}

func randomFunc(c *Call, _ []any) (any, error) { return c.random(), nil }

// random returns a number in [0, 1). It is always the same if the embedder does not supply random numbers.
func (c *Call) random() float64 {
	if c.evaluator.env.Float64 == nil {
		return 0.5
	}
	return c.evaluator.env.Float64()
}

// onNumbers adapts a function of an array of numbers.
func onNumbers(f func([]float64) any) func(*Call, []any) (any, error) {
	return onList(func(c *Call, _ []any, args []any) (any, error) {
		numbers, _ := allNumbers(args[0])
		if err := c.charge(8 * int64(len(numbers))); err != nil {
			return nil, err
		}
		return f(numbers), nil
	})
}

func sum(numbers []float64) any {
	total := 0.0
	for _, f := range numbers {
		total += f
	}
	return total
}

func average(numbers []float64) any {
	if len(numbers) == 0 {
		return Undefined
	}
	return sum(numbers).(float64) / float64(len(numbers))
}

// extreme returns a function for the minimum or the maximum.
func extreme(f func(a, b float64) float64) func([]float64) any {
	return func(numbers []float64) any {
		if len(numbers) == 0 {
			return Undefined
		}
		out := numbers[0]
		for _, n := range numbers[1:] {
			out = f(out, n)
		}
		return out
	}
}

// formatBaseFunc writes an integer in a base from 2 to 36.
func formatBaseFunc(_ *Call, f float64, args []any) (any, error) {
	base := math.RoundToEven(numberOr(args[1], 10))
	if base < 2 || base > 36 {
		return nil, ArgumentError("D3100", 2, base)
	}
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return exactText(f), nil
	}
	n, _ := big.NewFloat(math.RoundToEven(f)).Int(nil)
	return n.Text(int(base)), nil
}
