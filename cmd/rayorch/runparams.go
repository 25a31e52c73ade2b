package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/user"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/value"
	"github.com/rayorch/rayorch/internal/view/progress"
	"github.com/rayorch/rayorch/internal/view/terminal"
)

// runParams is what a run started with: parameters with their defaults, and storage. It is part of the JSON of run, resume and describe.
type runParams struct {
	Params   json.RawMessage `json:"params,omitempty"`
	Defaults []string        `json:"defaults,omitempty"`
	Storage  string          `json:"storage,omitempty"`
}

// runParamsOf adds the names of the parameters that have their defaults because the input does not set them.
func runParamsOf(b progress.Start, input json.RawMessage) runParams {
	out := runParams{Params: b.Params, Storage: b.Storage}
	params, _ := value.ParseObject(b.Params)
	given, _ := value.ParseObject(input)
	if params == nil {
		return runParams{Storage: b.Storage}
	}
	for i := range params.Len() {
		if name, _ := params.At(i); given == nil || !given.Has(name) {
			out.Defaults = append(out.Defaults, name)
		}
	}
	return out
}

// printParams prints the parameters, one per line, and marks defaults.
func (b *runParams) printParams(p *printer) {
	params, _ := value.ParseObject(b.Params)
	label := "params"
	for i := 0; params != nil && i < params.Len(); i++ {
		name, v := params.At(i)
		line := fmt.Sprintf("%-7s %s = %s", label, name, terminal.Cut(terminal.Clean(value.Text(v)), 100))
		for _, d := range b.Defaults {
			if d == name {
				line += " (default)"
			}
		}
		p.printf("%s\n", line)
		label = ""
	}
	if b.Storage != "" {
		p.printf("storage %s\n", terminal.Clean(b.Storage))
	}
}

// timedOutCause returns a cause for an execution that exceeded its own timeout, for which the API has none; "" if it cannot be read.
func (s *session) timedOutCause(ctx context.Context, x *sfn.DescribeExecutionOutput) string {
	m, err := s.sfn.DescribeStateMachineForExecution(ctx, &sfn.DescribeStateMachineForExecutionInput{
		ExecutionArn: x.ExecutionArn, IncludedData: types.IncludedDataAllData,
	})
	var definition struct{ TimeoutSeconds float64 }
	if err != nil || json.Unmarshal([]byte(aws.ToString(m.Definition)), &definition) != nil || definition.TimeoutSeconds == 0 {
		return ""
	}
	began := aws.ToTime(x.StartDate)
	if x.RedriveDate != nil {
		began = *x.RedriveDate
	}
	return task.TimedOut("the run", aws.ToTime(x.StopDate).Sub(began), time.Duration(definition.TimeoutSeconds*float64(time.Second)))
}

// invoker names the user who runs the command, for the cause of a stop: a state directory or a server may have several users.
func invoker() string {
	name := "uid " + fmt.Sprint(os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += " on " + host
	}
	return name
}
