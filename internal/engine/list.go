package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// ListFilter selects executions.
type ListFilter struct {
	// MachineARN selects the executions of a state machine, or those that were started by a version or alias. MapRunARN selects the
	// children of a map run. Without both, List returns the executions of all state machines.
	MachineARN, MapRunARN string
	// Children adds the children of all map runs, if MachineARN and MapRunARN are empty.
	Children bool
	// Without excludes the state machines for whose ARN it returns true, if MachineARN and MapRunARN are empty. Defaults to none.
	Without func(machineARN string) bool
	// Status selects a status. Defaults to all.
	Status stepfn.Status
	// Redrive is REDRIVEN or NOT_REDRIVEN. Defaults to all.
	Redrive string
	// Name is a part of the name of the execution or of the state machine, in upper or lower case. Defaults to any.
	Name string
	// After and Before select executions that started at or after After, and before Before. They default to no bound.
	After, Before time.Time
	// Limit is the maximum size of the page. Defaults to 100, at most 1,000. Token is the previous page's Next.
	Limit int
	Token string
}

// ListPage is a page of executions without payloads, newest first. Next is empty on the last page. With ListFilter.Name, a page may be
// short or even empty without being the last one, because a call reads a limited number of executions.
type ListPage struct {
	Executions []Execution
	Next       string
	// Reached is the start of the last execution that was read.
	Reached time.Time
}

// nameStep is the maximum number of executions that a call of List reads in a search by name, and countStep that of Counts: each takes a
// fraction of a second.
const (
	nameStep  = 20_000
	countStep = 200_000
)

const defaultPage = 100

func pageSize(n int) int {
	if n <= 0 {
		return defaultPage
	}
	return min(n, stepfn.MaxPage)
}

// List returns a page of executions. The error is ErrInvalidPage if the token is not one of List's.
func (e *Engine) List(f ListFilter) (ListPage, error) {
	if err := e.enter(); err != nil {
		return ListPage{}, err
	}
	defer e.leave()
	var page ListPage
	limit, read, last := pageSize(f.Limit), 0, ""
	err := f.entries(e.st, f.kept(), func(token string, en store.Entry) (bool, error) {
		if len(page.Executions) == limit || f.Name != "" && read == nameStep {
			page.Next = last
			return false, nil
		}
		x, err := e.listed(en)
		if err != nil {
			return false, err
		}
		if read++; f.shows(&x) {
			page.Executions = append(page.Executions, x)
		}
		last, page.Reached = token, en.Start
		return true, nil
	})
	return page, errors.Join(err, e.st.AwaitSync())
}

// entries calls fn for the entries with a status (empty: all entries) in the filter's groups and span, until fn returns false or an error.
func (f *ListFilter) entries(st *store.Store, status stepfn.Status, fn func(token string, en store.Entry) (bool, error)) error {
	groups, err := f.groups(st)
	if err != nil {
		return err
	}
	var failed error
	err = st.Merge(groups, string(status), f.Token, f.span(), func(token string, en store.Entry) (more bool) {
		more, failed = fn(token, en)
		return more
	})
	if errors.Is(err, store.ErrBadToken) {
		return ErrInvalidPage
	}
	return errors.Join(err, failed)
}

// groups returns the groups of the store that contain the executions that the filter selects.
func (f *ListFilter) groups(st *store.Store) ([]string, error) {
	switch {
	case f.MapRunARN != "":
		return []string{f.MapRunARN}, nil
	case f.Status == stepfn.PendingRedrive: // only children of a map run have this status
		return nil, nil
	case f.MachineARN != "":
		return []string{f.machine()}, nil
	}
	all, err := st.Groups()
	return slices.DeleteFunc(all, func(group string) bool {
		if stepfn.KindOf(group) != stepfn.KindMachine {
			return !f.Children
		}
		return f.Without != nil && f.Without(group)
	}), err
}

func (f *ListFilter) span() store.Span { return store.Span{After: f.After, Before: f.Before} }

// machine returns MachineARN without a version or alias.
func (f *ListFilter) machine() string { return stepfn.Unqualified(f.MachineARN) }

// kept returns the status under which the store lists the entries. An execution that waits for its redrive is listed under the status
// with which it ended.
func (f *ListFilter) kept() stepfn.Status {
	if f.Status == stepfn.PendingRedrive {
		return ""
	}
	return f.Status
}

// shows applies the filters that have no index.
func (f *ListFilter) shows(x *Execution) bool {
	if f.Status != "" && f.Status != x.Status {
		return false
	}
	if f.MachineARN != f.machine() && f.MachineARN != x.VersionARN && f.MachineARN != x.AliasARN {
		return false
	}
	return (f.Redrive == "" || (f.Redrive == "REDRIVEN") == (x.RedriveCount > 0)) && f.named(x)
}

func (f *ListFilter) named(x *Execution) bool {
	name := strings.ToLower(f.Name)
	return name == "" || strings.Contains(strings.ToLower(x.Name), name) ||
		strings.Contains(strings.ToLower(stepfn.NameOf(x.MachineARN)), name)
}

// listed converts a list entry to an Execution without payloads.
func (e *Engine) listed(en store.Entry) (Execution, error) {
	var s summary
	if err := json.Unmarshal(en.Summary, &s); err != nil {
		return Execution{}, fmt.Errorf("list: the entry of run %d is damaged: %w", en.ID, err)
	}
	x := Execution{
		ARN: s.ARN, Name: s.Name, MachineARN: s.Machine, VersionARN: s.Version, AliasARN: s.Alias, Type: stepfn.Standard,
		MapRunARN: s.MapRun, Status: s.Status, Started: en.Start, Stopped: fromMillis(s.Stop), ItemCount: s.Items,
		RedriveCount: s.Redrives, Redriven: fromMillis(s.Redriven),
	}
	e.mapRuns.showAwaited(&x)
	return x, nil
}

// Count has the number of executions by status. Statuses without executions are missing.
type Count map[stepfn.Status]int

// Counts counts the executions that a filter selects, by state machine. Status, Limit and Token are ignored. Without a name, it reads
// only keys. With a name, it reads a limited number of executions; whole reports whether these were all.
func (e *Engine) Counts(f ListFilter) (by map[string]Count, whole bool, err error) {
	if err := e.enter(); err != nil {
		return nil, false, err
	}
	defer e.leave()
	by = map[string]Count{}
	f.Status, f.Token = "", ""
	if f.Name != "" {
		whole, err = e.countNamed(&f, by)
		return by, whole, err
	}
	groups, err := f.groups(e.st)
	for _, g := range groups {
		by[g] = Count{}
		for _, status := range []stepfn.Status{stepfn.Running, stepfn.Succeeded, stepfn.Failed, stepfn.TimedOut, stepfn.Aborted} {
			n, cerr := e.st.Tally(g, string(status), f.span())
			if err = errors.Join(err, cerr); n > 0 {
				by[g][status] = n
			}
		}
	}
	return by, true, err
}

// countNamed counts the executions with a name, for which it has to read the list entries: at most countStep of them.
func (e *Engine) countNamed(f *ListFilter, by map[string]Count) (whole bool, err error) {
	read := 0
	err = f.entries(e.st, "", func(_ string, en store.Entry) (bool, error) {
		x, err := e.listed(en)
		if err == nil && f.named(&x) {
			if by[x.MachineARN] == nil {
				by[x.MachineARN] = Count{}
			}
			by[x.MachineARN][x.Status]++
		}
		read++
		return read < countStep, err
	})
	return read < countStep, err
}
