package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Reason explains why a Job does not run or has failed.
type Reason struct {
	// Why describes the problem of its newest pod, or why it has no pod; "" if there is no problem.
	Why string
	// End describes how the Job ended, if that does not follow from Why.
	End string
	// Ran reports whether a container of the Job has run.
	Ran bool
}

// String returns both texts, "" if there is no problem.
func (r Reason) String() string {
	if r.Why == "" || r.End == "" {
		return r.Why + r.End
	}
	return r.Why + "; " + r.End
}

// EventRecord is an Event object of Kubernetes, in which a controller, the scheduler or a kubelet reports about another object. It is
// not called Event because that is a state in Follow.
type EventRecord struct {
	Involved struct {
		Kind string `json:"kind"`
		Name string `json:"name"`
		UID  string `json:"uid"`
	} `json:"involvedObject"`
	Type      string    `json:"type"`
	Reason    string    `json:"reason"`
	Message   string    `json:"message"`
	LastSeen  time.Time `json:"lastTimestamp"`
	EventTime time.Time `json:"eventTime"`
	Series    struct {
		LastObserved time.Time `json:"lastObservedTime"`
	} `json:"series"`
}

// last returns the time of the last occurrence.
func (n EventRecord) last() time.Time {
	return slices.MaxFunc([]time.Time{n.LastSeen, n.EventTime, n.Series.LastObserved}, time.Time.Compare)
}

// EventRecords returns the events about objects of a kind in a namespace, oldest first. If name is not empty, it only returns those
// about the object of that name.
func (c *Client) EventRecords(ctx context.Context, namespace, kind, name string) ([]EventRecord, error) {
	fields := "involvedObject.kind=" + kind
	if name != "" {
		fields += ",involvedObject.name=" + name
	}
	var list struct {
		Items []EventRecord `json:"items"`
	}
	err := c.get(ctx, CollectionPath("v1", namespace, "events"), url.Values{"fieldSelector": {fields}}, &list)
	slices.SortStableFunc(list.Items, func(a, b EventRecord) int { return a.last().Compare(b.last()) })
	return list.Items, err
}

// Why finds the reason why a Job does not run or has failed. It does not need the permission to read events, but the reason is
// then less specific.
func (c *Client) Why(ctx context.Context, j Job) (Reason, error) {
	ns := j.Metadata.Namespace
	pods, podsErr := c.PodsOf(ctx, j)
	events, err := c.EventRecords(ctx, ns, "Job", j.Metadata.Name)
	events = slices.DeleteFunc(events, func(n EventRecord) bool { return n.Involved.UID != j.Metadata.UID })
	if err == nil {
		var ofPods []EventRecord
		ofPods, err = c.EventRecords(ctx, ns, "Pod", "")
		events = append(events, ofPods...)
	}
	if Code(err) == 403 { // events help, but are optional
		err = nil
	}
	return Explain(j, pods, events), errors.Join(podsErr, err)
}

// Explain finds the reason from the Job, its pods, and the events about them.
func Explain(j Job, pods []Pod, events []EventRecord) Reason {
	r := Reason{Ran: slices.ContainsFunc(pods, func(p Pod) bool { return p.Started() }) || j.Status.Succeeded > 0}
	switch p := newest(pods); {
	case p == nil:
		r.Why = explainAbsence(j, events)
	case !overdue(j) || p.Metadata.DeletionTimestamp == nil || !p.Started(): // otherwise, the deadline explains the deletion
		r.Why = explainPod(p, events)
	}
	r.End = explainEnd(j, r.Why != "")
	return r
}

// overdue reports whether Kubernetes ended the Job, and deleted its pods, because of its deadline.
func overdue(j Job) bool {
	end := j.Ended()
	return end != nil && end.Reason == "DeadlineExceeded"
}

// explainEnd describes how the Job failed. If a reason is already known, it omits the generic BackoffLimitExceeded.
func explainEnd(j Job, known bool) string {
	end := j.Ended()
	switch {
	case end == nil || end.Type != "Failed":
		return ""
	case end.Reason == "DeadlineExceeded" && j.Spec.ActiveDeadlineSeconds != nil:
		return fmt.Sprintf("the job ran longer than its activeDeadlineSeconds, %d", *j.Spec.ActiveDeadlineSeconds)
	case end.Reason == "BackoffLimitExceeded" && known:
		return ""
	}
	return strings.TrimSuffix(fmt.Sprintf("the job failed: %s: %s", end.Reason, end.Message), ": ")
}

