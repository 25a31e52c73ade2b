package interp_test

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/asl/interp"
)

func text(lines ...string) string { return strings.Join(lines, "\n") + "\n" }

func check(t *testing.T, what, want, got string) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

const oneTask = `{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"arn:aws:states:::ray:submitJob.sync","Parameters":{"x.$":"$.n"},` +
	`"TimeoutSeconds":60,"HeartbeatSeconds":10,` +
	`"Retry":[{"ErrorEquals":["Again"],"IntervalSeconds":2,"BackoffRate":3,"MaxAttempts":3,"MaxDelaySeconds":5}],` +
	`"Catch":[{"ErrorEquals":["Bad"],"Next":"C","ResultPath":"$.error"}],"ResultPath":"$.r","End":true},` +
	`"C":{"Type":"Pass","End":true}}}`

func TestTaskSucceeds(t *testing.T) {
	w := newWorld(t, oneTask, `{"n":1}`).start()
	task := w.tasks["A#1"]
	check(t, "input", `{"x":1}`, string(task.Input))
	if want := epoch.Add(10 * time.Second); !w.last.Wake.Equal(want) {
		t.Errorf("wake at %v, want the heartbeat deadline %v", w.last.Wake, want)
	}
	w.now = w.now.Add(8 * time.Second)
	w.apply(interp.TaskHeartbeat{Task: task.ID})
	w.apply(interp.TaskSubmitted{Task: task.ID, Output: []byte(`{"id":"j"}`)})
	w.apply(interp.TaskSubmitted{Task: task.ID, Output: []byte(`{"id":"j"}`)})
	if want := epoch.Add(18 * time.Second); !w.last.Wake.Equal(want) {
		t.Errorf("wake at %v, want the heartbeat deadline %v", w.last.Wake, want)
	}
	w.done("A#1", `{"ok":true}`)
	check(t, "end", `SUCCEEDED {"n":1,"r":{"ok":true}}`, w.head())
	check(t, "story", text("1<0 ExecutionStarted", "2<0 TaskStateEntered A", "3<2 TaskScheduled", "4<3 TaskStarted",
		"5<4 TaskSubmitted", "6<5 TaskSucceeded", "7<6 TaskStateExited A", "8<7 ExecutionSucceeded"), w.story())
	if len(w.stored) != 1 {
		t.Errorf("%d frames are stored after success, want only the params", len(w.stored))
	}
}

func TestRetryBacksOffAndGivesUp(t *testing.T) {
	w := newWorld(t, oneTask, `{"n":1}`).start()
	var waits []time.Duration
	for i := 1; i <= 4; i++ {
		w.fail(fmt.Sprintf("A#%d", i), "Again", "busy")
		if i < 4 {
			waits = append(waits, w.last.Wake.Sub(w.now))
			w.wake()
		}
	}
	if d := cmp.Diff([]time.Duration{2 * time.Second, 5 * time.Second, 5 * time.Second}, waits); d != "" {
		t.Errorf("waits: %s", d)
	}
	check(t, "end", "FAILED Again busy", w.head())
	if w.tasks["A#2"].Attempt != 2 || w.tasks["A#1"].ID == w.tasks["A#2"].ID {
		t.Errorf("attempts do not have distinct numbers and ids: %+v", w.tasks)
	}
}

func TestJitterStaysWithinTheIntervalAndReplays(t *testing.T) {
	definition := strings.Replace(oneTask, `"BackoffRate":3`, `"JitterStrategy":"FULL","BackoffRate":3`, 1)
	var first time.Time
	for range 2 {
		w := newWorld(t, definition, `{"n":1}`).start().fail("A#1", "Again", "")
		wait := w.last.Wake.Sub(w.now)
		if wait < 0 || wait > 2*time.Second {
			t.Errorf("delay with jitter: %v, want 0 to 2 s", wait)
		}
		if !first.IsZero() && !first.Equal(w.last.Wake) {
			t.Errorf("the replay waits until %v, want %v", w.last.Wake, first)
		}
		first = w.last.Wake
	}
}

func TestCatchAddsErrorToInput(t *testing.T) {
	w := newWorld(t, oneTask, `{"n":1}`).start().fail("A#1", "Bad", "no luck")
	check(t, "end", `SUCCEEDED {"n":1,"error":{"Error":"Bad","Cause":"no luck"}}`, w.head())
}

