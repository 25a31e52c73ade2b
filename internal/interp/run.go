package interp

import (
	"time"

	"github.com/rayorch/rayorch/internal/asl"
)

// Status is an execution's status in the API's words.
type Status string

// The statuses of an execution.
const (
	Running        Status = "RUNNING"
	Succeeded      Status = "SUCCEEDED"
	Failed         Status = "FAILED"
	TimedOut       Status = "TIMED_OUT"
	Aborted        Status = "ABORTED"
	PendingRedrive Status = "PENDING_REDRIVE"
)

// Params is what a run is born with and what never changes.
type Params struct {
	ExecutionARN, Name      string
	MachineARN, MachineName string
	AliasARN, VersionARN    string // shown in ExecutionStarted where set
	RoleARN, Region         string
	Express                 bool
	Input                   []byte // as given by the caller, valid JSON
	StartTime               time.Time
	Seed                    uint64 // all randomness of the run comes from it
	// Program says which part of the definition runs: 0 is the machine itself, others are the item processors of
	// distributed Maps (MapRun.Program).
	Program   int
	MapRunARN string // of a distributed Map's child execution
	MapItem   []byte // the child's $$.Map.Item
}

// Head is what a run's head says to those who need nothing else.
type Head struct {
	Status       Status
	Output       []byte
	Error, Cause string
	StopTime     time.Time // zero while it runs
	RedriveCount int
	RedriveTime  time.Time
	LastEvent    int64     // id of the last event
	Wake         time.Time // the earliest deadline; zero when there is none
	More         bool      // the last decision had More: apply Continue
}

// Run is one execution's state. It is not safe for use by several goroutines at once.
type Run struct {
	machine *asl.Machine
	params  Params
	head    Head
}

// New makes a run that has not begun: apply Start.
func New(p Params, m *asl.Machine) *Run { return &Run{machine: m, params: p} }

// Apply decides what follows from a fact at a time. A fact that comes too late (its task ended, the run closed) gives an
// empty decision. An error means that the fact or the run is broken, never that the execution fails.
func (r *Run) Apply(f Fact, now time.Time) (Decision, error) { return Decision{}, nil }

// Head is the run's head.
func (r *Run) Head() Head { return r.head }

// Params is what the run was born with.
func (r *Run) Params() Params { return r.params }

// Running lists the tasks that were started and have not ended, for a restart.
func (r *Run) Running() []Task { return nil }

// RunningMaps lists the distributed Maps that were started and have not ended, for a restart.
func (r *Run) RunningMaps() []MapRun { return nil }

// AppendHead writes the head after dst.
func (r *Run) AppendHead(dst []byte) []byte { return dst }

// AppendFrame writes a frame that a decision named Dirty after dst.
func (r *Run) AppendFrame(dst []byte, id FrameID) []byte { return dst }

// Load makes the run again of its head and all its frames that were written and are not gone.
func Load(m *asl.Machine, head []byte, frames []StoredFrame) (*Run, error) { return nil, nil }

// DecodeHead reads a head alone.
func DecodeHead(head []byte) (Head, error) { return Head{}, nil }

// DecodeParams reads the params of a run from its frame 1, which the first decision writes and none removes.
func DecodeParams(frame []byte) (Params, error) { return Params{}, nil }

// ParseToken finds execution and task in a token. Whether the token is genuine is for Run.Token to say.
func ParseToken(token string) (executionARN, task string, ok bool) { return "", "", false }

// TaskOf is the running task whose token this is.
func (r *Run) TaskOf(token string) (Task, bool) { return Task{}, false }
