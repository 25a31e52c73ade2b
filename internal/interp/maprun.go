package interp

// MapRun is a distributed Map to be run: the engine reads its items, starts a child execution for each item or batch,
// and applies MapRunEnded when all have ended or too many failed.
type MapRun struct {
	ID    string // unique in the run, and to this attempt
	ARN   string
	Frame FrameID
	State string
	// Program is Params.Program of the children.
	Program                               int
	Label                                 string
	Express                               bool
	MaxConcurrency                        int // 0: as many as the engine likes
	ToleratedFailureCount                 int
	ToleratedFailurePercentage            float64
	ItemReader, ItemBatcher, ResultWriter []byte // evaluated, JSON; empty without one
	Items                                 []byte // JSON array, without an ItemReader
}

// RunningMaps lists the distributed Maps that were started and have not ended, for a restart.
func (r *Run) RunningMaps() []MapRun { return nil }

func (r *Run) startMapRun(f *frame) *failure {
	return runtimeFailure(f, "Distributed Maps are not supported yet.")
}

func (r *Run) mapRunEnded(m MapRunEnded) {}

func (r *Run) redrive() error { return nil }
