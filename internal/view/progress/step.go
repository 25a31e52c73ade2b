package progress

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rayorch/rayorch/internal/pipeline/annotation"
)

// In a cluster, a Parallel stands for one step of a pipeline: the states inside it make the attempts. Users see it as one step.

// enterInside folds the entry of a state inside.
func (v *View) enterInside(step, x *Entry, when time.Time) {
	v.resume(step)
	switch x.says.Role { //nolint:exhaustive // the others do not change the step
	case annotation.Attempt:
		step.failAttempt(when)
		step.gaveUp = false
		v.beginAttempt(step, when)
	case annotation.Started:
		v.runs(step)
	case annotation.Retry:
		step.failAttempt(when)
		v.set(step, Retrying)
	case annotation.GiveUp:
		if x.in.group != step { // only the watch over the pod gives up
			break
		}
		step.failAttempt(when)
		step.gaveUp = true // unless the step's exit shows that it was caught
		v.set(step, Retrying)
	}
}

// resume folds the resumption of the step by a redrive.
func (v *View) resume(step *Entry) {
	if step.Status.undone() {
		step.Ended, step.gaveUp = time.Time{}, false
		v.set(step, Running)
	}
}

// failAttempt ends the attempt that is open.
func (e *Entry) failAttempt(when time.Time) {
	if a := e.open(); a != nil {
		a.Ended, a.Status, a.Error, a.Cause = when, Failed, e.Error, e.Cause
	}
}

// stepFails folds the failure of the Parallel: it gave up, or a state inside failed and was not caught. The next events show whether
// a Catch handles it.
func (v *View) stepFails(step *Entry, name, cause string, when time.Time) {
	if !step.gaveUp {
		step.gaveUp, step.Error, step.Cause = true, name, cause
	}
	step.failAttempt(when)
	v.set(step, Retrying)
}

// scheduledInside folds the start of a task: one that submits or follows the job may have its log.
func (v *View) scheduledInside(step, x *Entry, e *Event) {
	v.resume(step)
	a := step.newest()
	if a != nil && (x.says.Role == annotation.Submit || x.says.Role == annotation.Poll) {
		a.Tasks = append(a.Tasks, e.ID)
		v.touch(step)
	}
}

// exitInside folds the result of a state inside. The variables that it assigns are the compiler's, and the prefix of a name says what
// the variable holds: id the job's ID, end how an attempt failed, job the status of the job in Ray.
func (v *View) exitInside(step, x *Entry, e *Event) {
	v.touch(step)
	for _, name := range slices.Sorted(maps.Keys(e.Assigned)) {
		v.assignedInside(step, name, []byte(e.Assigned[name]))
	}
	var given map[string]json.RawMessage
	if json.Unmarshal([]byte(e.Output), &given) == nil && len(given) == 1 && given["Output"] != nil {
		step.Job.Output = given["Output"]
	}
	var pod struct{ Why string }
	if x.says.Role == annotation.PollStart && json.Unmarshal([]byte(e.Output), &pod) == nil {
		step.waits(pod.Why)
	}
}

// assignedInside reads one variable. A text that is not what the prefix promises is another variable, and changes nothing.
func (v *View) assignedInside(step *Entry, name string, text []byte) {
	var end struct{ Error, Cause string }
	var job rayJob
	switch {
	case strings.HasPrefix(name, "id"):
		_ = json.Unmarshal(text, &step.Job.SubmissionID) // otherwise, it is another ID
	case strings.HasPrefix(name, "end") && json.Unmarshal(text, &end) == nil && end.Error != "":
		step.Error, step.Cause = end.Error, v.cut(end.Cause)
	case strings.HasPrefix(name, "job") && json.Unmarshal(text, &job) == nil:
		if job.runs() {
			v.runs(step)
		}
		step.waits(job.pending())
	}
}

// rayJob is what the definition keeps of a Ray job's record, or of a RayJob's status.
// Deployment and Reason are a RayJob's only.
type rayJob struct{ Status, Deployment, Reason, Message string }

// runs reports whether Ray runs the job, or has run it.
func (j *rayJob) runs() bool { return j.Status != "" && j.Status != "PENDING" }

// pending returns the reason why the job does not run yet, "" if unknown.
func (j *rayJob) pending() string {
	switch {
	case j.Status == "PENDING":
		return j.Message
	case j.Status == "" && j.Deployment != "":
		return strings.Join(slices.DeleteFunc([]string{"RayJob " + j.Deployment, j.Reason, j.Message}, func(s string) bool { return s == "" }), ": ")
	}
	return ""
}

// redrive records what a redrive resumes: every line of control that failed or was stopped runs its state again. A state after which
// a catcher continued does not change. A step in a cluster is opened when something happens inside it.
func (v *View) redrive(event int64) {
	v.redriven, v.undone, v.resumable = event, nil, nil
	for _, x := range v.Entries {
		if !x.taken() {
			continue
		}
		if x.composite {
			x.redriven = event
			v.resumable = append(v.resumable, x)
		}
		if !x.holds() || x.itself {
			v.undone = append(v.undone, x)
		}
	}
	for _, x := range v.undone {
		for f := x.in; f != nil; f = f.outer {
			v.openAgain(f.group)
		}
	}
}

// taken reports whether a redrive resumes the entry: it did not succeed, and the run has not continued after it.
func (e *Entry) taken() bool {
	for f := e.in; f != nil; f = f.outer {
		if f.group.exited {
			return false
		}
	}
	return e.Status.undone() && !e.exited
}

// openAgain opens a Map or Parallel around a state that a redrive resumes.
func (v *View) openAgain(group *Entry) {
	if group.composite {
		return
	}
	if group.Status.undone() {
		v.set(group, Running)
		if group.Items != nil { // the redrive runs these iterations again
			group.Items.Failed, group.Items.Aborted = 0, 0
		}
	}
	if !group.Ended.IsZero() || group.Error != "" {
		group.Ended, group.Error, group.Cause = time.Time{}, "", ""
		v.touch(group)
	}
}

// resumedStep returns the step in a cluster that continues with a state inside it after a redrive. Its events follow the redrive,
// and by that alone could belong to any step that did not succeed. Of the steps of one state in several iterations, those that had
// given up start again.
func (v *View) resumedStep(says annotation.State) *Entry {
	var found *Entry
	if len(v.resumable) == 0 || !inside(says.Role) {
		return nil
	}
	for _, x := range v.resumable {
		if x.exited || !sameWork(x.says, says) {
			continue
		}
		if x.Status.undone() && x.gaveUp == (says.Role == annotation.Begin) {
			return x
		}
		if found == nil {
			found = x
		}
	}
	return found
}
