package progress

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// composite is a Parallel state that stands for one step of a pipeline in a cluster. The states inside it end with its
// name, as in "Submit train": that tells it from a group of steps, and a person sees it as one.
type composite struct {
	name    string
	in      []iteration
	entered time.Time
	outer   *composite
	step    *Step // nil until a state inside has shown that it is one
	gaveUp  bool
}

// of is what the names of the states inside end with.
func (c *composite) of() string {
	if step, ok := strings.CutPrefix(c.name, "Clean up after "); ok {
		return "cleaning up after " + step
	}
	if c.name == "Place files" {
		return "placing of files"
	}
	return c.name
}

// words are what a state inside does for the step.
func (c *composite) words(state string) (string, bool) { return strings.CutSuffix(state, " "+c.of()) }

// around is the nearest composite whose inside a state belongs to.
func (c *composite) around(state string) *composite {
	for ; c != nil; c = c.outer {
		if _, ok := c.words(state); ok {
			return c
		}
	}
	return nil
}

// named is the nearest composite of a name.
func (c *composite) named(name string) *composite {
	for c != nil && c.name != name {
		c = c.outer
	}
	return c
}

// enterInside folds that a state inside is entered.
func (v *View) enterInside(c *composite, state string) {
	if c.step == nil {
		c.step = &Step{Name: c.name + suffix(c.in), State: c.name, Status: Running, Entered: c.entered, Inside: true}
		v.Steps = append(v.Steps, c.step)
	}
	if c.step.Status == Failed || c.step.Status == Cancelled { // a redrive took it up
		c.step.Status, c.step.Ended = Running, time.Time{}
	}
	switch words, _ := c.words(state); words {
	case "Attempt":
		c.step.Status, c.step.Job, c.gaveUp = Running, Job{}, false
		c.step.Attempt++
	case "Wait to retry":
		c.step.Status = Retrying
	case "Give up":
		c.step.Status, c.gaveUp = Retrying, true // unless the step's exit says that somebody caught it
	}
}

// scheduled notes a task that may have the log of the job: the one that runs it, or calls that are about it.
func (c *composite) scheduled(state string, when time.Time) {
	switch words, _ := c.words(state); words {
	case "Submit", "Run", "Look at":
		c.step.Logs = append(c.step.Logs, LogAt{state, c.step.Attempt, when})
	}
}

// exitInside folds what a state inside has found out. The variables' names begin with what they hold: id the job's id, end
// how an attempt failed.
func (c *composite) exitInside(d *types.StateExitedEventDetails) {
	for _, name := range slices.Sorted(maps.Keys(d.AssignedVariables)) {
		text := d.AssignedVariables[name]
		var end struct{ Error, Cause string }
		switch {
		case strings.HasPrefix(name, "id"):
			_ = json.Unmarshal([]byte(text), &c.step.Job.SubmissionID) // else it is another id
		case strings.HasPrefix(name, "end") && json.Unmarshal([]byte(text), &end) == nil && end.Error != "":
			c.step.Error, c.step.Cause = end.Error, end.Cause
		}
	}
	var given map[string]json.RawMessage
	if json.Unmarshal([]byte(aws.ToString(d.Output)), &given) == nil && len(given) == 1 && given["Output"] != nil {
		c.step.Job.Output = given["Output"]
	}
}

// leave folds the end of the step itself.
func (c *composite) leave(output string, when time.Time) {
	if c.step == nil {
		return
	}
	if !c.gaveUp {
		c.step.Error, c.step.Cause = "", ""
	}
	c.step.exit(output, when)
}
