package progress

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rayorch/rayorch/internal/pipeline/annotation"
)

// In a cluster, one Parallel state represents a step of the pipeline (Entry.composite), and the states inside it make the attempts. This
// file applies the events inside such a Parallel to the entry of the step.

// enterInside applies the entry of a state inside a step.
func (v *View) enterInside(step, x *Entry, when time.Time) {
	v.resume(step)
	switch x.meta.Role { //nolint:exhaustive // the others do not change the step
	case annotation.Attempt:
		step.failAttempt(when)
		step.gaveUp = false
		v.beginAttempt(step, when)
	case annotation.Started:
		v.markRunning(step)
	case annotation.Retry:
		step.failAttempt(when)
		v.set(step, Retrying)
	case annotation.GiveUp:
		if x.in.group != step { // only the inner Parallel that watches the pod gave up
			break
		}
		step.failAttempt(when)
		step.gaveUp = true // if the failure is caught, exit changes the status
		v.set(step, Retrying)
	}
}

// resume reopens a step that a redrive resumes.
func (v *View) resume(step *Entry) {
	if step.Status.undone() {
		step.Ended, step.gaveUp = time.Time{}, false
		v.set(step, Running)
	}
}

// failAttempt ends the newest attempt as failed if it is open.
func (e *Entry) failAttempt(when time.Time) {
	if a := e.open(); a != nil {
		a.Ended, a.Status, a.Error, a.Cause = when, Failed, e.Error, e.Cause
	}
}

// stepFails applies the failure of a step's Parallel: the step gave up, or a state inside failed. The step is Retrying at first: only the
// next events show whether a Catch handles the failure.
func (v *View) stepFails(step *Entry, name, cause string, when time.Time) {
	if !step.gaveUp {
		step.gaveUp, step.Error, step.Cause = true, name, cause
	}
	step.failAttempt(when)
	v.set(step, Retrying)
}

// scheduledInside applies the start of a task inside a step. A task that submits or polls the job may have the job's log.
func (v *View) scheduledInside(step, x *Entry, e *Event) {
	v.resume(step)
	a := step.newest()
	if a != nil && (x.meta.Role == annotation.Submit || x.meta.Role == annotation.Poll) {
		a.Tasks = append(a.Tasks, e.ID)
		v.touch(step)
	}
}

// exitInside applies the exit of a state inside a step. The compiler chooses the variables that the state assigns, and the prefix of a
// variable's name determines its content: id is the job's id, end is the error of an attempt, job is the status of the job in Ray.
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
	if x.meta.Role == annotation.PollStart && json.Unmarshal([]byte(e.Output), &pod) == nil {
		step.setWaiting(pod.Why)
	}
}

// assignedInside applies one variable. It ignores variables whose content does not match their prefix.
func (v *View) assignedInside(step *Entry, name string, text []byte) {
	var end struct{ Error, Cause string }
	var job rayJob
	switch {
	case strings.HasPrefix(name, "id"):
		_ = json.Unmarshal(text, &step.Job.SubmissionID) // if this fails, it is another variable
	case strings.HasPrefix(name, "end") && json.Unmarshal(text, &end) == nil && end.Error != "":
		step.Error, step.Cause = end.Error, v.truncated(end.Cause)
	case strings.HasPrefix(name, "job") && json.Unmarshal(text, &job) == nil:
		if job.runs() {
			v.markRunning(step)
		}
		step.setWaiting(job.pending())
	}
}

// rayJob is the part of a Ray job's record, or of a RayJob's status, that the definition stores. Only a RayJob has Deployment and Reason.
type rayJob struct{ Status, Deployment, Reason, Message string }

// runs reports whether the job runs in Ray, or has run.
func (j *rayJob) runs() bool { return j.Status != "" && j.Status != "PENDING" }

// pending returns the reason why the job does not run yet, "" if it is unknown.
func (j *rayJob) pending() string {
	switch {
	case j.Status == "PENDING":
		return j.Message
	case j.Status == "" && j.Deployment != "":
		return strings.Join(slices.DeleteFunc([]string{"RayJob " + j.Deployment, j.Reason, j.Message}, func(s string) bool { return s == "" }), ": ")
	}
	return ""
}

// redrive determines what a redrive resumes: each line of control that failed or was stopped runs its last state again. States whose
// failure was caught do not run again. Maps and Parallels around a resumed state are reopened now, a step in a cluster only at the next
// event inside it.
func (v *View) redrive(event int64) {
	v.redriven, v.undone, v.resumable = event, nil, nil
	for _, x := range v.Entries {
		if !x.isResumed() {
			continue
		}
		if x.composite {
			v.resumable = append(v.resumable, x)
		}
		if !x.isGroup() || x.neverStarted {
			v.undone = append(v.undone, x)
		}
	}
	for _, x := range v.undone {
		for f := x.in; f != nil; f = f.outer {
			v.reopen(f.group)
		}
	}
}

// isResumed reports whether a redrive resumes the entry: it did not succeed, and the run did not continue after it.
func (e *Entry) isResumed() bool {
	for f := e.in; f != nil; f = f.outer {
		if f.group.exited {
			return false
		}
	}
	return e.Status.undone() && !e.exited
}

// reopen reopens a Map or Parallel around a state that a redrive resumes.
func (v *View) reopen(group *Entry) {
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

// resumedStep returns the step in a cluster that a redrive resumed, if a state with this annotation is its next state; otherwise nil. The
// first events of a resumed step follow the redrive, and so could belong to any step that did not succeed; the annotation identifies the
// step. If the step is in several iterations of a Map, those that had given up continue with the role Begin, and the others do not.
func (v *View) resumedStep(meta annotation.State) *Entry {
	var found *Entry
	if len(v.resumable) == 0 || !makesAttempts(meta.Role) {
		return nil
	}
	for _, x := range v.resumable {
		if x.exited || !sameWork(x.meta, meta) {
			continue
		}
		if x.Status.undone() && x.gaveUp == (meta.Role == annotation.Begin) {
			return x
		}
		if found == nil {
			found = x
		}
	}
	return found
}
