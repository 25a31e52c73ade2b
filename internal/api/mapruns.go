package api

import (
	"context"
	"errors"

	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/catalog"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

func init() {
	register(
		action{"DescribeMapRun", structure{required("mapRunArn", aLongARN)}, (*Server).describeMapRun},
		action{"ListMapRuns", paging.with(required("executionArn", anARN)), (*Server).listMapRuns},
		action{"UpdateMapRun", structure{
			required("mapRunArn", aLongARN), optional("maxConcurrency", numberShape{}),
			optional("toleratedFailurePercentage", numberShape{max: 100, fraction: true}), optional("toleratedFailureCount", numberShape{}),
		}, (*Server).updateMapRun},
	)
}

// mapRun finds the Map run that a request names.
func (s *Server) mapRun(in *value.Object) (engine.MapRun, error) {
	arn := text(in, "mapRunArn")
	if _, err := catalog.ExpectARN(arn, stepfn.KindMapRun); err != nil {
		return engine.MapRun{}, err
	}
	m, err := s.eng.MapRun(arn)
	if errors.Is(err, engine.ErrMapRunDoesNotExist) {
		return m, refusal("ResourceNotFound", "Resource not found: '"+arn+"'")
	}
	return m, err
}

// describeMapRun returns a Map run with its current counts.
func (s *Server) describeMapRun(_ context.Context, in *value.Object) (*value.Object, error) {
	m, err := s.mapRun(in)
	if err != nil {
		return nil, err
	}
	out := value.Obj("mapRunArn", m.ARN, "executionArn", m.ExecutionARN, "status", string(m.Status), "startDate", history.Seconds(m.Started))
	if !m.Stopped.IsZero() {
		out.Set("stopDate", history.Seconds(m.Stopped))
	}
	out.Set("maxConcurrency", value.Int(m.MaxConcurrency))
	out.Set("toleratedFailurePercentage", value.Double(m.ToleratedPct))
	out.Set("toleratedFailureCount", value.Int(m.ToleratedCount))
	out.Set("itemCounts", counts(&m.Items))
	out.Set("executionCounts", counts(&m.Executions))
	out.Set("redriveCount", value.Int(m.RedriveCount))
	if !m.Redriven.IsZero() {
		out.Set("redriveDate", history.Seconds(m.Redriven))
	}
	return out, nil
}

// counts returns the counts of a Map run's items or of its child executions. They differ if the Map run batches items.
func counts(c *engine.Counts) *value.Object {
	return value.Obj("pending", value.Int(c.Pending), "running", value.Int(c.Running), "succeeded", value.Int(c.Succeeded),
		"failed", value.Int(c.Failed), "timedOut", value.Int(c.TimedOut), "aborted", value.Int(c.Aborted),
		"total", value.Int(c.Total), "resultsWritten", value.Int(c.Written), "failuresNotRedrivable", value.Int(c.NotRedrivable),
		"pendingRedrive", value.Int(c.PendingRedrive))
}

// listMapRuns lists the Map runs of an execution.
func (s *Server) listMapRuns(_ context.Context, in *value.Object) (*value.Object, error) {
	arn, err := executionARN(in)
	if err != nil {
		return nil, err
	}
	after, err := pageAfter(in, "mapruns", arn)
	if err != nil {
		return nil, err
	}
	runs, next, err := s.eng.MapRuns(arn, after, pageSize(in))
	if err != nil {
		return nil, s.executionError(arn, err)
	}
	items := make([]any, len(runs))
	for i := range runs {
		items[i] = mapRunItem(&runs[i])
	}
	out := value.Obj("mapRuns", items)
	if next != "" {
		out.Set("nextToken", pageToken(next, "mapruns", arn))
	}
	return out, nil
}

// mapRunItem returns a Map run as an item of ListMapRuns.
func mapRunItem(m *engine.MapRun) *value.Object {
	o := value.Obj("executionArn", m.ExecutionARN, "mapRunArn", m.ARN, "stateMachineArn", stepfn.MachineOf(m.ARN),
		"startDate", history.Seconds(m.Started))
	if !m.Stopped.IsZero() {
		o.Set("stopDate", history.Seconds(m.Stopped))
	}
	return o
}

// updateMapRun changes limits of a running Map run. A lower concurrency does not stop child executions that have started.
func (s *Server) updateMapRun(_ context.Context, in *value.Object) (*value.Object, error) {
	m, err := s.mapRun(in)
	if err != nil {
		return nil, err
	}
	if m.Status != stepfn.Running {
		return nil, invalid("A map run that has completed cannot be updated")
	}
	change := engine.MapRunChange{MaxConcurrency: integerPtr(in, "maxConcurrency"), ToleratedCount: integerPtr(in, "toleratedFailureCount")}
	if v, ok := in.Get("toleratedFailurePercentage"); ok && v != nil {
		n, _ := v.(value.Number)
		share := n.Float64()
		change.ToleratedPct = &share
	}
	return empty, s.eng.UpdateMapRun(m.ARN, change)
}

// integerPtr returns an integer member, nil if it is absent or null.
func integerPtr(in *value.Object, name string) *int64 {
	v, ok := in.Get(name)
	if !ok || v == nil {
		return nil
	}
	n := integer(in, name)
	return &n
}
