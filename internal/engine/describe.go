package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rayorch/rayorch/internal/history"
	"github.com/rayorch/rayorch/internal/interp"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/store"
)

// paramsFrame is the frame in which interp keeps a run's params.
const paramsFrame = 1

// find is the run of an ARN.
func (e *Engine) find(arn string) (store.ID, error) {
	if express(arn) {
		return 0, ErrExpress
	}
	id, err := e.st.Find(arn)
	if errors.Is(err, store.ErrNoRun) {
		return 0, ErrExecutionDoesNotExist
	}
	return id, err
}

// settled holds the run's lock while fn reads from disk: what it sees is synced, since commits hold the lock too. The error
// is store.ErrFull while a commit waits for room on the disk.
func (e *Engine) settled(id store.ID, fn func(r *run) error) error {
	r := e.hot.get(id)
	if !r.mu.TryLock() {
		if err := e.awaitLock(r); err != nil {
			return err
		}
	}
	defer e.hot.put(r)
	defer r.mu.Unlock()
	return fn(r)
}

// fullEvery is how often a wait for a run checks whether the disk is full.
const fullEvery = 100 * time.Millisecond

func (e *Engine) awaitLock(r *run) error {
	locked, left := make(chan struct{}), make(chan struct{})
	go func() { // ends with the commit that has the lock
		r.mu.Lock()
		select {
		case locked <- struct{}{}:
		case <-left:
			r.mu.Unlock()
			e.hot.put(r)
		}
	}()
	tick := time.NewTicker(fullEvery)
	defer tick.Stop()
	for {
		select {
		case <-locked:
			return nil
		case <-tick.C:
			if e.st.Full() {
				close(left)
				return store.ErrFull
			}
		}
	}
}

// Describe shows an execution with its payloads.
func (e *Engine) Describe(arn string) (Execution, error) {
	if err := e.enter(); err != nil {
		return Execution{}, err
	}
	defer e.leave()
	id, err := e.find(arn)
	if err != nil {
		return Execution{}, err
	}
	x, err := e.describe(id)
	e.showAwaited(&x)
	return x, err
}

func (e *Engine) describe(id store.ID) (x Execution, err error) {
	err = e.settled(id, func(r *run) error {
		if r.state != nil {
			x = e.executionOf(r.state.Params(), r.state.Head(), &r.meta)
			return nil
		}
		x, err = e.describeCold(id)
		return err
	})
	return x, err
}

// describeCold reads no more of a run than is shown.
func (e *Engine) describeCold(id store.ID) (Execution, error) {
	kept, err := e.st.LoadHead(id, paramsFrame)
	if errors.Is(err, store.ErrNoRun) {
		return Execution{}, ErrExecutionDoesNotExist
	}
	if err != nil {
		return Execution{}, err
	}
	m, err := decodeMeta(kept.Meta)
	if err != nil {
		return Execution{}, fmt.Errorf("run %d: %w", id, err)
	}
	h, err := interp.DecodeHead(kept.Head)
	if err != nil {
		return Execution{}, fmt.Errorf("run %d: %w", id, err)
	}
	p, err := interp.DecodeParams(kept.Frames[0].Data)
	if err != nil {
		return Execution{}, fmt.Errorf("run %d: %w", id, err)
	}
	return e.executionOf(p, h, &m), nil
}

func (e *Engine) executionOf(p interp.Params, h interp.Head, m *meta) Execution {
	x := Execution{
		ARN: p.ExecutionARN, Name: p.Name, MachineARN: p.MachineARN, MachineName: p.MachineName,
		VersionARN: p.VersionARN, AliasARN: p.AliasARN, RevisionID: m.Revision, RoleARN: p.RoleARN,
		Type: stepfn.Standard, TraceHeader: m.Trace, MapRunARN: p.MapRunARN, Cleanup: m.Cleanup, Labels: m.Labels,
		Status: h.Status, Started: p.StartTime, Stopped: h.StopTime, Input: p.Input, Output: h.Output,
		Error: h.Error, Cause: h.Cause, RedriveCount: h.RedriveCount, Redriven: h.RedriveTime,
		LastEventID: h.LastEvent, ItemCount: m.Items, DefinitionHash: m.Hash,
	}
	if p.Express {
		x.Type = stepfn.Express
	}
	x.RedriveStatus, x.RedriveReason = e.redrivable(&x)
	return x
}

