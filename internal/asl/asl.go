// Package asl is the Amazon States Language: the model of a state machine definition, ready to be interpreted, and its
// parser. It knows nothing of executions; interp walks the model, and asl/check reports what is wrong with a definition.
package asl

import "github.com/rayorch/rayorch/internal/asl/expr"

// Machine is a parsed definition. It never changes after Parse.
type Machine struct {
	Comment        string
	TimeoutSeconds int64 // 0: none
	// Programs are the machine itself (0), then every branch and item processor in the order in which they stand in
	// the definition. The index is stable: it depends on the definition alone.
	Programs []*Program
}

// Program is a set of states with a beginning: the machine, a Parallel's branch or a Map's item processor.
type Program struct {
	Index   int
	StartAt *State
	States  map[string]*State
	// Distributed and Express are an item processor's ProcessorConfig.
	Distributed, Express bool

	startAt string
	order   []*State // as they stand in the definition
}

// Template is a payload template of either query language.
type Template interface {
	Eval(*expr.Scope) (any, error)
	Variables() []string
}

// The types of states.
const (
	Pass     = "Pass"
	Task     = "Task"
	Choice   = "Choice"
	Wait     = "Wait"
	Succeed  = "Succeed"
	Fail     = "Fail"
	Parallel = "Parallel"
	Map      = "Map"
)

// State is a state of any type: what a type does not have is zero.
type State struct {
	Name    string
	Type    string
	JSONata bool   // the query language of the state
	Next    *State // nil: the state ends its program

	InputPath, OutputPath PathField  // JSONPath
	Parameters            Template   // Parameters, or Arguments
	ResultSelector        Template   // JSONPath
	ResultPath            ResultPath // JSONPath
	Output                Template   // JSONata
	Assign                Template
	Retry                 []Retrier
	Catch                 []Catcher

	Result    any // Pass
	HasResult bool

	Resource         string // Task
	TimeoutSeconds   Scalar
	HeartbeatSeconds Scalar
	Credentials      Template

	Seconds, Timestamp Scalar // Wait
	Error, Cause       Scalar // Fail

	Choices []Rule // Choice
	Default *State

	Branches []*Program // Parallel
	Map      *MapFields // Map

	next string
}

// MapFields are what only a Map has.
type MapFields struct {
	Processor                  *Program
	Label                      string
	ItemsPath                  PathField // JSONPath
	Items                      Template  // JSONata
	ItemsExpr                  *expr.JSONata
	ItemSelector               Template
	MaxConcurrency             Scalar
	ToleratedFailureCount      Scalar
	ToleratedFailurePercentage Scalar
	Reader                     *ItemReader
	Batcher                    *ItemBatcher
	Writer                     *ResultWriter
}

// ItemReader is where a distributed Map reads its items from.
type ItemReader struct {
	Resource   string
	Parameters Template
	Config     any // ReaderConfig as written, but for MaxItems
	MaxItems   Scalar
}

// ItemBatcher groups a distributed Map's items.
type ItemBatcher struct {
	MaxItemsPerBatch, MaxInputBytesPerBatch Scalar
	BatchInput                              Template
}

// ResultWriter is where a distributed Map writes its results to.
type ResultWriter struct {
	Resource   string
	Parameters Template
	Config     any // WriterConfig as written
}

// PathField is a path that may be null, which means an empty object, or absent, which means $.
type PathField struct {
	Path *expr.Path
	Null bool
}

// ResultPath is a reference path, null (the result is discarded) or absent ($).
type ResultPath struct {
	Path *expr.Path
	Null bool
}

// Scalar is a field that holds a literal, a path (the ...Path form, or a path or an intrinsic in Fail) or a JSONata
// expression.
type Scalar struct {
	Field   string // as the definition spells it: TimeoutSecondsPath
	Literal any
	Query   *expr.Query
	Expr    *expr.JSONata
}

// Set says that the field is there.
func (s *Scalar) Set() bool { return s.Field != "" }

// Retrier is an element of Retry.
type Retrier struct {
	ErrorEquals     []string
	IntervalSeconds float64
	MaxAttempts     int
	BackoffRate     float64
	MaxDelaySeconds float64 // 0: none
	FullJitter      bool
}

// Catcher is an element of Catch.
type Catcher struct {
	ErrorEquals []string
	Next        *State
	ResultPath  ResultPath
	Output      Template
	Assign      Template

	next string
}

// Rule is an element of Choices.
type Rule struct {
	Next      *State
	Test      *Test         // JSONPath
	Condition *expr.JSONata // JSONata, nil when Always is its literal value
	Location  string        // of Condition: Choices[0]/Condition
	Always    bool
	Output    Template
	Assign    Template

	next string
}

// Test is a JSONPath condition: And, Or, Not, or one comparison.
type Test struct {
	And, Or  []*Test
	Not      *Test
	Variable *expr.Path
	Operator string // as written: StringEqualsPath, IsNull
	Value    any
	Path     *expr.Path // the value's, for the ...Path operators
}
