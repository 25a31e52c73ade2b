package compile_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/asl/expr"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/value"
)

// attempt is an attempt of the step train, for tests of single expressions: its states and its variables.
type attempt struct {
	states map[string]*value.Object
	vars   map[string]any // by kind: job, end, ran ...
	now    string         // time at which the state was entered
}

// newAttempt compiles the step in a submission mode.
func newAttempt(t *testing.T, mode, step string) *attempt {
	t.Helper()
	r, err := inCluster(t, "version: 1\nname: p\ntargets: {t: {kind: kubernetes}}\nsteps: [{name: train, ray: {entrypoint: x}"+step+"}]\n",
		compile.Options{Target: "t", Submit: mode})
	if err != nil {
		t.Fatal(err)
	}
	a := &attempt{states: map[string]*value.Object{}, vars: map[string]any{}, now: "2026-01-01T01:00:00Z"}
	definition, err := value.Parse(r.Definition)
	if err != nil {
		t.Fatal(err)
	}
	eachState(definition, "", func(name string, state *value.Object) { a.states[name] = state })
	for kind, v := range map[string]string{"id": `"job-1"`, "try": "1", "redrive": "0", "begun": "0", "since": "0", "ran": "0", "job": "{}", "end": "{}", "refused": `""`} {
		a.set(t, kind, v)
	}
	return a
}