// Definition is the text of the definition that an execution runs.
func (e *Engine) Definition(arn string) ([]byte, error) {
	x, err := e.Describe(arn)
	if err != nil {
		return nil, err
	}
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.leave()
	text, err := e.st.Doc(definitions, x.DefinitionHash)
	if err == nil && x.MapRunARN != "" {
		text = processorOf(text, x.MachineARN)
	}
	return text, err
}

const defaultPage = 100

func pageSize(n int) int {
	if n <= 0 {
		return defaultPage
	}
	return min(n, stepfn.MaxPage)
}

// List shows a page of executions, newest first, without payloads. ErrInvalidPage says that the token is none of ours.
func (e *Engine) List(f ListFilter) (ListPage, error) {
	if err := e.enter(); err != nil {
		return ListPage{}, err
	}
	defer e.leave()
	group := f.machine()
	if f.MapRunARN != "" {
		group = f.MapRunARN
	}
	if group == "" {
		return e.listAll(f)
	}
	page, err := e.list(group, f)
	if err == nil {
		err = e.st.Settle()
	}
	return page, err
}

// list reads on until the page is full: the filters that have no index leave some entries out.
func (e *Engine) list(group string, f ListFilter) (ListPage, error) {
	var page ListPage
	limit := pageSize(f.Limit)
	for token := f.Token; ; {
		entries, next, err := e.st.List(group, string(f.kept()), token, limit-len(page.Executions))
		if errors.Is(err, store.ErrBadToken) {
			return page, ErrInvalidPage
		}
		if err != nil {
			return page, err
		}
		for _, en := range entries {
			x, err := listed(en)
			if err != nil {
				return page, err
			}
			e.showAwaited(&x)
			if f.shows(&x) {
				page.Executions = append(page.Executions, x)
			}
		}
		if next == "" || len(page.Executions) == limit {
			page.Next = next
			return page, nil
		}
		token = next
	}
}

// machine is the ARN without a version or alias.
func (f *ListFilter) machine() string { return stepfn.Unqualified(f.MachineARN) }

// kept is the status by which the store finds the entries. What awaits its redrive is kept as it ended.
func (f *ListFilter) kept() stepfn.Status {
	if f.Status == stepfn.PendingRedrive {
		return ""
	}
	return f.Status
}

func (f *ListFilter) shows(x *Execution) bool {
	if f.Status != "" && f.Status != x.Status {
		return false
	}
	if f.MachineARN != f.machine() && f.MachineARN != x.VersionARN && f.MachineARN != x.AliasARN {
		return false
	}
	return f.Redrive == "" || (f.Redrive == "REDRIVEN") == (x.RedriveCount > 0)
}

func listed(en store.Entry) (Execution, error) {
	var s summary
	if err := json.Unmarshal(en.Summary, &s); err != nil {
		return Execution{}, fmt.Errorf("list: the entry of run %d is damaged: %w", en.ID, err)
	}
	return Execution{
		ARN: s.ARN, Name: s.Name, MachineARN: s.Machine, VersionARN: s.Version, AliasARN: s.Alias, Type: stepfn.Standard,
		MapRunARN: s.MapRun, Status: s.Status, Started: en.Start, Stopped: fromMillis(s.Stop), ItemCount: s.Items,
		RedriveCount: s.Redrives, Redriven: fromMillis(s.Redriven),
	}, nil
}