func TestTimeouts(t *testing.T) {
	w := newWorld(t, oneTask, `{"n":1}`).start().wake()
	check(t, "missing heartbeat", "FAILED States.Timeout", w.head())
	if d := cmp.Diff([]string{w.id("A#1")}, w.stops); d != "" {
		t.Errorf("stops: %s", d)
	}
	definition := strings.Replace(oneTask, `"HeartbeatSeconds":10,`, "", 1)
	w = newWorld(t, definition, `{"n":1}`).start().wake()
	check(t, "timeout", "FAILED States.Timeout", w.head())
	if !w.now.Equal(epoch.Add(time.Minute)) {
		t.Errorf("timed out at %v", w.now)
	}
	definition = strings.Replace(oneTask, `{"StartAt"`, `{"TimeoutSeconds":5,"StartAt"`, 1)
	w = newWorld(t, definition, `{"n":1}`).start().wake()
	check(t, "machine timeout", "TIMED_OUT", w.head())
	if len(w.stops) != 1 {
		t.Errorf("stops: %v", w.stops)
	}
}

func TestCatchHeartbeatTimeout(t *testing.T) {
	definition := strings.Replace(oneTask, `["Bad"]`, `["States.HeartbeatTimeout"]`, 1)
	w := newWorld(t, definition, `{"n":1}`).start().wake()
	check(t, "end", `SUCCEEDED {"n":1,"error":{"Error":"States.Timeout","Cause":""}}`, w.head())
}

func TestLateFactsAreIgnored(t *testing.T) {
	w := newWorld(t, oneTask, `{"n":1}`).start()
	old := w.id("A#1")
	w.fail("A#1", "Again", "").wake()
	events := len(w.events)
	for _, f := range []interp.Fact{interp.TaskEnded{Task: old, Output: []byte("1")}, interp.TaskHeartbeat{Task: old},
		interp.TaskSubmitted{Task: old}, interp.TaskEnded{Task: "99-1-1", Output: []byte("1")}, interp.TaskEnded{Task: "x"},
		interp.MapRunEnded{MapRun: "0-1-1"}, interp.Wake{}} {
		w.apply(f)
	}
	if len(w.events) != events {
		t.Errorf("late facts produced events:\n%s", w.story())
	}
	w.done("A#2", "2")
	w.apply(interp.TaskEnded{Task: w.id("A#2"), Output: []byte("3")})
	w.apply(interp.Abort{})
	if w.last.Closed {
		t.Error("a late fact closed the run again")
	}
	check(t, "end", `SUCCEEDED {"n":1,"r":2}`, w.head())
	if _, err := w.run.Apply(interp.Start{}, w.now); err == nil {
		t.Error("a run could be started twice")
	}
}

const branches = `{"StartAt":"P","States":{"P":{"Type":"Parallel","Branches":[` +
	`{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"arn:aws:states:::ray:submitJob.sync","End":true}}},` +
	`{"StartAt":"B","States":{"B":{"Type":"Task","Resource":"arn:aws:states:::ray:submitJob.sync","End":true}}},` +
	`{"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":9,"End":true}}}` +
	`],"ResultPath":"$.p","End":true}}}`

func TestParallelCollectsResultsInOrder(t *testing.T) {
	w := newWorld(t, branches, `{}`).start().done("B#1", `"b"`).wake().done("A#1", `"a"`)
	check(t, "end", `SUCCEEDED {"p":["a","b",{}]}`, w.head())
}

func TestBranchFailureStopsSiblings(t *testing.T) {
	w := newWorld(t, branches, `{}`).start().fail("A#1", "Boom", "bang")
	check(t, "end", "FAILED Boom bang", w.head())
	if d := cmp.Diff([]string{w.id("B#1")}, w.stops); d != "" {
		t.Errorf("stops: %s", d)
	}
	check(t, "story", text("1<0 ExecutionStarted", "2<0 ParallelStateEntered P", "3<2 ParallelStateStarted",
		"4<3 TaskStateEntered A", "5<4 TaskScheduled", "6<5 TaskStarted",
		"7<3 TaskStateEntered B", "8<7 TaskScheduled", "9<8 TaskStarted", "10<3 WaitStateEntered W",
		"11<6 TaskFailed Boom", "12<11 TaskStateAborted", "13<11 TaskStateAborted", "14<11 WaitStateAborted",
		"15<11 ParallelStateFailed", "16<15 ExecutionFailed Boom"), w.story())
}

