package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Meta has the relevant metadata of an object.
type Meta struct {
	Name              string            `json:"name"`
	Namespace         string            `json:"namespace"`
	UID               string            `json:"uid"`
	ResourceVersion   string            `json:"resourceVersion"`
	Labels            map[string]string `json:"labels"`
	Annotations       map[string]string `json:"annotations"`
	CreationTimestamp time.Time         `json:"creationTimestamp"`
	DeletionTimestamp *time.Time        `json:"deletionTimestamp"`
	ManagedFields     []struct {
		Manager   string `json:"manager"`
		Operation string `json:"operation"`
	} `json:"managedFields"`
}

// Condition is a condition in the status of an object.
type Condition struct {
	Type    string `json:"type"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// Job has the relevant fields of a Job (batch/v1).
type Job struct {
	Metadata Meta `json:"metadata"`
	Spec     struct {
		Selector struct {
			MatchLabels map[string]string `json:"matchLabels"`
		} `json:"selector"`
		ActiveDeadlineSeconds *int64 `json:"activeDeadlineSeconds"`
		Completions           *int   `json:"completions"`
		Suspend               bool   `json:"suspend"`
	} `json:"spec"`
	Status struct {
		Conditions []Condition `json:"conditions"`
		Active     int         `json:"active"`
		Succeeded  int         `json:"succeeded"`
		Failed     int         `json:"failed"`
	} `json:"status"`
	// Raw is the complete object.
	Raw json.RawMessage `json:"-"`
}

// DecodeJob decodes the JSON of a Job.
func DecodeJob(data []byte) (Job, error) {
	var j Job
	if err := json.Unmarshal(data, &j); err != nil {
		return j, fmt.Errorf("decode the Job: %w", err)
	}
	j.Raw = data
	return j, nil
}

// Ended returns the condition with which the Job ended, Complete or Failed; nil if it has not ended.
func (j *Job) Ended() *Condition {
	for i, c := range j.Status.Conditions {
		if (c.Type == "Complete" || c.Type == "Failed") && c.Status == "True" {
			return &j.Status.Conditions[i]
		}
	}
	return nil
}

// JobsPath returns the API path of the Jobs in a namespace.
func JobsPath(namespace string) string { return CollectionPath("batch/v1", namespace, "jobs") }

// Job reads a Job.
func (c *Client) Job(ctx context.Context, namespace, name string) (Job, error) {
	res, err := c.Do(ctx, Request{Path: JobsPath(namespace) + "/" + url.PathEscape(name)})
	if err != nil {
		return Job{}, err
	}
	return DecodeJob(res.Body)
}

// WatchJob calls see with each state of a Job until see returns true. gone is true, and j is empty, once no Job of that name
// exists. See Follow for the handling of errors.
func (c *Client) WatchJob(ctx context.Context, namespace, name string, see func(j Job, gone bool) bool) error {
	var broken error
	err := c.Follow(ctx, JobsPath(namespace), name, func(e Event) bool {
		if e.Object == nil {
			return see(Job{}, true)
		}
		j, err := DecodeJob(e.Object)
		if err != nil {
			broken = err
			return true
		}
		return see(j, false)
	})
	if broken != nil {
		return broken
	}
	return err
}

// Pod has the relevant fields of a Pod.
type Pod struct {
	Metadata Meta `json:"metadata"`
	Spec     struct {
		NodeName       string `json:"nodeName"`
		RestartPolicy  string `json:"restartPolicy"`
		InitContainers []struct {
			Name string `json:"name"`
		} `json:"initContainers"`
		Containers []struct {
			Name string `json:"name"`
		} `json:"containers"`
	} `json:"spec"`
	Status struct {
		Phase                 string            `json:"phase"`
		Reason                string            `json:"reason"`
		Message               string            `json:"message"`
		PodIP                 string            `json:"podIP"`
		Conditions            []Condition       `json:"conditions"`
		InitContainerStatuses []ContainerStatus `json:"initContainerStatuses"`
		ContainerStatuses     []ContainerStatus `json:"containerStatuses"`
	} `json:"status"`
}

// ContainerStatus is the status of a container.
type ContainerStatus struct {
	Name         string         `json:"name"`
	Image        string         `json:"image"`
	RestartCount int            `json:"restartCount"`
	Ready        bool           `json:"ready"`
	State        ContainerState `json:"state"`
	LastState    ContainerState `json:"lastState"`
}

// ContainerState is the state of a container. At most one field is set.
type ContainerState struct {
	Waiting *struct {
		Reason  string `json:"reason"`
		Message string `json:"message"`
	} `json:"waiting"`
	Running *struct {
		StartedAt time.Time `json:"startedAt"`
	} `json:"running"`
	Terminated *Terminated `json:"terminated"`
}

// Terminated is the state of a container that ended.
type Terminated struct {
	ExitCode   int       `json:"exitCode"`
	Signal     int       `json:"signal"`
	Reason     string    `json:"reason"`
	Message    string    `json:"message"`
	StartedAt  time.Time `json:"startedAt"`
	FinishedAt time.Time `json:"finishedAt"`
}

// Containers returns the statuses of all containers, init containers first.
func (p *Pod) Containers() []ContainerStatus {
	return slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses)
}

// Started reports whether a container of the pod has ever run.
func (p *Pod) Started() bool {
	return slices.ContainsFunc(p.Containers(), func(s ContainerStatus) bool {
		return s.State.Running != nil || s.State.Terminated.ran() || s.LastState.Terminated.ran()
	})
}

// Done reports whether the pod succeeded. For a pod that never restarts containers, it is true as soon as all containers have
// succeeded: the phase of the pod only changes about a second later, when the kubelet has cleaned up.
func (p *Pod) Done() bool {
	done := 0
	for _, s := range p.Status.ContainerStatuses {
		if t := s.State.Terminated; t != nil && t.ExitCode == 0 && t.ran() {
			done++
		}
	}
	return p.Status.Phase == "Succeeded" || p.Spec.RestartPolicy == "Never" && done > 0 && done == len(p.Spec.Containers)
}

// ran reports whether a terminated container ever ran. It did not if it could not be started, or if its pod was deleted before.
func (t *Terminated) ran() bool {
	return t != nil && !t.failedToStart() && (t.Reason != "ContainerStatusUnknown" || !t.StartedAt.IsZero())
}

// failedToStart reports whether the node could not start the container.
func (t *Terminated) failedToStart() bool {
	return t.Reason == "StartError" || t.Reason == "ContainerCannotRun"
}

// Pods returns the pods in a namespace that have all the labels, oldest first.
func (c *Client) Pods(ctx context.Context, namespace string, labels map[string]string) ([]Pod, error) {
	var list struct {
		Items []Pod `json:"items"`
	}
	query := url.Values{}
	if len(labels) > 0 {
		query.Set("labelSelector", selector(labels))
	}
	if err := c.get(ctx, CollectionPath("v1", namespace, "pods"), query, &list); err != nil {
		return nil, err
	}
	slices.SortStableFunc(list.Items, func(a, b Pod) int {
		return a.Metadata.CreationTimestamp.Compare(b.Metadata.CreationTimestamp)
	})
	return list.Items, nil
}

// PodsOf returns the pods of a Job, oldest first.
func (c *Client) PodsOf(ctx context.Context, j Job) ([]Pod, error) {
	if len(j.Spec.Selector.MatchLabels) == 0 {
		return nil, nil // an empty selector would match all pods
	}
	return c.Pods(ctx, j.Metadata.Namespace, j.Spec.Selector.MatchLabels)
}

// selector returns the label selector for objects that have all the labels.
func selector(labels map[string]string) string {
	terms := make([]string, 0, len(labels))
	for key, v := range labels {
		terms = append(terms, key+"="+v)
	}
	slices.Sort(terms)
	return strings.Join(terms, ",")
}
