package progress

import (
	"encoding/json"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// Begun is what a run started with. It is empty for definitions that rayorch did not compile.
type Begun struct {
	Params  json.RawMessage // an object, with the defaults of those that were not given
	Storage string          // the run's directory
}

// begin folds the result of a pipeline's first state.
func (v *View) begin(e *types.HistoryEvent) {
	d := e.StateExitedEventDetails
	if d == nil || aws.ToString(d.Name) != "Read params" || v.Begun.Params != nil {
		return
	}
	var run struct{ Storage string }
	params := []byte(d.AssignedVariables["params"])
	if json.Unmarshal([]byte(d.AssignedVariables["run"]), &run) == nil && json.Valid(params) { // else AWS truncated it, or rayorch did not compile the definition
		v.Begun = Begun{params, run.Storage}
	}
}