func TestRedriveKeepsWhatSucceeded(t *testing.T) {
	w := newWorld(t, branches, `{}`).start().done("B#1", `"b"`).fail("A#1", "Boom", "bang")
	w.apply(interp.Redrive{})
	if _, again := w.tasks["B#2"]; again {
		t.Error("a branch that succeeded runs again")
	}
	w.done("A#2", `"a"`).wake()
	check(t, "end", `SUCCEEDED {"p":["a","b",{}]}`, w.head())
	if h := w.run.Head(); h.RedriveCount != 1 || h.RedriveTime.IsZero() {
		t.Errorf("head: %+v", h)
	}
	if !strings.Contains(w.story(), "18<17 ExecutionRedriven") {
		t.Errorf("story:\n%s", w.story())
	}
}

func TestRedriveOfRunningRunIsAnError(t *testing.T) {
	w := newWorld(t, branches, `{}`).start()
	if _, err := w.run.Apply(interp.Redrive{}, w.now); err == nil {
		t.Error("a running execution could be redriven")
	}
}

func TestAbortStopsTasksAndCanBeRedriven(t *testing.T) {
	w := newWorld(t, branches, `{}`).start()
	w.apply(interp.Abort{Error: "E", Cause: "why"})
	check(t, "end", "ABORTED E why", w.head())
	if len(w.stops) != 2 || !w.last.Closed {
		t.Errorf("stops: %v", w.stops)
	}
	w.apply(interp.Redrive{})
	w.done("A#2", "1").done("B#2", "2").wake()
	check(t, "end", `SUCCEEDED {"p":[1,2,{}]}`, w.head())
}

func TestRuntimeErrorInABranchEndsTheExecution(t *testing.T) {
	w := newWorld(t, `{"StartAt":"P","States":{"P":{"Type":"Parallel","Branches":[{"StartAt":"A","States":{"A":{"Type":"Pass",`+
		`"Parameters":{"m.$":"$.nope"},"End":true}}}],"Catch":[{"ErrorEquals":["States.ALL"],"Next":"C"}],"End":true},`+
		`"C":{"Type":"Pass","End":true}}}`, `{"x":"a"}`).start()
	check(t, "story", text("1<0 ExecutionStarted", "2<0 ParallelStateEntered P", "3<2 ParallelStateStarted",
		"4<3 PassStateEntered A", "5<4 ExecutionFailed States.Runtime"), w.story())
}

func TestFailingCatcherFailsState(t *testing.T) {
	w := newWorld(t, `{"QueryLanguage":"JSONata","StartAt":"P","States":{"P":{"Type":"Parallel","Branches":[`+
		`{"StartAt":"F","States":{"F":{"Type":"Fail","Error":"MyError","Cause":"my cause"}}}],"Catch":[`+
		`{"ErrorEquals":["Other"],"Next":"D"},{"ErrorEquals":["States.ALL"],"Output":{"v":"{% $states.input.missing %}"},`+
		`"Next":"D"}],"End":true},"D":{"Type":"Pass","End":true}}}`, `{"x":"a"}`).start()
	check(t, "story", text("1<0 ExecutionStarted", "2<0 ParallelStateEntered P", "3<2 ParallelStateStarted",
		"4<3 FailStateEntered F", "5<4 ParallelStateFailed", "6<4 EvaluationFailed P Catch[1]/Output/v States.QueryEvaluationError",
		"7<6 ParallelStateFailed", "8<7 ExecutionFailed States.QueryEvaluationError"), w.story())
}

// TestSubmitFailedIncludesRuntimeEnvFailed covers definitions that were written before Ray.RuntimeEnvFailed existed.
func TestSubmitFailedIncludesRuntimeEnvFailed(t *testing.T) {
	w := newWorld(t, `{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"arn:aws:states:::ray:submitJob.sync",`+
		`"Catch":[{"ErrorEquals":["Ray.JobFailed"],"Next":"J"},{"ErrorEquals":["Ray.SubmitFailed"],"Next":"S"}],"End":true},`+
		`"J":{"Type":"Fail"},"S":{"Type":"Pass","Result":1,"End":true}}}`, `{}`).start()
	w.fail("A#1", "Ray.RuntimeEnvFailed", "")
	check(t, "end", "SUCCEEDED 1", w.head())
}

