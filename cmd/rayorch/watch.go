package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/progress"
)

// awsPoll is how often AWS is asked for news: it has no way to wait for an event.
const awsPoll = 2 * time.Second

// catchUp feeds the view all events that it has not seen. GetExecutionHistory cannot start in the middle, so it reads
// backwards until it meets what is known: the cost is that of what is new.
func (s *session) catchUp(ctx context.Context, arn string, v *progress.View) error {
	if !v.Described() {
		states, err := s.states(ctx, arn)
		if err != nil {
			return err
		}
		v.Describe(states)
	}
	var fresh []types.HistoryEvent
	pages := sfn.NewGetExecutionHistoryPaginator(s.sfn, &sfn.GetExecutionHistoryInput{
		ExecutionArn: aws.String(arn), ReverseOrder: true, IncludeExecutionData: aws.Bool(true), MaxResults: 200,
	})
	for known := false; pages.HasMorePages() && !known; {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return apiError("read the history", err)
		}
		for _, e := range page.Events {
			if known = e.Id <= v.Last; known {
				break
			}
			fresh = append(fresh, e)
		}
	}
	for i := range slices.Backward(fresh) {
		v.Add(&fresh[i])
	}
	return nil
}

// states reads the annotations of an execution's definition. A caller who may not read the definition sees plain states.
func (s *session) states(ctx context.Context, arn string) (progress.States, error) {
	m, err := s.sfn.DescribeStateMachineForExecution(ctx, &sfn.DescribeStateMachineForExecutionInput{
		ExecutionArn: aws.String(arn), IncludedData: types.IncludedDataAllData,
	})
	if isAnswer(err) {
		return progress.ReadStates(nil), nil
	}
	if err != nil {
		return nil, apiError("read the definition", err)
	}
	return progress.ReadStates([]byte(aws.ToString(m.Definition))), nil
}

// await returns when the execution has an event after the given one, or after a while in any case.
func (s *session) await(ctx context.Context, arn string, after int64) error {
	switch {
	case s.owner != nil:
		bounded, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		_, err := s.owner.eng.Watch(bounded, arn, after)
		if bounded.Err() != nil {
			return ctx.Err() // a quiet minute is no error
		}
		return err
	case s.http == nil:
		return pause(ctx, awsPoll)
	}
	q := url.Values{"execution": {arn}, "after": {strconv.FormatInt(after, 10)}}
	resp, err := s.extension(ctx, "watch", q)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// extension asks our server for what the Step Functions API does not have.
func (s *session) extension(ctx context.Context, path string, q url.Values) (*http.Response, error) {
	return s.extend(ctx, http.MethodGet, path, q, nil)
}

// resumeThere resumes executions that rest in the process that owns the directory.
func (s *session) resumeThere(ctx context.Context, arns []string) error {
	resp, err := s.extend(ctx, http.MethodPost, "resume", url.Values{"execution": arns}, nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// idle are executions that nobody drives, by their ARN, and for parked ones why.
type idle map[string]string

// of reports whether an execution is driven, and why not if it is parked.
func (i idle) of(arn string) (driven *bool, parked string) {
	reason, idle := i[arn]
	return aws.Bool(!idle), reason
}

func (i idle) add(arns []string, parked []engine.Parked) {
	for _, arn := range arns {
		i[arn] = ""
	}
	for _, p := range parked {
		i[p.ARN] = p.Reason
	}
}

// resting are the executions that nobody drives; known is false where the server cannot tell.
func (s *session) resting(ctx context.Context) (arns idle, known bool, err error) {
	arns = idle{}
	if s.owner != nil {
		list, err := s.owner.eng.Resting()
		arns.add(list, s.owner.eng.Parked())
		return arns, true, err
	}
	if s.http == nil {
		return nil, false, nil
	}
	resp, err := s.extension(ctx, "resting", nil)
	var answer struct {
		Executions []string
		Parked     []struct{ Execution, Reason string }
	}
	switch {
	case answered(err): // another server than ours, or one of an older release
		return nil, false, nil
	case err != nil:
		return nil, false, err
	}
	err = json.NewDecoder(resp.Body).Decode(&answer)
	arns.add(answer.Executions, nil)
	for _, p := range answer.Parked {
		arns[p.Execution] = p.Reason
	}
	return arns, true, errors.Join(err, resp.Body.Close())
}

func (s *session) extend(ctx context.Context, method, path string, q url.Values, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.base+"/rayorch/v1/"+path+"?"+q.Encode(), body)
	if err != nil {
		return nil, err
	}
	if s.sign != nil {
		if err := s.sign(req, nil); err != nil {
			return nil, err
		}
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNoContent {
		_ = resp.Body.Close()
		return nil, &statusError{resp.StatusCode, fmt.Sprintf("the server answered %s to %s", resp.Status, path)}
	}
	return resp, nil
}

// statusError is an unsuccessful answer of a server's own API.
type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string { return e.text }

// unknown says that a server does not have what was asked for: the extension, or the thing.
func unknown(err error) bool {
	var status *statusError
	return errors.As(err, &status) && status.code == http.StatusNotFound
}

// answered says that an error is a server's answer.
func answered(err error) bool {
	var status *statusError
	return errors.As(err, &status)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
