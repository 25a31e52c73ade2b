package expr

import (
	"errors"
	"fmt"

	"github.com/rayorch/rayorch/internal/asl/jsonata"
)

// threw returns the error of an expression that failed. There are three formats, all of them recorded: an error with a code
// follows as a separate sentence, the message of a limit follows a colon, and any other error is shown only as an ID.
func (j *JSONata) threw(s *Scope, location string, err error) *Error {
	var coded *jsonata.Error
	var limit *jsonata.LimitError
	switch {
	case errors.As(err, &coded):
		return j.fail(location, "threw an error during evaluation. "+coded.Error())
	case errors.As(err, &limit):
		return j.fail(location, "threw an error during evaluation: "+limitText(limit))
	case errors.Is(err, errTime) || errors.Is(err, errSteps):
		return j.fail(location, "threw an error during evaluation: "+err.Error())
	}
	return j.fail(location, "threw an internal error during evaluation. "+newUUID(s.random()))
}

// limitText returns Step Functions' message for a limit that was exceeded.
func limitText(l *jsonata.LimitError) string {
	if l.Limit == jsonata.LimitDepth {
		return fmt.Sprintf("Stack overflow error: Check for non-terminating recursive function. Consider rewriting as tail-recursive. Depth=%d max=%d",
			l.Depth, l.Max)
	}
	return "Expression evaluation memory limit exceeded: Check for excessive memory usage"
}