func TestChoiceWithoutAMatch(t *testing.T) {
	w := newWorld(t, `{"StartAt":"C","States":{"C":{"Type":"Choice","Choices":[{"Variable":"$.x","StringEquals":"never",`+
		`"Next":"D"}]},"D":{"Type":"Pass","End":true}}}`, `{"x":"a"}`).start()
	check(t, "end", "FAILED States.Runtime An error occurred while executing the state 'C' (entered at the event id #2). "+
		"Failed to transition out of the state. The state does not point to a next state.", w.head())
}

func TestTokenIdentifiesTask(t *testing.T) {
	w := newWorld(t, `{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"arn:aws:states:::sqs:sendMessage.waitForTaskToken",`+
		`"Parameters":{"t.$":"$$.Task.Token"},"End":true}}}`, `{}`).start()
	task := w.tasks["A#1"]
	check(t, "input", fmt.Sprintf(`{"t":%q}`, task.Token), string(task.Input))
	arn, id, ok := interp.ParseToken(task.Token)
	if !ok || arn != w.run.Params().ExecutionARN || id != task.ID {
		t.Errorf("token contains %s %s", arn, id)
	}
	if _, ok := w.run.TaskOf(task.Token); !ok {
		t.Error("TaskOf does not find the task of a valid token")
	}
	if _, ok := w.run.TaskOf(task.Token[:len(task.Token)-2] + "AA"); ok {
		t.Error("TaskOf accepts a forged token")
	}
}

func TestEndlessLoopEndsAtEventLimit(t *testing.T) {
	w := newWorld(t, `{"StartAt":"A","States":{"A":{"Type":"Pass","Next":"B"},"B":{"Type":"Pass","Next":"A"}}}`, `{}`)
	w.reload = false
	d, err := w.run.Apply(interp.Start{}, w.now)
	if err != nil || !d.More || len(d.Events) > 300 {
		t.Fatalf("the first decision has %d events, more %v, %v", len(d.Events), d.More, err)
	}
	w.apply(interp.Continue{})
	check(t, "end", "FAILED States.Runtime The execution reached the maximum number of history events (25000).", w.head())
	if last := w.events[len(w.events)-1]; last.ID != 25000 {
		t.Errorf("id of the last event: %d, want 25000", last.ID)
	}
}

func TestTooLargeOutputFailsState(t *testing.T) {
	big := `"` + strings.Repeat("x", 262144) + `"`
	w := newWorld(t, oneTask, `{"n":1}`).start().done("A#1", big)
	check(t, "end", "FAILED States.DataLimitExceeded The state/task 'ray' returned a result with a size exceeding the "+
		"maximum number of bytes service limit.", w.head())
}

// TestPayloadOfManyLargeParts builds payloads whose JSON would have 5 GB, from one string of 250 kB.
func TestPayloadOfManyLargeParts(t *testing.T) {
	in := `{"b":"` + strings.Repeat("x", 250_000) + `"}`
	fields := func(field string) string {
		return "{" + strings.TrimSuffix(strings.Repeat(field+",", 20_000), ",") + "}"
	}
	numbered := func(format string) string {
		n := 0
		return regexp.MustCompile("N").ReplaceAllStringFunc(fields(format), func(string) string { n++; return strconv.Itoa(n) })
	}
	for _, state := range []string{
		`"Parameters":` + numbered(`"kN.$":"$.b"`),
		`"QueryLanguage":"JSONata","Output":` + numbered(`"kN":"{% $states.input.b %}"`),
		`"QueryLanguage":"JSONata","Output":"{% ($f := function($a, $n) { $n = 0 ? $a : $f([$a, $a], $n - 1) }; ` +
			`{'a': $f($states.input.b, 5)}) %}"`,
	} {
		w := newWorld(t, `{"StartAt":"P","States":{"P":{"Type":"Pass",`+state+`,"End":true}}}`, in).start()
		check(t, "end", "FAILED States.DataLimitExceeded The state/task 'P' returned a result with a size exceeding the "+
			"maximum number of bytes service limit.", w.head())
	}
}