// explainAbsence describes why a Job has no pods.
func explainAbsence(j Job, events []EventRecord) string {
	if j.Spec.Suspend {
		return "the job is suspended: its queue has not admitted it yet"
	}
	for _, n := range slices.Backward(events) {
		if n.Involved.Kind == "Job" && n.Reason == "FailedCreate" {
			return "its pods cannot be created: " + advise(n.Message)
		}
	}
	// A pod that cannot start stays pending and does not count towards the limit, so its events may report a problem that has passed.
	if end := j.Ended(); end != nil && end.Reason == "BackoffLimitExceeded" {
		return "its pods were deleted, directly or with their namespace"
	}
	// The pods of a Job that exceeded its deadline are deleted, but the events about them remain for a while.
	for _, n := range slices.Backward(events) {
		if n.Involved.Kind != "Pod" || !strings.HasPrefix(n.Involved.Name, j.Metadata.Name+"-") {
			continue
		}
		if text := explainEvent(n); text != "" {
			return fmt.Sprintf("the pod %s %s", n.Involved.Name, text)
		}
	}
	return ""
}

// explainPod describes the problem of a pod. It considers events only if the pod has not started, because they may be outdated.
func explainPod(p *Pod, events []EventRecord) string {
	subject := "the pod " + p.Metadata.Name
	for _, find := range []func(*Pod) string{explainPhase, explainSchedule, explainContainers} {
		if text := find(p); text != "" {
			return subject + " " + text
		}
	}
	if p.Started() {
		return ""
	}
	for _, n := range slices.Backward(events) {
		if n.Involved.Kind != "Pod" || n.Involved.UID != p.Metadata.UID {
			continue
		}
		if text := explainEvent(n); text != "" {
			return subject + " " + text
		}
	}
	return ""
}

// explainPhase describes a problem of the pod as a whole, as a predicate such as "was evicted".
func explainPhase(p *Pod) string {
	switch {
	case p.Status.Reason == "Evicted":
		return "was evicted: " + p.Status.Message
	case p.Metadata.DeletionTimestamp != nil && p.Started():
		return "was deleted while it was running, directly or with its namespace"
	case p.Status.Reason == "DeadlineExceeded":
		return "ran longer than its activeDeadlineSeconds"
	case p.Status.Phase == "Failed" && p.Status.Reason != "":
		return strings.TrimSuffix("failed: "+p.Status.Reason+": "+p.Status.Message, ": ")
	}
	for _, c := range p.Status.Conditions {
		if c.Type == "DisruptionTarget" && c.Status == "True" {
			return "was terminated by the cluster: " + orElse(c.Message, c.Reason)
		}
	}
	return ""
}

// explainSchedule describes why the pod cannot be scheduled.
func explainSchedule(p *Pod) string {
	for _, c := range p.Status.Conditions {
		if c.Type == "PodScheduled" && c.Status == "False" {
			return "cannot be scheduled: " + advise(orElse(c.Message, c.Reason))
		}
	}
	return ""
}

// explainContainers describes the problem of the first container that has one.
func explainContainers(p *Pod) string {
	for _, s := range p.Containers() {
		if s.State.Waiting != nil && s.State.Waiting.Reason == "CrashLoopBackOff" && s.LastState.Terminated != nil {
			return explainTerminated(s, s.LastState.Terminated)
		}
		if text := explainWaiting(s); text != "" {
			return text
		}
		if t := s.State.Terminated; t != nil && (t.ran() || t.failedToStart()) && (t.ExitCode != 0 || t.Signal != 0) {
			return explainTerminated(s, t)
		}
	}
	return ""
}

