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

// Meta is what is read of an object's metadata.
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

// Condition is one of an object's.
type Condition struct {
	Type    string `json:"type"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// Job is what is read of a Job (batch/v1).
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
	// Raw is the whole object.
	Raw json.RawMessage `json:"-"`
}

// DecodeJob reads one.
func DecodeJob(data []byte) (Job, error) {
	var j Job
	if err := json.Unmarshal(data, &j); err != nil {
		return j, fmt.Errorf("the job is not what Kubernetes sends: %w", err)
	}
	j.Raw = data
	return j, nil
}

// Ended is the condition that a Job ended with, Complete or Failed; nil while it has not ended.
func (j *Job) Ended() *Condition {
	for i, c := range j.Status.Conditions {
		if (c.Type == "Complete" || c.Type == "Failed") && c.Status == "True" {
			return &j.Status.Conditions[i]
		}
	}
	return nil
}

// JobsPath is where the Jobs of a namespace are.
func JobsPath(namespace string) string { return CollectionPath("batch/v1", namespace, "jobs") }

// Job reads one.
func (c *Client) Job(ctx context.Context, namespace, name string) (Job, error) {
	res, err := c.Do(ctx, Request{Path: JobsPath(namespace) + "/" + url.PathEscape(name)})
	if err != nil {
		return Job{}, err
	}
	return DecodeJob(res.Body)
}

// WatchJob shows see each state of a Job until see returns true; gone tells that there is none of that name any more. See
// Follow for what it bears.
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

// Pod is what is read of a Pod.
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

// ContainerStatus is how a container is.
type ContainerStatus struct {
	Name         string         `json:"name"`
	Image        string         `json:"image"`
	RestartCount int            `json:"restartCount"`
	Ready        bool           `json:"ready"`
	State        ContainerState `json:"state"`
	LastState    ContainerState `json:"lastState"`
}

// ContainerState has one of its fields.
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

// Terminated is how a container ended.
type Terminated struct {
	ExitCode   int       `json:"exitCode"`
	Signal     int       `json:"signal"`
	Reason     string    `json:"reason"`
	Message    string    `json:"message"`
	StartedAt  time.Time `json:"startedAt"`
	FinishedAt time.Time `json:"finishedAt"`
}

// Containers are a pod's container statuses, init containers first.
func (p *Pod) Containers() []ContainerStatus {
	return slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses)
}

// Started tells whether a container of the pod has ever run.
func (p *Pod) Started() bool {
	return slices.ContainsFunc(p.Containers(), func(s ContainerStatus) bool {
		return s.State.Running != nil || s.State.Terminated.ran() || s.LastState.Terminated.ran()
	})
}

// Done tells that the work of a pod which never restarts a container has ended well. Its phase says so a second later,
// when the kubelet has put the pod away.
func (p *Pod) Done() bool {
	done := 0
	for _, s := range p.Status.ContainerStatuses {
		if t := s.State.Terminated; t != nil && t.ExitCode == 0 && t.ran() {
			done++
		}
	}
	return p.Status.Phase == "Succeeded" || p.Spec.RestartPolicy == "Never" && done > 0 && done == len(p.Spec.Containers)
}

// ran tells a container that ended from one that never ran: it could not be started, or was ended before.
func (t *Terminated) ran() bool {
	return t != nil && !t.refused() && (t.Reason != "ContainerStatusUnknown" || !t.StartedAt.IsZero())
}

// refused tells of a container that the node could not start.
func (t *Terminated) refused() bool {
	return t.Reason == "StartError" || t.Reason == "ContainerCannotRun"
}

// Pods are those of a namespace that carry the labels, the oldest first.
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

// PodsOf are a Job's.
func (c *Client) PodsOf(ctx context.Context, j Job) ([]Pod, error) {
	if len(j.Spec.Selector.MatchLabels) == 0 {
		return nil, nil // a selector of ours would be everybody's pods
	}
	return c.Pods(ctx, j.Metadata.Namespace, j.Spec.Selector.MatchLabels)
}

func selector(labels map[string]string) string {
	terms := make([]string, 0, len(labels))
	for key, v := range labels {
		terms = append(terms, key+"="+v)
	}
	slices.Sort(terms)
	return strings.Join(terms, ",")
}
