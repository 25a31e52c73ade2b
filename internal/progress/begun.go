package progress

import (
	"encoding/json"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// Begun is what a pipeline's run began with. It is empty for definitions that are no pipeline's.
type Begun struct {
	Params  json.RawMessage // an object, with the defaults of those that were not given
	Storage string          // the run's directory
}

// begin folds what a pipeline's first state has found out.
func (v *View) begin(e *types.HistoryEvent) {
	d := e.StateExitedEventDetails
	if d == nil || aws.ToString(d.Name) != "Read params" || v.Begun.Params != nil {
		return
	}
	var run struct{ Storage string }
	params := []byte(d.AssignedVariables["params"])
	if json.Unmarshal([]byte(d.AssignedVariables["run"]), &run) == nil && json.Valid(params) { // else cut by AWS, or no pipeline's
		v.Begun = Begun{params, run.Storage}
	}
}