// explainWaiting describes why a container is waiting, "" if that is a normal step of starting it.
func explainWaiting(s ContainerStatus) string {
	w := s.State.Waiting
	if w == nil {
		return ""
	}
	switch w.Reason {
	case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ImageInspectError", "RegistryUnavailable":
		return noImage(s.Image, w.Message)
	case "ErrImageNeverPull":
		return fmt.Sprintf("cannot start: the image %s is not on the node, and imagePullPolicy is Never", s.Image)
	case "", "ContainerCreating", "PodInitializing":
		return ""
	}
	return fmt.Sprintf("cannot start: container %s: %s", s.Name, strings.TrimSuffix(w.Reason+": "+advise(w.Message), ": "))
}

func noImage(image, why string) string {
	return fmt.Sprintf("cannot start: the image %s cannot be pulled: %s: check its name and the pull secret", image, why)
}

// explainTerminated describes how a container failed.
func explainTerminated(s ContainerStatus, t *Terminated) string {
	switch {
	case t.Reason == "OOMKilled":
		return fmt.Sprintf("was killed: container %s used more memory than its limit (OOMKilled)", s.Name)
	case t.failedToStart():
		return fmt.Sprintf("cannot start: container %s: %s", s.Name, t.Message)
	case t.Signal != 0:
		return fmt.Sprintf("failed: container %s was terminated by signal %d", s.Name, t.Signal)
	case t.ExitCode == 128+9: // nodes do not always detect that a container ran out of memory
		return fmt.Sprintf("was killed: container %s ended with exit code 137: out of memory, or killed with signal 9", s.Name)
	}
	return strings.TrimSuffix(fmt.Sprintf("failed: container %s ended with exit code %d: %s", s.Name, t.ExitCode, t.Message), ": ")
}

// explainEvent describes problems that no status contains, such as volumes that cannot be mounted.
func explainEvent(n EventRecord) string {
	switch n.Reason {
	case "FailedScheduling":
		return "cannot be scheduled: " + advise(n.Message)
	case "FailedMount", "FailedAttachVolume":
		if strings.HasSuffix(n.Message, " not registered") {
			return "" // the pod is being deleted; an earlier event has the reason
		}
		return "cannot start: a volume cannot be mounted: " + advise(n.Message)
	case "FailedCreatePodSandBox", "NetworkNotReady":
		return "cannot start: " + n.Message
	case "Failed", "ErrImageNeverPull", "InspectFailed":
		if rest, ok := strings.CutPrefix(n.Message, "Failed to pull image \""); ok {
			image, why, _ := strings.Cut(rest, "\": ")
			return noImage(image, why)
		}
		if !strings.HasPrefix(n.Message, "Error: ") { // such an event repeats a more complete one
			return "cannot start: " + advise(n.Message)
		}
	}
	return ""
}

const setSecurityContext = "set securityContext of the step's job or of the target's pods"

// advice maps marks in messages of Kubernetes to solutions. The first mark that a message contains applies.
var advice = []struct{ mark, do string }{
	{"PodSecurity", setSecurityContext}, // first, because such a message may contain other marks
	{"runAsNonRoot", setSecurityContext},
	{"non-root policy", setSecurityContext},
	{"exceeded quota", "request less, wait for other workloads to end, or raise the quota"},
	{"persistentvolumeclaim", "create the claim, or fix its name in the target"},
	{"error looking up service account", "create the service account: run rayorch apply"},
	{"configmap", "create the ConfigMap: run rayorch apply"},
	{"secret", "create the Secret"},
	{"Insufficient", "request less, or add nodes with more resources"},
	{"didn't match", "fix the node selector or the affinity, or label a node"},
	{"untolerated taint", "add a toleration, or a node without the taint"},
}

// advise adds a solution to a message, if one is known.
func advise(message string) string {
	for _, a := range advice {
		if strings.Contains(message, a.mark) {
			return strings.TrimSuffix(message, ".") + ": " + a.do
		}
	}
	return message
}

// newest returns the pod that was created last, nil if there are none.
func newest(pods []Pod) *Pod {
	if len(pods) == 0 {
		return nil
	}
	p := slices.MaxFunc(pods, func(a, b Pod) int {
		return cmp.Or(a.Metadata.CreationTimestamp.Compare(b.Metadata.CreationTimestamp), cmp.Compare(a.Metadata.Name, b.Metadata.Name))
	})
	return &p
}
