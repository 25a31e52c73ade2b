package api

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/rayorch/rayorch/internal/asl"
	"github.com/rayorch/rayorch/internal/asl/check"
	"github.com/rayorch/rayorch/internal/asl/interp"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

func init() {
	register(action{"TestState", structure{
		required("definition", aDefinition), optional("roleArn", anARN), optional("input", aPayload),
		optional("inspectionLevel", stringShape{enum: []string{"INFO", "DEBUG", "TRACE"}}), optional("revealSecrets", aBoolean),
		optional("variables", aPayload), optional("stateName", stringShape{min: 1, max: stepfn.MaxName, secret: true}),
		optional("mock", nested{
			optional("result", aPayload),
			optional("errorOutput", nested{optional("error", anError), optional("cause", aCause)}),
			optional("fieldValidationMode", stringShape{enum: []string{"STRICT", "PRESENT", "NONE"}}),
		}),
		optional("context", aPayload),
		optional("stateConfiguration", nested{
			optional("retrierRetryCount", numberShape{}), optional("errorCausedByState", stringShape{min: 1, max: stepfn.MaxName, secret: true}),
			optional("mapIterationFailureCount", numberShape{}), optional("mapItemReaderData", aPayload),
		}),
	}, (*Server).testState})
}

// testState runs a single state without an execution. It stores nothing.
func (s *Server) testState(_ context.Context, in *value.Object) (*value.Object, error) {
	m, name, err := testedMachine(in)
	if err != nil {
		return nil, err
	}
	if flag(in, "revealSecrets") && object(in, "mock") != nil {
		return nil, invalid("TestState does not support RevealSecrets when a mock is specified.")
	}
	req, err := s.testRequest(in, name)
	if err != nil {
		return nil, err
	}
	if err := checkMockShape(m, name, object(in, "mock")); err != nil {
		return nil, err
	}
	result, err := interp.TestState(m, req, s.cfg.Now())
	var refused *interp.TestRejected
	if errors.As(err, &refused) {
		return nil, refusal(refused.Code, refused.Message)
	}
	if err != nil {
		return nil, err
	}
	return testAnswer(in, &result), nil
}

// testedMachine parses the definition: a single state, or a state machine with the state stateName. It returns the machine and
// the name of the state to test.
func testedMachine(in *value.Object) (m *asl.Machine, name string, err error) {
	definition := text(in, "definition")
	name = text(in, "stateName")
	found := check.Definition
	if name == "" {
		found = func(text string, _ bool) check.Result { return check.State(text) }
	}
	if message, bad := found(definition, false).Refusal(); bad {
		return nil, "", refusal("InvalidDefinition", message)
	}
	o, err := value.ParseObject([]byte(definition))
	if err != nil {
		return nil, "", err
	}
	if name == "" {
		name = check.StateName
		m, err = asl.NewState(name, o)
	} else {
		m, err = asl.New(o)
	}
	if err != nil {
		return nil, "", refusal("InvalidDefinition", "Invalid State Machine Definition: '"+err.Error()+"'")
	}
	if !hasState(m, name) {
		return nil, "", invalid("State not found in definition")
	}
	return m, name, nil
}

// hasState reports whether the machine has a state, also in branches and item processors. Names are unique in a machine.
func hasState(m *asl.Machine, name string) bool {
	for _, p := range m.Programs {
		if p.States[name] != nil {
			return true
		}
	}
	return false
}

// testRequest builds the request of the interpreter. It makes up the execution that the context object shows.
func (s *Server) testRequest(in *value.Object, state string) (*interp.TestRequest, error) {
	input, err := executionInput(in)
	if err != nil {
		return nil, err
	}
	machine, execution := uuid.NewString(), uuid.NewString()
	cfg := s.eng.Config()
	req := &interp.TestRequest{
		State: state,
		Params: interp.Params{
			ExecutionARN: stepfn.NewARN(cfg.Region, cfg.Account, stepfn.KindExpress, machine, execution), Name: execution,
			MachineARN: stepfn.NewARN(cfg.Region, cfg.Account, stepfn.KindMachine, machine, ""), MachineName: machine,
			RoleARN: text(in, "roleArn"), Region: cfg.Region, Input: input, StartTime: s.cfg.Now(), Express: true,
		},
		Context: bytesOf(in, "context"), Variables: bytesOf(in, "variables"),
	}
	if mock := object(in, "mock"); mock != nil {
		if !mock.Has("result") && !mock.Has("errorOutput") {
			return nil, invalid("One of the following fields is required for a test mock: [result, errorOutput].")
		}
		if mock.Has("result") && mock.Has("errorOutput") {
			return nil, invalid("A test mock should have only one of the following fields: [result, errorOutput].")
		}
		failure := object(mock, "errorOutput")
		req.Mock = &interp.TestMock{Result: bytesOf(mock, "result"), Error: text(failure, "error"), Cause: text(failure, "cause")}
	}
	if c := object(in, "stateConfiguration"); c != nil {
		req.RetryCount = int(integer(c, "retrierRetryCount"))
		req.ReaderData = bytesOf(c, "mapItemReaderData")
		if c.Has("mapIterationFailureCount") {
			n := integer(c, "mapIterationFailureCount")
			req.FailedIterations = &n
		}
	}
	return req, nil
}

// bytesOf returns a string member as bytes, nil if it is absent or empty.
func bytesOf(in *value.Object, name string) []byte {
	if s := text(in, name); s != "" {
		return []byte(s)
	}
	return nil
}

// testAnswer builds the answer. It contains the inspection data only at the levels DEBUG and TRACE.
func testAnswer(in *value.Object, r *interp.TestResult) *value.Object {
	out := value.Obj("status", r.Status)
	setText(out, "output", string(r.Output))
	setText(out, "error", r.Error)
	setText(out, "cause", r.Cause)
	setText(out, "nextState", r.NextState)
	if level := text(in, "inspectionLevel"); level == "DEBUG" || level == "TRACE" {
		out.Set("inspectionData", r.Inspection)
	}
	return out
}
