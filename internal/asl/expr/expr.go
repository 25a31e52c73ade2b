// Package expr evaluates what the States Language embeds in a definition: JSONPath with Jayway's semantics, intrinsic
// functions, payload templates, and JSONata with Step Functions' own functions. Everything is compiled once, when a
// definition is parsed, and is then safe for use by many goroutines. It is pure: data, time and randomness come in
// with the Scope. It knows nothing of states; asl compiles with it, interp evaluates, the validator reads the errors.
//
// Values are those of package value. A nil value is JSON's null; that something is missing is always an error.
package expr

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// maxBuilt is the maximum length of a payload, or of the arguments of an intrinsic function, as JSON, in bytes, while it is built.
// It is more than the limit of a state's output, because parts of a payload are often removed later. It bounds what a definition can
// build from its input, which it can repeat any number of times.
const maxBuilt = 4 << 20

// budget is the rest of maxBuilt, in bytes.
type budget int

// take subtracts the length of a part.
func (b *budget) take(v any) error {
	if *b -= budget(value.Len(v, int(*b))); *b < 0 {
		return errTooLong
	}
	return nil
}

var errTooLong = &Error{Name: stepfn.StatesDataLimitExceeded, Cause: "The payload exceeds the maximum size"}

// Error is a failure of an evaluation that the execution sees. Cause lacks the sentence that names the state
// ("An error occurred while executing the state ..."): the interpreter puts it in front.
type Error struct {
	Name     string
	Cause    string
	Location string // the field, such as "Output/result", where Step Functions names one (JSONata)
}

func (e *Error) Error() string { return e.Name + ": " + e.Cause }

// NoResultsError says that a definite path led nowhere. Its text is the one Step Functions shows after
// "Invalid path '...' : ". Callers choose the error's name by the field the path stands in.
type NoResultsError struct {
	Path string // as written in the definition
	At   string // the shortest part that is missing, in brackets: $['a']['b']
	Msg  string // replaces the usual sentence, for what is missing before the end

	pastEnd bool          // the last step is an index past the end of an array
	library func() string // the words of Step Functions' JSONPath library, which an intrinsic's argument shows
}

func (e *NoResultsError) Error() string {
	if e.Msg != "" {
		return e.Msg
	}
	return "No results for path: " + e.At
}

// SyntaxError says what in a path, an intrinsic or a JSONata expression cannot be compiled, and where: Offset counts
// bytes from the start of the text.
type SyntaxError struct {
	Text   string
	Offset int
	Msg    string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s at offset %d of %q", e.Msg, e.Offset, e.Text)
}

// Scope is what an evaluation can see. It serves one goroutine at a time; compiled expressions serve any number.
type Scope struct {
	// Input is $ in JSONPath and $states.input in JSONata.
	Input any
	// Context makes the context object, $$ and $states.context. It is called only when an expression asks for it,
	// at most once an evaluation. Nil means that there is none.
	Context func() any
	// Result is $states.result, and there only when HasResult is set.
	Result    any
	HasResult bool
	// ErrorOutput is $states.errorOutput, and there only when HasErrorOutput is set.
	ErrorOutput    any
	HasErrorOutput bool
	// Vars looks up a workflow variable by its name without the $. Nil means that there are none.
	Vars func(name string) (any, bool)
	// Random is drawn from by $random, $uuid, $shuffle, States.MathRandom and States.UUID. With the same state it gives the
	// same values, so that a replay agrees. Defaults to a source of fixed seed.
	Random rand.Source
	// Now is the time of $now and $millis.
	Now time.Time
}

// context makes the context object; false says that this scope has none.
func (s *Scope) context() (any, bool) {
	if s.Context == nil {
		return nil, false
	}
	return s.Context(), true
}

// variable looks a workflow variable up; a scope without variables has none.
func (s *Scope) variable(name string) (any, bool) {
	if s.Vars == nil {
		return nil, false
	}
	return s.Vars(name)
}

// random is the source to draw from. A caller who gave none still gets the same values in every replay.
func (s *Scope) random() rand.Source {
	if s.Random == nil {
		s.Random = rand.NewPCG(0, 0)
	}
	return s.Random
}
