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

// ListFilter picks executions, newest first.
type ListFilter struct {
	// MachineARN is a state machine, or a version or alias of one: then only what was started by it. MapRunARN is a map run. With
	// neither, List reads the executions of all state machines.
	MachineARN, MapRunARN string
	// Children adds the children of all map runs to the executions of all state machines.
	Children bool
	// Without excludes the state machines for whose ARN it returns true, if MachineARN and MapRunARN are empty. Defaults to none.
	Without func(machineARN string) bool
	// Status picks one. Defaults to all.
	Status stepfn.Status
	// Redrive is REDRIVEN or NOT_REDRIVEN. Defaults to all.
	Redrive string
	// Name is a part of the execution's or the state machine's name; case makes no difference. Defaults to any.
	Name string
	// After and Before bound the start: from After on, and before Before. Default to none.
	After, Before time.Time
	// Limit is the page's size. Defaults to 100, at most 1,000; Token is the previous page's Next.
	Limit int
	Token string
}

// ListPage is one page, without payloads; Next is empty on the last one. With a Name, a page may be short or empty without
// being the last: one call reads a limited number of executions.
type ListPage struct {
	Executions []Execution
	Next       string
	// Reached is the start of the last execution that was read.
	Reached time.Time
}

// nameStep is how many executions one call reads in a search by name, and countStep in a count: either takes a fraction of a second.
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

// List reads a page of executions. ErrInvalidPage means that the token is not from List.
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

// entries calls fn for every entry of a status, or of all, in the filter's groups and span, until it returns false or an error.
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

// groups are the lists of the store that contain what the filter wants.
func (f *ListFilter) groups(st *store.Store) ([]string, error) {
	switch {
	case f.MapRunARN != "":
		return []string{f.MapRunARN}, nil
	case f.Status == stepfn.PendingRedrive: // only children of a map run await its redrive
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

// machine is the ARN without a version or alias.
func (f *ListFilter) machine() string { return stepfn.Unqualified(f.MachineARN) }

// kept is the status by which the store finds the entries. An execution that awaits its redrive is stored with the status that it ended with.
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

// Count is how many executions of a state machine, or of all, have each status. Statuses that none has are missing.
type Count map[stepfn.Status]int

// Counts counts the executions that a filter picks, whatever its Status, by state machine. Without a name only keys are
// read. With one, whole reports whether everything was read. Limit and Token are ignored.
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
