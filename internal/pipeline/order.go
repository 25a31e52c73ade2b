package pipeline

import (
	"fmt"
	"slices"
	"strings"
)

// Order is what runs after what among the steps of one list: for each step all those that end before it starts.
type Order struct {
	names  []string
	before map[string]map[string]bool // all predecessors, not only the nearest
}

// OrderProblem is a mistake in after: Step is the step's index, After the index in its list or -1.
type OrderProblem struct {
	Step, After int
	Message     string
}

// NewOrder reads after of all steps. In a sequential list a step without after follows the one before it.
func NewOrder(steps []Step, sequential bool) (*Order, []OrderProblem) {
	o := &Order{names: stepNames(steps), before: map[string]map[string]bool{}}
	direct := make(map[string][]string, len(steps))
	var problems []OrderProblem
	for i := range steps {
		after, bad := afterOf(steps, i, sequential)
		direct[steps[i].Name], problems = after, append(problems, bad...)
	}
	if len(problems) > 0 {
		return o, problems
	}
	for i := range steps {
		if cycle := o.close(steps[i].Name, direct, nil); cycle != nil {
			msg := "is part of a cycle: " + strings.Join(cycle, " after ")
			return o, []OrderProblem{{slices.Index(o.names, cycle[0]), -1, msg}}
		}
	}
	return o, nil
}

// afterOf are the steps that step i names, or by default the one before it.
func afterOf(steps []Step, i int, sequential bool) ([]string, []OrderProblem) {
	if steps[i].After == nil {
		if sequential && i > 0 {
			return []string{steps[i-1].Name}, nil
		}
		return nil, nil
	}
	var problems []OrderProblem
	names := stepNames(steps)
	for j, name := range *steps[i].After {
		switch {
		case name == steps[i].Name:
			problems = append(problems, OrderProblem{i, j, "a step cannot run after itself"})
		case !slices.Contains(names, name):
			msg := fmt.Sprintf("no step %q beside this one%s", name, orOneOf(name, names))
			problems = append(problems, OrderProblem{i, j, msg})
		}
	}
	return *steps[i].After, problems
}

// close fills before for a step and all that it runs after. It returns a cycle if it meets one.
func (o *Order) close(name string, direct map[string][]string, trail []string) []string {
	if at := slices.Index(trail, name); at >= 0 {
		return append(slices.Clone(trail[at:]), name)
	}
	if o.before[name] != nil {
		return nil
	}
	trail = append(trail, name)
	all := map[string]bool{}
	for _, pred := range direct[name] {
		if cycle := o.close(pred, direct, trail); cycle != nil {
			return cycle
		}
		all[pred] = true
		for p := range o.before[pred] {
			all[p] = true
		}
	}
	o.before[name] = all
	return nil
}

// Before are all steps that end before the named one starts, in the file's order.
func (o *Order) Before(name string) []string {
	var out []string
	for _, n := range o.names {
		if o.before[name][n] {
			out = append(out, n)
		}
	}
	return out
}

// Precedes says whether step a ends before step b starts.
func (o *Order) Precedes(a, b string) bool { return o.before[b][a] }
