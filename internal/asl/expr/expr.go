// Package expr compiles and evaluates the expressions that a definition in the States Language contains: JSONPath with the
// semantics of Jayway, intrinsic functions, payload templates, and JSONata with the functions that Step Functions adds. An
// expression is compiled once, when a definition is parsed; the compiled form is safe for concurrent use. The package is
// pure: data, time and randomness come from the Scope. It does not depend on states: asl compiles expressions, interp
// evaluates them, and asl/check reports their errors.
//
// Values are those of package value. A nil value is JSON's null; a missing value is always an error.
//
// # Files
//
//   - path*.go: JSONPath: parser, evaluation, filters, functions, and ResultPath (path_put.go)
//   - intrinsic*.go: States.Format and the other intrinsic functions; java.go: what they have in common with Java
//   - template.go, tree.go: payload templates
//   - jsonata*.go: JSONata as Step Functions runs it; the language itself is in asl/jsonata
package expr

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// maxBuilt is the maximum length of a payload, or of the arguments of an intrinsic function, in bytes of JSON, while it is
// built. It is greater than the limit of a state's output, because parts of a payload are often removed later. A definition
// can repeat its input any number of times, so that a bound is needed.
const maxBuilt = 4 << 20

// budget is the number of bytes that remain of maxBuilt.
type budget int

// take subtracts the length of a part.
func (b *budget) take(v any) error {
	if *b -= budget(value.Len(v, int(*b))); *b < 0 {
		return errTooLong
	}
	return nil
}

var errTooLong = &Error{Name: stepfn.StatesDataLimitExceeded, Cause: "The payload exceeds the maximum size"}

// Error is an evaluation error that is visible in the execution. Cause does not include the sentence that names the state
// ("An error occurred while executing the state ..."): the interpreter prepends it.
type Error struct {
	Name     string
	Cause    string
	Location string // the field, such as "Output/result", if Step Functions reports it (JSONata)
}

func (e *Error) Error() string { return e.Name + ": " + e.Cause }

// NoResultsError means that a definite path matches nothing. Its text is what Step Functions shows after "Invalid path '...'
// : ". The caller chooses the name of the error, which depends on the field that contains the path.
type NoResultsError struct {
	Path string // as it is written in the definition
	At   string // the path in brackets: $['a']['b']
	Msg  string // replaces the usual message if a step before the last one matches nothing

	pastEnd bool          // the last step is an index past the end of an array
	library func() string // the message of Step Functions' JSONPath library, shown for an argument of an intrinsic function
}

func (e *NoResultsError) Error() string {
	if e.Msg != "" {
		return e.Msg
	}
	return "No results for path: " + e.At
}

// SyntaxError means that a path, a call of an intrinsic function, or a JSONata expression cannot be compiled. Offset is in
// bytes from the start of the text.
type SyntaxError struct {
	Text   string
	Offset int
	Msg    string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s at offset %d of %q", e.Msg, e.Offset, e.Text)
}

// Scope is everything that an evaluation can read. A Scope is not safe for concurrent use.
type Scope struct {
	// Input is $ in JSONPath and $states.input in JSONata.
	Input any
	// Context returns the context object, $$ and $states.context. It is called at most once per evaluation, and only if an
	// expression uses it. Nil means that there is no context object.
	Context func() any
	// Result is $states.result, which exists only if HasResult is set.
	Result    any
	HasResult bool
	// ErrorOutput is $states.errorOutput, which exists only if HasErrorOutput is set.
	ErrorOutput    any
	HasErrorOutput bool
	// Vars looks up a workflow variable by its name without $. Nil means that there are no variables.
	Vars func(name string) (any, bool)
	// Random is the source for $random, $uuid, $shuffle, States.MathRandom and States.UUID. The same source gives the same
	// values, so that a replay is identical. Default: a source with a fixed seed.
	Random rand.Source
	// Now is the time of $now and $millis.
	Now time.Time
}

// context returns the context object, or false if the scope has none.
func (s *Scope) context() (any, bool) {
	if s.Context == nil {
		return nil, false
	}
	return s.Context(), true
}

// variable looks up a workflow variable.
func (s *Scope) variable(name string) (any, bool) {
	if s.Vars == nil {
		return nil, false
	}
	return s.Vars(name)
}

// random returns the source of random numbers.
func (s *Scope) random() rand.Source {
	if s.Random == nil {
		s.Random = rand.NewPCG(0, 0)
	}
	return s.Random
}
