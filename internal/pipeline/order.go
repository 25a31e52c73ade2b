package pipeline

import (
	"fmt"
	"slices"
	"strings"
)

// Order is the order of the steps in one list: for each step, all steps that end before it starts.
type Order struct {
	names  []string
	before map[string]map[string]bool // all predecessors, direct and indirect
}

// OrderProblem is an error in a step's after. Step is the index of the step, and After the index in its after list, or -1
// for an error of the list as a whole.
type OrderProblem struct {
	Step, After int
	Message     string
}

// NewOrder computes the order of the steps from their after fields. In a sequential list, a step without after follows the
// previous step.
func NewOrder(steps []Step, sequential bool) (*Order, []OrderProblem) {
	o := &Order{names: stepNames(steps), before: map[string]map[string]bool{}}
	direct := make(map[string][]string, len(steps))
	var problems []OrderProblem
	for i := range steps {
		after, bad := afterOf(steps, i, sequential)
		problems = append(problems, bad...)
		if _, twice := direct[steps[i].Name]; !twice { // a name that is not unique is an error of its own, and not a cycle
			direct[steps[i].Name] = after
		}
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

// afterOf returns the steps that step i waits for: those in its after field, or by default the previous one.
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
			msg := fmt.Sprintf("no step %q in the same list of steps%s", name, orOneOf(name, names))
			problems = append(problems, OrderProblem{i, j, msg})
		}
	}
	return *steps[i].After, problems
}

// close fills before for a step and its predecessors. trail is the path of steps that led to this one. If a step occurs on it
// twice, close returns that cycle.
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

// Before returns all steps that end before the named one starts, in the order of the file.
func (o *Order) Before(name string) []string {
	var out []string
	for _, n := range o.names {
		if o.before[name][n] {
			out = append(out, n)
		}
	}
	return out
}

// Precedes reports whether step a ends before step b starts.
func (o *Order) Precedes(a, b string) bool { return o.before[b][a] }
