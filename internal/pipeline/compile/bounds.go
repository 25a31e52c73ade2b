package compile

import (
	"fmt"
	"math"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

const (
	// spareEvents are reserved for what no timeout limits: repeated calls, polls after an error.
	spareEvents = 500
	// Events of one state: entered and exited, and those of a task or a Parallel in between.
	quickEvents, callEvents, groupEvents = 2, 5, 4
	// mostItems is the most items that a list in a payload can have, with one character each.
	mostItems = 100_000
)

// bounds are those of the longest run that the timeouts allow.
func (c *compiler) bounds(definition *value.Object) Bounds {
	b := Bounds{Seconds: c.p.Timeout.Seconds(), Payload: largestPayload(definition), Items: c.items}
	if b.Seconds == 0 {
		b.Seconds = c.longest(c.p.Steps, 1)
	}
	b.Events = int(min(c.events(c.items), math.MaxInt32))
	return b
}

// largestPayload is the length of the largest arguments or variables in the definition, before a run evaluates them.
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

// limitItems finds how many items the loops of unknown length may have so that the history has room for all, each as long as
// its timeouts allow. On AWS, the definition refuses more before it starts any. The engine here has the same limit, but sees the end of
// a pod immediately and needs far fewer events than the timeouts allow: a note is enough.
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
		c.note("forEach: the history is sure to have room for %d items (%d events in all), each as long as its timeouts allow", low, stepfn.MaxEvents)
	case low == 0:
		c.problems = append(c.problems, c.p.Problem("steps", fmt.Sprintf("a run with one item in each forEach may have %.0f events; "+
			"Step Functions ends an execution at %d: shorten timeouts or lower attempts", c.events(1), stepfn.MaxEvents)))
	default:
		c.items = low
		c.note("forEach: the history has room for %d items; with more items, the step fails before it starts any. On AWS, at most 40 run at once", low)
	}
}

// noteEvents notes that the history may be too short for the engine. Package stack refuses to deploy such a pipeline; in the engine, a
// run seldom takes as long as its timeouts allow.
func (c *compiler) noteEvents(b Bounds) {
	if c.at.kind != pipeline.TargetAWS && b.Events > stepfn.MaxEvents {
		c.note("the longest run that the timeouts allow has %d events; an execution ends at %d, as on Step Functions: shorten timeouts or lower attempts",
			b.Events, stepfn.MaxEvents)
	}
}

// unknownLoops reports whether a loop's items are known only in a run.
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

// events are those of a whole run, with so many items in each loop of unknown length.
func (c *compiler) events(items int) float64 {
	n := 2.0 + 5*quickEvents + c.eventsOf(c.p.Steps, float64(items))
	if c.at.placing {
		n += 3 * c.jobEvents(placeTimeout, true)
	}
	return n
}

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

// stepEvents are those of all attempts of a step, and of its cleanup.
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

// attemptsEvents are those of all attempts together. The polls of a job depend on the step's time, which all its attempts
// share, and which is at most the run's.
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

// jobEvents are those of one Job, with the polls of its pod until the pod runs.
func (c *compiler) jobEvents(pending pipeline.Duration, ray bool) float64 {
	n := 2*groupEvents + 4*callEvents + 6*quickEvents + looks(float64(pending.Seconds()), 2, 0.2)*(callEvents+2*quickEvents)
	if ray {
		n += callEvents + 1
	}
	return n
}

// looks is the number of polls in a time, if the wait before each is a share of the time so far, in whole seconds, and at least the
// first wait.
func looks(seconds, first, share float64) float64 {
	n := 1.0
	for at := 0.0; at < seconds; n++ {
		at += max(first, math.Floor(at*share))
	}
	return n
}

// longest is how long the steps may take one after another, in seconds; 0 if nothing bounds them.
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
