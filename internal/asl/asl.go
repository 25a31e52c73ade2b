// Package asl is the model of a state machine definition in the Amazon States Language, and its parser. The model is what the
// interpreter (package interp) executes. Parse stops at the first error; package check reports all problems of a definition.
package asl

import "github.com/rayorch/rayorch/internal/asl/expr"

// Machine is a parsed definition. It does not change after Parse.
type Machine struct {
	Comment        string
	TimeoutSeconds int64 // 0: none
	// Programs are the machine itself (0), then every branch and item processor in the order of the definition. The index is
	// stored with executions: it depends only on the definition.
	Programs []*Program
}

// Program is a set of states with a start state: the machine, a branch of a Parallel, or the item processor of a Map.
type Program struct {
	Index   int
	StartAt *State
	States  map[string]*State
	// Distributed and Express are the ProcessorConfig of an item processor.
	Distributed, Express bool

	startAt string
	order   []*State // in the order of the definition
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

// State is a state of any type. Fields that its type does not have are zero.
type State struct {
	Name    string
	Type    string
	JSONata bool   // the query language of the state is JSONata, not JSONPath
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

// MapFields are the fields that only a Map has.
type MapFields struct {
	Processor                  *Program
	Label                      string
	ItemsPath                  PathField     // JSONPath
	Items                      Template      // JSONata
	ItemsExpr                  *expr.JSONata // JSONata, if Items is a single expression; then the template Items is nil
	ItemSelector               Template
	MaxConcurrency             Scalar
	ToleratedFailureCount      Scalar
	ToleratedFailurePercentage Scalar
	Reader                     *ItemReader
	Batcher                    *ItemBatcher
	Writer                     *ResultWriter
}

// ItemReader describes where a distributed Map reads its items.
type ItemReader struct {
	Resource   string
	Parameters Template
	Config     any // ReaderConfig as it is written, without MaxItems
	MaxItems   Scalar
}

// ItemBatcher describes how a distributed Map groups its items into batches.
type ItemBatcher struct {
	MaxItemsPerBatch, MaxInputBytesPerBatch Scalar
	BatchInput                              Template
}

// ResultWriter describes where a distributed Map writes its results.
type ResultWriter struct {
	Resource   string
	Parameters Template
	Config     any // WriterConfig as it is written
}

// PathField is a path. Null means that the field is null, which stands for an empty object; a nil Path without Null means
// that the field is missing, which stands for $.
type PathField struct {
	Path *expr.Path
	Null bool
}

// ResultPath is a reference path. Null discards the result; a nil Path without Null stands for $.
type ResultPath struct {
	Path *expr.Path
	Null bool
}

// Scalar is a field whose value is a literal, a query (the ...Path form of the field), or a JSONata expression.
type Scalar struct {
	Field   string // the name as it is written, such as TimeoutSecondsPath
	Literal any
	Query   *expr.Query
	Expr    *expr.JSONata
}

// Set reports whether the definition has the field.
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
	Condition *expr.JSONata // JSONata; nil if the condition is the literal Always
	Location  string        // of Condition, such as Choices[0]/Condition
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
	Operator string // as it is written: StringEqualsPath, IsNull
	Value    any
	Path     *expr.Path // the path of the value, for ...Path operators
}
