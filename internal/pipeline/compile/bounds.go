package compile

import (
	"fmt"
	"math"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

const (
	// spareEvents are reserved for events that no timeout limits: retried calls, polls after an error.
	spareEvents = 500
	// Numbers of events of a state: without a task (quick: entered and exited), with a task (call), and of a Parallel or Map (group).
	quickEvents, callEvents, groupEvents = 2, 5, 4
	// mostItems is the maximum number of items in a payload of Step Functions, if each has one character.
	mostItems = 100_000
)

// bounds returns the bounds of the longest run that the timeouts allow.
func (c *compiler) bounds(definition *value.Object) Bounds {
	b := Bounds{Seconds: c.p.Timeout.Seconds(), Payload: largestPayload(definition), Items: c.items}
	if b.Seconds == 0 {
		b.Seconds = c.longest(c.p.Steps, 1)
	}
	b.Events = int(min(c.events(c.items), math.MaxInt32))
	return b
}

// largestPayload returns the length, in bytes, of the largest Arguments or Assign in the definition, before evaluation.
func largestPayload(v any) int {
	most := 0
	switch v := v.(type) {
	case *value.Object:
		for i := range v.Len() {
			k, item := v.At(i)
			if k == "Arguments" || k == "Assign" {
				most = max(most, len(value.Bytes(item)))
			}
			most = max(most, largestPayload(item))
		}
	case []any:
		for _, item := range v {
			most = max(most, largestPayload(item))
		}
	}
	return most
}

// limitItems computes the number of items for which the history is large enough in loops of unknown length, if each item takes as
// long as its timeouts allow. On AWS, the definition rejects more items before it starts any. The engine has the same limit on events,
// but it sees the end of a pod immediately and needs far fewer events than the timeouts allow, so that a note is sufficient.
func (c *compiler) limitItems() {
	if !unknownLoops(c.p.Steps) {
		return
	}
	low, high := 0, mostItems
	for low < high {
		if n := (low + high + 1) / 2; c.events(n) <= stepfn.MaxEvents-spareEvents {
			low = n
		} else {
			high = n - 1
		}
	}
	switch {
	case c.at.kind != pipeline.TargetAWS:
		c.note("forEach: at most %d items fit into the execution history (%d events) if each item takes as long as its timeouts allow", low, stepfn.MaxEvents)
	case low == 0:
		c.problems = append(c.problems, c.p.Problem("steps", fmt.Sprintf("a run with one item in each forEach may have %.0f events, but "+
			"Step Functions ends an execution at %d: shorten the timeouts or lower the number of attempts", c.events(1), stepfn.MaxEvents)))
	default:
		c.items = low
		c.note("forEach: at most %d items fit into the execution history; with more, the step fails before it starts any. AWS runs at most 40 items at once", low)
	}
}

// noteEvents adds a note if the longest run does not fit into the history of the engine. Runs seldom take as long as their timeouts
// allow, so that this is not an error here. Package stack refuses to deploy such a pipeline to AWS.
func (c *compiler) noteEvents(b Bounds) {
	if c.at.kind != pipeline.TargetAWS && b.Events > stepfn.MaxEvents {
		c.note("the longest run that the timeouts allow has %d events, but an execution ends at %d, as in Step Functions: shorten the timeouts "+
			"or lower the number of attempts", b.Events, stepfn.MaxEvents)
	}
}

// unknownLoops reports whether there is a loop whose items are known only at run time.
func unknownLoops(steps []pipeline.Step) bool {
	for i := range steps {
		if f := steps[i].ForEach; f != nil {
			if _, known := f.Items.Value.([]any); !known {
				return true
			}
		}
		if unknownLoops(steps[i].Children()) {
			return true
		}
	}
	return false
}

// events returns the number of events of a run with this number of items in each loop of unknown length.
func (c *compiler) events(items int) float64 {
	n := 2.0 + 5*quickEvents + c.eventsOf(c.p.Steps, float64(items))
	if c.at.placing {
		n += 3 * c.jobEvents(placeTimeout, true)
	}
	return n
}

// eventsOf returns the number of events of a list of steps.
func (c *compiler) eventsOf(steps []pipeline.Step, items float64) float64 {
	n := 0.0
	for i := range steps {
		s := &steps[i]
		n += groupEvents + 2*quickEvents
		switch {
		case s.Parallel != nil:
			n += c.eventsOf(s.Parallel.Steps, items) + float64(len(s.Parallel.Steps))*3*groupEvents
		case s.ForEach != nil:
			count := items
			if list, known := s.ForEach.Items.Value.([]any); known {
				count = float64(len(list))
			}
			n += count * (c.eventsOf(s.ForEach.Steps, items) + 3*groupEvents)
		default:
			n += c.stepEvents(s)
		}
	}
	return n
}

// stepEvents returns the number of events of all attempts of a step and of its cleanup.
func (c *compiler) stepEvents(s *pipeline.Step) float64 {
	n := c.attemptsEvents(s.Ray != nil, s.Timeout, s.PendingTimeout, attemptsOf(s))
	if s.Output.Len() > 0 {
		n += float64(attemptsOf(s)) * 3 * quickEvents
	}
	if f := s.OnFailure; f != nil {
		n += 2*groupEvents + c.attemptsEvents(f.Ray != nil, f.Timeout, s.PendingTimeout, 1)
	}
	return n
}

func attemptsOf(s *pipeline.Step) int {
	if s.Retry != nil {
		return s.Retry.Attempts
	}
	return 1
}

// attemptsEvents returns the number of events of all attempts. The number of polls depends on the time of the step as a whole, which
// is at most that of the run.
func (c *compiler) attemptsEvents(ray bool, timeout, pending pipeline.Duration, tries int) float64 {
	if !ray || c.at.mode == pipeline.SubmitJob {
		return float64(tries) * c.jobEvents(pending, ray)
	}
	longest := float64(longestRun)
	if c.p.Timeout > 0 {
		longest = float64(c.p.Timeout.Seconds())
	}
	if timeout > 0 {
		longest = min(longest, float64(tries)*float64(timeout.Seconds()+pending.Seconds()+2*margin))
	}
	const look = callEvents + 2*quickEvents
	return float64(tries)*(6*callEvents+6*quickEvents+look) + looks(longest, 1, 0.01)*look
}

// jobEvents returns the number of events of one Job, including the polls until its pod runs.
func (c *compiler) jobEvents(pending pipeline.Duration, ray bool) float64 {
	n := 2*groupEvents + 4*callEvents + 6*quickEvents + looks(float64(pending.Seconds()), 2, 0.2)*(callEvents+2*quickEvents)
	if ray {
		n += callEvents + 1
	}
	return n
}

// looks returns the number of polls in a time, if the wait before each is a share of the time so far, rounded down to seconds, and at
// least the first wait.
func looks(seconds, first, share float64) float64 {
	n := 1.0
	for at := 0.0; at < seconds; n++ {
		at += max(first, math.Floor(at*share))
	}
	return n
}

// longest returns the maximum time of the steps one after another, in seconds, or 0 if it is unlimited.
func (c *compiler) longest(steps []pipeline.Step, times int64) int64 {
	total := int64(0)
	for i := range steps {
		s := &steps[i]
		one := s.Timeout.Seconds() + s.PendingTimeout.Seconds() + 2*margin
		switch {
		case s.ForEach != nil:
			return 0
		case s.Parallel != nil:
			if one = c.longest(s.Parallel.Steps, times); one == 0 {
				return 0
			}
		case s.Timeout == 0:
			return 0
		}
		total += one * int64(attemptsOf(s))
	}
	return total * times
}