// listAll merges the groups: it is for the few who want to see every execution of a small state directory, so it reads
// no further than a page of each group and gives no token.
func (e *Engine) listAll(f ListFilter) (ListPage, error) {
	groups, err := e.st.Groups()
	if err != nil {
		return ListPage{}, err
	}
	var all ListPage
	for _, g := range groups {
		page, err := e.list(g, f)
		if err != nil {
			return ListPage{}, err
		}
		all.Executions = append(all.Executions, page.Executions...)
	}
	slices.SortStableFunc(all.Executions, func(a, b Execution) int { return b.Started.Compare(a.Started) })
	if limit := pageSize(f.Limit); len(all.Executions) > limit {
		all.Executions = all.Executions[:limit]
	}
	return all, e.st.Settle()
}

// History is a page of an execution's events; a page shorter than its limit is the last one.
func (e *Engine) History(arn string, q HistoryQuery) (events []history.Event, err error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.leave()
	id, err := e.find(arn)
	if err != nil {
		return nil, err
	}
	err = e.settled(id, func(*run) error {
		events, err = e.events(id, q)
		return err
	})
	return events, err
}

func (e *Engine) events(id store.ID, q HistoryQuery) (page []history.Event, err error) {
	limit := pageSize(q.Limit)
	from := q.After + 1
	if q.Reverse {
		if from = q.After - 1; q.After == 0 {
			from = 1<<63 - 2
		}
	}
	var broken error
	err = e.st.Batches(id, from, q.Reverse, func(_ int64, batch []byte) bool {
		events, err := history.DecodeEvents(slices.Clone(batch))
		if err != nil {
			broken = fmt.Errorf("read events of run %d: %w", id, err)
			return false
		}
		if q.Reverse {
			slices.Reverse(events)
		}
		for _, ev := range events {
			before := ev.ID < from && !q.Reverse || ev.ID > from && q.Reverse
			if !before && len(page) < limit {
				page = append(page, ev)
			}
		}
		return len(page) < limit
	})
	return page, errors.Join(err, broken)
}

// Watch waits until the execution has an event later than after or is closed, or ctx is done.
func (e *Engine) Watch(ctx context.Context, arn string, after int64) (WatchResult, error) {
	if err := e.enter(); err != nil {
		return WatchResult{}, err
	}
	defer e.leave()
	id, err := e.find(arn)
	if err != nil {
		return WatchResult{}, err
	}
	for {
		changed, forget := e.watchers.on(id)
		x, err := e.describe(id)
		now := WatchResult{LastEventID: x.LastEventID, Status: x.Status, Closed: x.Closed()}
		if err != nil || now.Closed || now.LastEventID > after {
			forget()
			return now, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			forget()
			return now, ctx.Err()
		case <-e.ctx.Done():
			forget()
			return now, ErrClosing
		}
	}
}

// AWS lets a closed execution be redriven for so many days, and while its history has room for what a redrive adds.
const (
	redriveDays   = 14
	lifeDays      = 365 // what a Standard execution may last, redrives included
	redriveEvents = stepfn.MaxEvents - 1
)

// redrivable says whether an execution may be redriven, in AWS's words.
func (e *Engine) redrivable(x *Execution) (status, reason string) {
	switch {
	case x.Type == stepfn.Express:
		return "", ""
	case x.Status == stepfn.Running:
		return "NOT_REDRIVABLE", "Execution is RUNNING and cannot be redriven"
	case x.Status == stepfn.Succeeded:
		return "NOT_REDRIVABLE", "Execution is SUCCEEDED and cannot be redriven"
	case x.LastEventID >= redriveEvents:
		return "NOT_REDRIVABLE", "Execution history event limit exceeded"
	case x.MapRunARN != "":
		return "REDRIVABLE_BY_MAP_RUN", ""
	case e.c.Now().Sub(x.Started) > lifeDays*24*time.Hour:
		return "NOT_REDRIVABLE", "Execution has exceeded the max execution time"
	case e.c.Now().Sub(x.Stopped) > redriveDays*24*time.Hour:
		return "NOT_REDRIVABLE", "Execution redrivable period exceeded"
	}
	return "REDRIVABLE", ""
}
