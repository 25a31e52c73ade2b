package asl

import (
	"errors"
	"fmt"

	"github.com/rayorch/rayorch/internal/asl/expr"
	"github.com/rayorch/rayorch/internal/value"
)

// Parse parses a definition. It returns an error for a definition that cannot be executed; package check reports all
// problems.
func Parse(definition []byte) (*Machine, error) {
	o, err := value.ParseObject(definition)
	if err != nil {
		return nil, fmt.Errorf("parse definition: %w", err)
	}
	return New(o)
}

// New is Parse for a definition that is already decoded.
func New(definition *value.Object) (*Machine, error) {
	p := &parser{machine: &Machine{}}
	f := fields{p: p, o: definition}
	p.machine.Comment = f.str("Comment")
	p.machine.TimeoutSeconds = f.integer("TimeoutSeconds", 0)
	p.program(f, f.str("QueryLanguage") == "JSONata")
	if p.err != nil {
		return nil, p.err
	}
	return p.machine, nil
}

// maxNesting bounds the nesting of branches and of conditions, because the parser is recursive: value.MaxDepth allows more
// than the stack does.
const maxNesting = 100

// NewState parses the definition of a single state, for TestState. The machine has only this state, under the given name.
// Names of other states, such as Next, are accepted.
func NewState(name string, definition *value.Object) (*Machine, error) {
	p := &parser{machine: &Machine{}, alone: true}
	states, machine := value.NewObject(1), value.NewObject(2)
	states.Set(name, definition)
	machine.Set("StartAt", name)
	machine.Set("States", states)
	p.program(fields{p: p, o: machine}, false)
	if p.err != nil {
		return nil, p.err
	}
	return p.machine, nil
}

// parser builds a Machine.
type parser struct {
	machine *Machine
	nesting int  // of programs
	alone   bool // the definition is a single state (NewState)
	err     error
}

// fail keeps only the first error.
func (p *parser) fail(at string, err error) {
	if p.err == nil && err != nil {
		p.err = fmt.Errorf("%s: %w", at, err)
	}
}

// program numbers a program before the programs inside it, so that the numbers follow the order of the definition.
func (p *parser) program(f fields, jsonata bool) *Program {
	prog := &Program{Index: len(p.machine.Programs), States: map[string]*State{}}
	p.machine.Programs = append(p.machine.Programs, prog)
	if p.nesting++; p.nesting > maxNesting {
		f.fail("States", fmt.Errorf("nested more than %d levels deep", maxNesting))
		return prog
	}
	defer func() { p.nesting-- }()
	prog.startAt = f.str("StartAt")
	states := f.obj("States")
	for i := range states.o.Len() {
		name, _ := states.o.At(i)
		state := states.obj(name)
		state.within = ""
		prog.States[name] = p.state(name, state, jsonata)
		prog.order = append(prog.order, prog.States[name])
	}
	p.resolve(prog, f.at)
	return prog
}

// resolve replaces names of states by pointers.
func (p *parser) resolve(prog *Program, at string) {
	find := func(name string) *State {
		s, ok := prog.States[name]
		if !ok && p.alone {
			return &State{Name: name, Type: Succeed}
		}
		if !ok {
			p.fail(at, fmt.Errorf("state %q not found", name))
		}
		return s
	}
	prog.StartAt = find(prog.startAt)
	for _, s := range prog.order {
		if s.next != "" {
			s.Next = find(s.next)
		}
		for i := range s.Choices {
			s.Choices[i].Next = find(s.Choices[i].next)
		}
		for i := range s.Catch {
			s.Catch[i].Next = find(s.Catch[i].next)
		}
		if s.Type == Choice && s.next == "" {
			s.Default = nil
		} else if s.Type == Choice {
			s.Default, s.Next = s.Next, nil
		}
	}
}

