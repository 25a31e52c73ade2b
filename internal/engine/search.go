package engine

import (
	"errors"
	"strings"
	"time"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/store"
)

// SearchQuery picks executions of all state machines, or of one, newest first. Children of distributed Maps are left
// out: their Map run lists them.
type SearchQuery struct {
	// MachineARN picks the executions of one state machine. Defaults to all.
	MachineARN string
	// Without leaves out the state machines whose ARN it says true to. Defaults to none.
	Without func(machineARN string) bool
	// Status picks one. Defaults to all.
	Status stepfn.Status
	// Name is a part of the execution's or the state machine's name; case makes no difference. Defaults to any.
	Name string
	// After and Before bound the start: from After on, and before Before. Default to none.
	After, Before time.Time
	// Limit is the page's size. Defaults to 100, at most 1,000; Token is the former page's Next.
	Limit int
	Token string
}

// SearchPage is one page; Next is empty on the last one. A page may be short of its limit, or even empty, and not be the
// last: then a name was looked for in so many executions that the search stopped for breath.
type SearchPage struct {
	Executions []Execution
	Next       string
	// Reached is the start of the last execution that was looked at.
	Reached time.Time
}

// searchStep is how many executions one search reads at most, and countStep one count by name: a fraction of a second.
const (
	searchStep = 20_000
	countStep  = 200_000
)

// Search shows a page of executions without payloads. ErrInvalidPage says that the token is none of ours.
func (e *Engine) Search(q SearchQuery) (SearchPage, error) {
	if err := e.enter(); err != nil {
		return SearchPage{}, err
	}
	defer e.leave()
	var page SearchPage
	limit, read := pageSize(q.Limit), 0
	err := e.eachFound(&q, q.Status, func(token string, x *Execution) bool {
		read++
		if x != nil {
			page.Executions = append(page.Executions, *x)
		}
		full := len(page.Executions) == limit || read == searchStep
		if full {
			page.Next = token
		}
		return !full
	}, &page.Reached)
	return page, errors.Join(err, e.st.Settle())
}

// eachFound calls fn for every execution in the query's groups, status and span, and with nil for one whose name does
// not fit.
func (e *Engine) eachFound(q *SearchQuery, status stepfn.Status, fn func(token string, x *Execution) bool, reached *time.Time) error {
	groups, err := e.searchGroups(q)
	if err != nil {
		return err
	}
	var broken error
	name := strings.ToLower(q.Name)
	err = e.st.Merge(groups, string(status), q.Token, q.span(), func(token string, en store.Entry) bool {
		*reached = en.Start
		x, err := listed(en)
		if err != nil {
			broken = err
			return false
		}
		if !fits(&x, name) {
			return fn(token, nil)
		}
		return fn(token, &x)
	})
	if errors.Is(err, store.ErrBadToken) {
		return ErrInvalidPage
	}
	return errors.Join(err, broken)
}

func fits(x *Execution, lower string) bool {
	return lower == "" || strings.Contains(strings.ToLower(x.Name), lower) ||
		strings.Contains(strings.ToLower(stepfn.NameOf(x.MachineARN)), lower)
}

func (q *SearchQuery) span() store.Span { return store.Span{After: q.After, Before: q.Before} }

// searchGroups are the lists of the machines that the query wants.
func (e *Engine) searchGroups(q *SearchQuery) ([]string, error) {
	if q.MachineARN != "" {
		f := ListFilter{MachineARN: q.MachineARN}
		return []string{f.machine()}, nil
	}
	all, err := e.st.Groups()
	if err != nil {
		return nil, err
	}
	machines := all[:0]
	for _, g := range all {
		if stepfn.KindOf(g) == stepfn.KindMachine && (q.Without == nil || !q.Without(g)) {
			machines = append(machines, g)
		}
	}
	return machines, nil
}

// Count is how many executions of a state machine, or of all, have each status. Statuses that none has are missing.
type Count map[stepfn.Status]int

// statuses are all that an execution can have.
var statuses = []stepfn.Status{stepfn.Running, stepfn.Succeeded, stepfn.Failed, stepfn.TimedOut, stepfn.Aborted, stepfn.PendingRedrive}

// Counts counts the executions that a query picks, whatever its Status, by state machine. Without a name only keys are
// read. With one, whole says whether everything was looked at; Limit and Token mean nothing.
func (e *Engine) Counts(q SearchQuery) (by map[string]Count, whole bool, err error) {
	if err := e.enter(); err != nil {
		return nil, false, err
	}
	defer e.leave()
	by = map[string]Count{}
	q.Token = ""
	if q.Name != "" {
		whole, err = e.countNamed(&q, by)
		return by, whole, err
	}
	groups, err := e.searchGroups(&q)
	for _, g := range groups {
		by[g] = Count{}
		for _, status := range statuses {
			n, cerr := e.st.Tally(g, string(status), q.span())
			if err = errors.Join(err, cerr); n > 0 {
				by[g][status] = n
			}
		}
	}
	return by, true, err
}

func (e *Engine) countNamed(q *SearchQuery, by map[string]Count) (whole bool, err error) {
	read, reached := 0, time.Time{}
	err = e.eachFound(q, "", func(_ string, x *Execution) bool {
		if x != nil {
			if by[x.MachineARN] == nil {
				by[x.MachineARN] = Count{}
			}
			by[x.MachineARN][x.Status]++
		}
		read++
		return read < countStep
	}, &reached)
	return read < countStep, err
}