func TestTaskStoppedInSameDecisionIsNotStarted(t *testing.T) {
	w := newWorld(t, `{"StartAt":"P","States":{"P":{"Type":"Parallel","Branches":[`+
		`{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"arn:aws:states:::ray:submitJob.sync","End":true}}},`+
		`{"StartAt":"F","States":{"F":{"Type":"Fail","Error":"E"}}}],"End":true}}}`, `{}`).start()
	if len(w.last.Tasks) != 0 || len(w.last.Stops) != 0 {
		t.Errorf("started %v, stopped %v", w.last.Tasks, w.last.Stops)
	}
	check(t, "end", "FAILED E", w.head())
}

func TestTimeoutPathsReadTheInputBeforeParameters(t *testing.T) {
	w := newWorld(t, `{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","InputPath":"$.in",`+
		`"Parameters":{"x":1},"TimeoutSecondsPath":"$.limit","HeartbeatSecondsPath":"$.beat","End":true}}}`,
		`{"in":{"limit":60,"beat":5}}`).start()
	task := w.tasks["A#1"]
	if !task.Timeout.Equal(epoch.Add(time.Minute)) || task.Heartbeat != 5*time.Second {
		t.Errorf("task: %+v", task)
	}
}

func TestActivities(t *testing.T) {
	w := newWorld(t, `{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"arn:aws:states:us-east-1:1:activity:x",`+
		`"HeartbeatSeconds":5,"End":true}}}`, `{"n":1}`).start()
	if !w.last.Wake.IsZero() {
		t.Error("the heartbeat interval starts before a worker takes the task")
	}
	w.apply(interp.TaskStarted{Task: w.id("A#1"), Worker: "me"})
	w.apply(interp.TaskStarted{Task: w.id("A#1"), Worker: "another"})
	w.wake()
	check(t, "story", text("1<0 ExecutionStarted", "2<0 TaskStateEntered A", "3<2 ActivityScheduled", "4<3 ActivityStarted",
		"5<4 ActivityTimedOut States.Timeout", "6<5 ExecutionFailed States.Timeout"), w.story())
}

func TestUnknownResourceFailsBeforeScheduling(t *testing.T) {
	w := newWorld(t, oneTask, `{"n":1}`)
	w.reload = false
	w.run.CheckResources(func(string) error { return errors.New("The activity x does not exist.") })
	w.start()
	check(t, "end", "FAILED States.Runtime An error occurred while executing the state 'A' (entered at the event id #2). "+
		"The activity x does not exist.", w.head())
}

func TestResourcesInEvents(t *testing.T) {
	for resource, want := range map[string][2]string{
		"arn:aws:states:::states:startExecution.sync:2": {"states", "startExecution.sync:2"},
		"arn:aws:states:::aws-sdk:sfn:sendTaskSuccess":  {"aws-sdk:sfn", "sendTaskSuccess"},
		"arn:aws:states:::ray:submitJob.sync":           {"ray", "submitJob.sync"},
		"arn:aws:lambda:us-east-1:1:function:f:2":       {"", "arn:aws:lambda:us-east-1:1:function:f:2"},
		"arn:aws:states:us-east-1:1:activity:a":         {"", "arn:aws:states:us-east-1:1:activity:a"},
	} {
		w := newWorld(t, fmt.Sprintf(`{"StartAt":"A","States":{"A":{"Type":"Task","Resource":%q,"End":true}}}`, resource), `{}`).start()
		if e := w.events[2]; e.ResourceType != want[0] || e.Resource != want[1] {
			t.Errorf("%s: got resourceType %q, resource %q", resource, e.ResourceType, e.Resource)
		}
	}
}

// TestRedriveOfFail redrives a run that a Fail state ended: the state is executed again, so that the run fails again, and the
// decision is Closed.
func TestRedriveOfFail(t *testing.T) {
	w := newWorld(t, `{"QueryLanguage": "JSONata", "StartAt": "F", "States": {"F": {"Type": "Fail",
		"Error": "{% 'E' & $string($states.context.Execution.RedriveCount) %}"}}}`, `{}`).start()
	check(t, "end", "FAILED E0", w.head())
	for _, end := range []string{"FAILED E1", "FAILED E2"} {
		w.apply(interp.Redrive{})
		if check(t, "end", end, w.head()); !w.last.Closed {
			t.Error("the decision is not Closed")
		}
	}
}