// state parses the fields that every state has, then those of its type.
func (p *parser) state(name string, f fields, jsonata bool) *State {
	s := &State{Name: name, Type: f.str("Type"), JSONata: jsonata, next: f.str("Next")}
	if l := f.str("QueryLanguage"); l != "" {
		s.JSONata = l == "JSONata"
	}
	f.jsonata = s.JSONata
	if parse, ok := stateParsers[s.Type]; ok {
		p.common(s, f)
		parse(p, s, f)
	} else {
		f.fail("Type", fmt.Errorf("unknown type %q", s.Type))
	}
	return s
}

// common parses the fields that several types have. A definition that package check has accepted has none that its type does
// not have.
func (p *parser) common(s *State, f fields) {
	s.Assign = f.template("Assign")
	if s.JSONata {
		s.Parameters, s.Output = f.template("Arguments"), f.template("Output")
	} else {
		s.InputPath, s.OutputPath = f.path("InputPath"), f.path("OutputPath")
		s.Parameters, s.ResultSelector = f.template("Parameters"), f.template("ResultSelector")
		s.ResultPath = f.resultPath("ResultPath")
	}
	for _, r := range f.list("Retry") {
		s.Retry = append(s.Retry, retrier(r))
	}
	for _, c := range f.list("Catch") {
		s.Catch = append(s.Catch, catcher(c))
	}
}

// stateParsers parse the fields of each type.
var stateParsers map[string]func(*parser, *State, fields)

func init() { // an initializer of the variable would be an initialization cycle: branches contain states
	stateParsers = map[string]func(*parser, *State, fields){
		Pass:     (*parser).pass,
		Task:     (*parser).task,
		Choice:   (*parser).choice,
		Wait:     (*parser).wait,
		Succeed:  func(*parser, *State, fields) {},
		Fail:     (*parser).failState,
		Parallel: (*parser).parallel,
		Map:      (*parser).mapState,
	}
}

func (p *parser) pass(s *State, f fields) {
	if !s.JSONata {
		s.Result, s.HasResult = f.o.Get("Result")
	}
}

// task accepts any Resource: the engine decides which ones it can run.
func (p *parser) task(s *State, f fields) {
	if s.Resource = f.str("Resource"); s.Resource == "" {
		f.fail("Resource", errors.New("required for a Task"))
	}
	s.TimeoutSeconds = f.scalar("TimeoutSeconds")
	s.HeartbeatSeconds = f.scalar("HeartbeatSeconds")
	s.Credentials = f.template("Credentials")
}

func (p *parser) wait(s *State, f fields) {
	s.Seconds, s.Timestamp = f.scalar("Seconds"), f.scalar("Timestamp")
	if !s.Seconds.Set() && !s.Timestamp.Set() {
		f.fail("", errors.New("a Wait requires Seconds or Timestamp"))
	}
}

func (p *parser) failState(s *State, f fields) {
	s.Error, s.Cause = f.scalar("Error"), f.scalar("Cause")
}

func (p *parser) parallel(s *State, f fields) {
	for _, b := range f.list("Branches") {
		s.Branches = append(s.Branches, p.program(b, s.inherit(b)))
	}
}

// inherit reports whether the default query language of a program inside the state is JSONata.
func (s *State) inherit(f fields) bool {
	if l := f.str("QueryLanguage"); l != "" {
		return l == "JSONata"
	}
	return s.JSONata
}

// retrier parses a retrier, with the defaults of the States Language.
func retrier(f fields) Retrier {
	return Retrier{
		ErrorEquals:     f.strings("ErrorEquals"),
		IntervalSeconds: f.float("IntervalSeconds", 1),
		MaxAttempts:     int(f.integer("MaxAttempts", 3)),
		BackoffRate:     f.float("BackoffRate", 2),
		MaxDelaySeconds: f.float("MaxDelaySeconds", 0),
		FullJitter:      f.str("JitterStrategy") == "FULL",
	}
}

// catcher parses a catcher, in the query language of its state.
func catcher(f fields) Catcher {
	c := Catcher{ErrorEquals: f.strings("ErrorEquals"), next: f.str("Next"), Assign: f.template("Assign")}
	if f.jsonata {
		c.Output = f.template("Output")
	} else {
		c.ResultPath = f.resultPath("ResultPath")
	}
	return c
}

var _ Template = (*expr.Template)(nil)