// set sets a variable to a JSON value.
func (a *attempt) set(t *testing.T, kind, text string) {
	t.Helper()
	v, err := value.Parse([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	a.vars[kind] = v
}

// eval evaluates a field's value, as Step Functions does.
func (a *attempt) eval(t *testing.T, field any) any {
	t.Helper()
	switch field := field.(type) {
	case string:
		text, ok := strings.CutPrefix(field, "{%")
		if !ok {
			return field
		}
		x, err := expr.CompileJSONata(strings.TrimSuffix(text, "%}"))
		if err != nil {
			t.Fatal(err)
		}
		v, err := x.Eval(&expr.Scope{Vars: func(name string) (any, bool) { v, ok := a.vars[name]; return v, ok }, Context: func() any {
			return value.Obj("Execution", value.Obj("Id", "mine", "RedriveCount", value.Int(0)), "State", value.Obj("EnteredTime", a.now))
		}}, "Field")
		if err != nil {
			t.Fatalf("%s: %v", field, err)
		}
		return v
	case *value.Object:
		o := &value.Object{}
		for i := range field.Len() {
			k, v := field.At(i)
			o.Set(k, a.eval(t, v))
		}
		return o
	}
	return field
}

// choose returns the next state of a Choice, without the step's name, and the error that it assigns.
func (a *attempt) choose(t *testing.T, name string) string {
	t.Helper()
	rules, _ := get(a.states[name], "Choices").([]any)
	for _, rule := range rules {
		if a.eval(t, get(rule.(*value.Object), "Condition")) != true {
			continue
		}
		to := strings.TrimSuffix(strings.TrimSuffix(fmt.Sprint(get(rule.(*value.Object), "Next")), " train"), " of")
		if end := get(rule.(*value.Object), "Assign", "end"); end != nil {
			failure, _ := a.eval(t, end).(*value.Object)
			return fmt.Sprintf("%s: %v: %v", to, get(failure, "Error"), get(failure, "Cause"))
		}
		return to
	}
	if d, ok := get(a.states[name], "Default").(string); ok {
		return strings.TrimSuffix(d, " train")
	}
	t.Fatalf("no Choice %s", name)
	return ""
}

// TestRayJobVerdicts tests all combinations of a RayJob's two statuses: neither alone shows the end of the job.
func TestRayJobVerdicts(t *testing.T) {
	const wait, lost = "Wait for", "Delete RayJob: Ray.HeadLost: the head was lost: R: M"
	deployments := []string{"", "Initializing", "Waiting", "Running", "Complete", "Suspending", "Suspended", "Retrying", "Failed", "ValidationFailed"}
	ends := map[string]string{
		"STOPPED": "Delete RayJob: Ray.JobStopped: somebody stopped the job: R: M", "FAILED": "Delete RayJob: Ray.JobFailed: R: M", "SUCCEEDED": "Find log",
	}
	special := map[string]string{
		" Failed": "Delete RayJob: Ray.SubmitFailed: R: M", "PENDING Failed": "Delete RayJob: Ray.SubmitFailed: R: M",
		"RUNNING Failed": lost, "SUCCEEDED Failed": lost,
		" ValidationFailed": "Delete RayJob: Ray.SubmitFailed: R: M", "PENDING ValidationFailed": "Delete RayJob: Ray.SubmitFailed: R: M",
		"RUNNING ValidationFailed": "Delete RayJob: Ray.SubmitFailed: R: M", "SUCCEEDED ValidationFailed": "Delete RayJob: Ray.SubmitFailed: R: M",
	}
	a := newAttempt(t, "rayjob", ", pendingTimeout: 2h")
	for _, status := range []string{"", "PENDING", "RUNNING", "STOPPED", "SUCCEEDED", "FAILED"} {
		for _, deployment := range deployments {
			want := wait
			if end, ok := ends[status]; ok {
				want = end
			}
			if end, ok := special[status+" "+deployment]; ok {
				want = end
			}
			a.set(t, "since", "1767225600000") // an hour before now
			a.set(t, "job", fmt.Sprintf(`{"status": %q, "deployment": %q, "reason": "R", "message": "M", "before": "", "started": "", "execution": "mine"}`, status, deployment))
			if got := a.choose(t, "Evaluate train"); got != want {
				t.Errorf("job %q, deployment %q: got %s, want %s", status, deployment, got, want)
			}
		}
	}
}

// TestRayJobJudgement tests the other properties of a RayJob: reasons, times, queues.
func TestRayJobJudgement(t *testing.T) {
	for name, c := range map[string]struct{ job, ran, since, step, want string }{
		"another's":        {job: `"execution": "other"`, want: "Decide on: Ray.SubmitFailed: another RayJob has the name job-1: delete it"},
		"environment":      {job: `"status": "FAILED", "message": "runtime_env setup failed: x"`, want: "Delete RayJob: Ray.RuntimeEnvFailed: runtime_env setup failed: x"},
		"deadline":         {job: `"status": "RUNNING", "reason": "DeadlineExceeded"`, want: "Delete RayJob: States.Timeout: DeadlineExceeded"},
		"restarted":        {job: `"status": "RUNNING", "before": "1", "started": "2"`, want: "Delete RayJob: Ray.HeadLost: the head was replaced, and the operator restarted the job"},
		"same start":       {job: `"status": "RUNNING", "before": "1", "started": "1"`, want: "Wait for"},
		"start unknown":    {job: `"status": "RUNNING", "before": "1", "started": ""`, want: "Wait for"},
		"pending too long": {job: `"status": "PENDING"`, since: "0", want: "Diagnose start"},
		"runs late":        {job: `"status": "RUNNING"`, since: "0", ran: "1767229000000", want: "Wait for"},
		"runs too long":    {job: `"status": "RUNNING"`, ran: "1767225600000", step: ", timeout: 30m", want: "Delete RayJob: States.Timeout: the job timed out after 3600 s (limit 1800 s)"},
		"still in time":    {job: `"status": "RUNNING"`, ran: "1767225600000", step: ", timeout: 2h", want: "Wait for"},
	} {
		a := newAttempt(t, "rayjob", c.step)
		a.set(t, "since", or(c.since, "1767229000000"))
		a.set(t, "ran", or(c.ran, "0"))
		fields := c.job
		for _, field := range []string{"status", "deployment", "reason", "message", "before", "started"} {
			if !strings.Contains(c.job, `"`+field+`"`) {
				fields += `, "` + field + `": ""`
			}
		}
		if !strings.Contains(c.job, "execution") {
			fields += `, "execution": "mine"`
		}
		a.set(t, "job", "{"+fields+"}")
		if got := a.choose(t, "Evaluate train"); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

// TestJobRecordJudgement tests the record of a Ray job, for attempts that are being stopped (end) and for others.
func TestJobRecordJudgement(t *testing.T) {
	const timeout = `{"Error": "States.Timeout", "Cause": "t"}`
	for name, c := range map[string]struct{ status, end, ran, since, step, want string }{
		"pending":                {status: "PENDING", want: "Wait for"},
		"running":                {status: "RUNNING", ran: "1767229000000", want: "Wait for"},
		"succeeded":              {status: "SUCCEEDED", want: "Read output"},
		"failed":                 {status: "FAILED", want: "Decide on: Ray.JobFailed: M"},
		"stopped":                {status: "STOPPED", want: "Decide on: Ray.JobStopped: M"},
		"stopped by us":          {status: "STOPPED", end: timeout, want: "Decide on: States.Timeout: t"},
		"succeeded all the same": {status: "SUCCEEDED", end: timeout, want: "Decide on: States.Timeout: t"},
		"does not end":           {status: "RUNNING", end: timeout, ran: "1767225600000", want: "Decide on"},
		"is ending":              {status: "RUNNING", end: timeout, ran: "1767229199000", want: "Wait for"},
		"pending too long":       {status: "PENDING", since: "0", want: "Kill: Ray.PendingTimeout: Ray did not start the job within 900 s: M"},
		"pending, being stopped": {status: "PENDING", since: "0", end: timeout, ran: "1767229199000", want: "Wait for"},
		"runs too long":          {status: "RUNNING", ran: "1767225600000", step: ", timeout: 30m", want: "Stop: States.Timeout: the job timed out after 3600 s (limit 1800 s)"},
	} {
		a := newAttempt(t, "proxy", c.step)
		a.set(t, "since", or(c.since, "1767229000000"))
		a.set(t, "ran", or(c.ran, "0"))
		a.set(t, "end", or(c.end, "{}"))
		a.set(t, "job", fmt.Sprintf(`{"status": %q, "message": "M", "type": "", "node": "", "execution": "mine"}`, c.status))
		if got := a.choose(t, "Evaluate train"); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
	a := newAttempt(t, "proxy", "")
	a.set(t, "job", `{"status": "RUNNING", "execution": "other"}`)
	if got, want := a.choose(t, "Evaluate train"), "Decide on: Ray.SubmitFailed: another Ray job has the id job-1: delete it"; got != want {
		t.Errorf("job of another execution: got %s, want %s", got, want)
	}
}

// TestDecision tests the states that follow the failure of an attempt.
func TestDecision(t *testing.T) {
	for name, c := range map[string]struct{ retry, try, end, redrive, want string }{
		"no retry":               {end: "Ray.JobFailed", want: "Give up"},
		"retry":                  {retry: "attempts: 3", end: "Ray.JobFailed", want: "Wait to retry"},
		"last attempt":           {retry: "attempts: 3", try: "3", end: "Ray.JobFailed", want: "Give up"},
		"not retried":            {retry: "attempts: 3", end: "Ray.JobStopped", want: "Give up"},
		"named":                  {retry: "errors: [Ray.JobStopped]", end: "Ray.JobStopped", want: "Wait to retry"},
		"not named":              {retry: "errors: [Ray.JobStopped]", end: "Ray.JobFailed", want: "Give up"},
		"all but timeouts":       {retry: "errors: [States.TaskFailed]", end: "Ray.Unauthorized", want: "Wait to retry"},
		"timeout of all but it":  {retry: "errors: [States.TaskFailed]", end: "States.Timeout", want: "Give up"},
		"timeout named as well":  {retry: "errors: [States.TaskFailed, States.Timeout]", end: "States.Timeout", want: "Wait to retry"},
		"all":                    {retry: "errors: [States.ALL]", end: "States.Timeout", want: "Wait to retry"},
		"redriven meanwhile":     {end: "Ray.JobFailed", redrive: "1", want: "Attempt"},
		"environment is refused": {retry: "errors: [Ray.SubmitFailed]", end: "Ray.RuntimeEnvFailed", want: "Wait to retry"},
	} {
		step := ""
		if c.retry != "" {
			step = ", retry: {" + c.retry + "}"
		}
		a := newAttempt(t, "job", step)
		a.set(t, "try", or(c.try, "1"))
		a.set(t, "redrive", or(c.redrive, "0"))
		a.set(t, "end", fmt.Sprintf(`{"Error": %q}`, c.end))
		if got := a.choose(t, "Decide on train"); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
	a := newAttempt(t, "job", "")
	a.set(t, "end", `{"again": true}`)
	if got := a.choose(t, "Decide on train"); got != "Wait a moment for" {
		t.Errorf("again: got %s", got)
	}
}

// TestInterval tests the wait between two polls, which is a share of the time since the start of the step.
func TestInterval(t *testing.T) {
	for _, mode := range []string{"proxy", "rayjob"} {
		for _, c := range []struct{ begun, end, want string }{
			{"1767229100000", "{}", "1"}, {"1767225600000", "{}", "36"}, {"1767225600000", `{"Error": "States.Timeout"}`, "1"},
		} {
			a := newAttempt(t, mode, "")
			a.set(t, "begun", c.begun)
			a.set(t, "end", c.end)
			if got := value.Text(a.eval(t, get(a.states["Wait for train"], "Seconds"))); got != c.want {
				t.Errorf("%s, begun %s, end %s: got %s, want %s", mode, c.begun, c.end, got, c.want)
			}
		}
	}
}

// TestIds compares the ids of attempts: everything that distinguishes two attempts changes the id.
func TestIds(t *testing.T) {
	a := newAttempt(t, "job", "")
	a.vars["run"] = value.Obj("prefix", "r123-")
	id := func() string {
		return fmt.Sprint(a.eval(t, get(a.states["Attempt train"], "Assign", "id")))
	}
	first := id()
	if !strings.HasPrefix(first, "r123-train-") || len(first) != len("r123-train-")+10 {
		t.Errorf("the id is %s", first)
	}
	a.set(t, "try", "2")
	if second := id(); second == first {
		t.Errorf("the second attempt has the id of the first: %s", second)
	}
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
