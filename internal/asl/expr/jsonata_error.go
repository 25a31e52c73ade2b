package expr

import (
	"errors"
	"regexp"
	"strings"
)

// threw is the error of an expression that failed. A bound that was reached has no code and follows a colon; a coded
// message is a sentence of its own. Both were recorded.
func (j *JSONata) threw(location string, err error) *Error {
	if errors.Is(err, errMemory) || errors.Is(err, errSteps) || errors.Is(err, errTime) {
		return j.fail(location, "threw an error during evaluation: "+boundText(err))
	}
	return j.fail(location, "threw an error during evaluation. "+errorText(err))
}

// boundText is the bound's own text: the library puts words of its own around what stops it.
func boundText(err error) string {
	for _, known := range []error{errMemory, errSteps, errTime} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return err.Error()
}

// operator is the operator that a message of the library names.
var operator = regexp.MustCompile(`"[^"]+"`)

// worded are the reference implementation's messages by code; % stands for the operator. Step Functions shows those (T1006
// and T2001 are recorded), the library has words of its own. Messages that need more than the operator keep the library's.
var worded = map[string]string{
	"T1006": "Attempted to invoke a non-function",
	"T1008": "Attempted to partially apply a non-function",
	"T2001": "The left side of the % operator must evaluate to a number",
	"T2002": "The right side of the % operator must evaluate to a number",
	"T2003": "The left side of the range operator (..) must evaluate to an integer",
	"T2004": "The right side of the range operator (..) must evaluate to an integer",
	"T2006": "The right side of the function application operator ~> must be a function",
	"T2008": "The expressions within an order-by clause must evaluate to numeric or string values",
	"T2010": "The expressions either side of operator % must evaluate to numeric or string values",
	"D3138": "The $single() function expected exactly 1 matching result.  Instead it matched more.",
	"D3139": "The $single() function expected exactly 1 matching result.  Instead it matched 0.",
}

// errorText is the library's error as the reference implementation words it, where that can be told.
func errorText(err error) string {
	text := err.Error()
	code, _, _ := strings.Cut(text, ":")
	switch { // the library's code says whether the operand is null, not which one it is
	case strings.HasPrefix(text, "T200") && strings.Contains(text, ": the left operand of"):
		code = "T2001"
	case strings.HasPrefix(text, "T200") && strings.Contains(text, ": the right operand of"):
		code = "T2002"
	}
	words, ok := worded[code]
	if !ok {
		return text
	}
	if strings.Contains(words, "%") {
		op := operator.FindString(text)
		if op == "" {
			return text
		}
		words = strings.Replace(words, "%", op, 1)
	}
	return code + ": " + words
}
