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

// Reason is why a Job's work does not run, or did not end well.
type Reason struct {
	// Why is what is wrong with its newest pod, or with making one, for people; "" when nothing is.
	Why string
	// End is how the Job was ended, where Why does not say it.
	End string
	// Ran tells that a container of the Job's has run.
	Ran bool
}

// String is both, "" when nothing is wrong.
func (r Reason) String() string {
	if r.Why == "" || r.End == "" {
		return r.Why + r.End
	}
	return r.Why + "; " + r.End
}

// Notice is an Event of Kubernetes: what a controller, the scheduler or a kubelet says of an object.
type Notice struct {
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

func (n Notice) last() time.Time {
	return slices.MaxFunc([]time.Time{n.LastSeen, n.EventTime, n.Series.LastObserved}, time.Time.Compare)
}

// Notices are what was said of the objects of one kind in a namespace, the oldest first; with a name only of that one.
func (c *Client) Notices(ctx context.Context, namespace, kind, name string) ([]Notice, error) {
	fields := "involvedObject.kind=" + kind
	if name != "" {
		fields += ",involvedObject.name=" + name
	}
	var list struct {
		Items []Notice `json:"items"`
	}
	err := c.get(ctx, CollectionPath("v1", namespace, "events"), url.Values{"fieldSelector": {fields}}, &list)
	slices.SortStableFunc(list.Items, func(a, b Notice) int { return a.last().Compare(b.last()) })
	return list.Items, err
}

// Why looks for the reason why a Job does not run, or did not end well. What may not be read is left out.
func (c *Client) Why(ctx context.Context, j Job) (Reason, error) {
	ns := j.Metadata.Namespace
	pods, podsErr := c.PodsOf(ctx, j)
	said, err := c.Notices(ctx, ns, "Job", j.Metadata.Name)
	said = slices.DeleteFunc(said, func(n Notice) bool { return n.Involved.UID != j.Metadata.UID })
	if err == nil {
		var ofPods []Notice
		ofPods, err = c.Notices(ctx, ns, "Pod", "")
		said = append(said, ofPods...)
	}
	if Code(err) == 403 { // the events help, but are not needed
		err = nil
	}
	return Explain(j, pods, said), errors.Join(podsErr, err)
}

// Explain finds the reason in what is known: the Job, its pods, and what was said of them.
func Explain(j Job, pods []Pod, said []Notice) Reason {
	r := Reason{Ran: slices.ContainsFunc(pods, func(p Pod) bool { return p.Started() }) || j.Status.Succeeded > 0}
	switch p := newest(pods); {
	case p == nil:
		r.Why = explainAbsence(j, said)
	case !overdue(j) || p.Metadata.DeletionTimestamp == nil || !p.Started(): // else its deletion says nothing new
		r.Why = explainPod(p, said)
	}
	r.End = explainEnd(j, r.Why != "")
	return r
}

// overdue tells of a Job that Kubernetes ended for its deadline, by deleting its pods.
func overdue(j Job) bool {
	end := j.Ended()
	return end != nil && end.Reason == "DeadlineExceeded"
}

// explainEnd says how the Job was ended, unless that is clear from the pod.
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

// explainAbsence says why a Job has no pods.
func explainAbsence(j Job, said []Notice) string {
	if j.Spec.Suspend {
		return "the job is suspended: who queues it has not let it start"
	}
	for _, n := range slices.Backward(said) {
		if n.Involved.Kind == "Job" && n.Reason == "FailedCreate" {
			return "its pods cannot be created: " + advise(n.Message)
		}
	}
	// A pod that cannot start stays pending and does not count towards the limit, so its events may report a problem that has passed.
	if end := j.Ended(); end != nil && end.Reason == "BackoffLimitExceeded" {
		return "its pods are gone: somebody deleted them, or their namespace"
	}
	// The pods of a Job whose time was up are gone; what was said of them stays for a while.
	for _, n := range slices.Backward(said) {
		if n.Involved.Kind != "Pod" || !strings.HasPrefix(n.Involved.Name, j.Metadata.Name+"-") {
			continue
		}
		if text := explainNotice(n); text != "" {
			return fmt.Sprintf("the pod %s %s", n.Involved.Name, text)
		}
	}
	return ""
}

func explainPod(p *Pod, said []Notice) string {
	who := "the pod " + p.Metadata.Name
	for _, find := range []func(*Pod) string{explainPhase, explainSchedule, explainContainers} {
		if text := find(p); text != "" {
			return who + " " + text
		}
	}
	if p.Started() {
		return ""
	}
	for _, n := range slices.Backward(said) {
		if n.Involved.Kind != "Pod" || n.Involved.UID != p.Metadata.UID {
			continue
		}
		if text := explainNotice(n); text != "" {
			return who + " " + text
		}
	}
	return ""
}

func explainPhase(p *Pod) string {
	switch {
	case p.Status.Reason == "Evicted":
		return "was evicted: " + p.Status.Message
	case p.Metadata.DeletionTimestamp != nil && p.Started():
		return "was deleted while it ran, by somebody or with its namespace"
	case p.Status.Reason == "DeadlineExceeded":
		return "ran longer than its activeDeadlineSeconds"
	case p.Status.Phase == "Failed" && p.Status.Reason != "":
		return strings.TrimSuffix("failed: "+p.Status.Reason+": "+p.Status.Message, ": ")
	}
	for _, c := range p.Status.Conditions {
		if c.Type == "DisruptionTarget" && c.Status == "True" {
			return "was ended by the cluster: " + orElse(c.Message, c.Reason)
		}
	}
	return ""
}

func explainSchedule(p *Pod) string {
	for _, c := range p.Status.Conditions {
		if c.Type == "PodScheduled" && c.Status == "False" {
			return "cannot be scheduled: " + advise(orElse(c.Message, c.Reason))
		}
	}
	return ""
}

// explainContainers names the first container in trouble.
func explainContainers(p *Pod) string {
	for _, s := range p.Containers() {
		if s.State.Waiting != nil && s.State.Waiting.Reason == "CrashLoopBackOff" && s.LastState.Terminated != nil {
			return explainTerminated(s, s.LastState.Terminated)
		}
		if text := explainWaiting(s); text != "" {
			return text
		}
		if t := s.State.Terminated; t != nil && (t.ran() || t.refused()) && (t.ExitCode != 0 || t.Signal != 0) {
			return explainTerminated(s, t)
		}
	}
	return ""
}

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

func explainTerminated(s ContainerStatus, t *Terminated) string {
	switch {
	case t.Reason == "OOMKilled":
		return fmt.Sprintf("was killed: container %s used more memory than its limit (OOMKilled)", s.Name)
	case t.refused():
		return fmt.Sprintf("cannot start: container %s: %s", s.Name, t.Message)
	case t.Signal != 0:
		return fmt.Sprintf("failed: container %s was ended by the signal %d", s.Name, t.Signal)
	case t.ExitCode == 128+9: // nodes do not always notice that they lacked memory
		return fmt.Sprintf("was killed: container %s ended with exit code 137: for want of memory, or by the signal 9", s.Name)
	}
	return strings.TrimSuffix(fmt.Sprintf("failed: container %s ended with exit code %d: %s", s.Name, t.ExitCode, t.Message), ": ")
}

// explainNotice is for what shows in no status: volumes that cannot be mounted, sandboxes that cannot be made.
func explainNotice(n Notice) string {
	switch n.Reason {
	case "FailedScheduling":
		return "cannot be scheduled: " + advise(n.Message)
	case "FailedMount", "FailedAttachVolume":
		if strings.HasSuffix(n.Message, " not registered") {
			return "" // the kubelet lets the pod go; why its volume could not be mounted was said before
		}
		return "cannot start: a volume cannot be mounted: " + advise(n.Message)
	case "FailedCreatePodSandBox", "NetworkNotReady":
		return "cannot start: " + n.Message
	case "Failed", "ErrImageNeverPull", "InspectFailed":
		if rest, ok := strings.CutPrefix(n.Message, "Failed to pull image \""); ok {
			image, why, _ := strings.Cut(rest, "\": ")
			return noImage(image, why)
		}
		if !strings.HasPrefix(n.Message, "Error: ") { // another notice says it whole
			return "cannot start: " + advise(n.Message)
		}
	}
	return ""
}

const setSecurityContext = "set securityContext of the step's job or of the target's pods"

// advice says what to do about what Kubernetes says, where that is known.
var advice = []struct{ mark, do string }{
	{"PodSecurity", setSecurityContext}, // its message may contain what others look for
	{"runAsNonRoot", setSecurityContext},
	{"non-root policy", setSecurityContext},
	{"exceeded quota", "ask for less, wait for what runs to end, or have the quota raised"},
	{"persistentvolumeclaim", "create the claim, or mend its name in the target"},
	{"error looking up service account", "create the service account: rayorch apply does"},
	{"configmap", "create the config map: rayorch apply does"},
	{"secret", "create the secret"},
	{"Insufficient", "ask for less, or add nodes that have it"},
	{"didn't match", "mend the node selector or the affinity, or label a node"},
	{"untolerated taint", "add a toleration, or another node"},
}

func advise(message string) string {
	for _, a := range advice {
		if strings.Contains(message, a.mark) {
			return strings.TrimSuffix(message, ".") + ": " + a.do
		}
	}
	return message
}

// newest is the pod that was made last.
func newest(pods []Pod) *Pod {
	if len(pods) == 0 {
		return nil
	}
	p := slices.MaxFunc(pods, func(a, b Pod) int {
		return cmp.Or(a.Metadata.CreationTimestamp.Compare(b.Metadata.CreationTimestamp), cmp.Compare(a.Metadata.Name, b.Metadata.Name))
	})
	return &p
}
