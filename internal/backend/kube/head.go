package kube

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Labels that KubeRay puts on what it makes.
const (
	labelNodeType = "ray.io/node-type"
	labelCluster  = "ray.io/cluster"
)

// Head is the head of a RayCluster.
type Head struct {
	Cluster, Namespace string
	Service            string
	Pod                string // "" while there is none
	Ready              bool
	// Why says what is wrong with a head that is not ready.
	Why string
	// Auth tells that the Ray wants a token, which the Secret named as the cluster has.
	Auth bool
	// RayVersion is what the RayCluster says.
	RayVersion string
}

// DashboardPort is where a head's Jobs API and dashboard are.
const DashboardPort = 8265

// ErrNoHead tells of a namespace without a Ray cluster.
var ErrNoHead = errors.New("no ray cluster")

// rayCluster is what is read of a RayCluster.
type rayCluster struct {
	Metadata Meta `json:"metadata"`
	Spec     struct {
		RayVersion  string `json:"rayVersion"`
		AuthOptions struct {
			Mode string `json:"mode"`
		} `json:"authOptions"`
	} `json:"spec"`
	Status struct {
		Conditions []Condition `json:"conditions"`
		Head       struct {
			PodName     string `json:"podName"`
			ServiceName string `json:"serviceName"`
		} `json:"head"`
		Reason string `json:"reason"`
	} `json:"status"`
}

// Heads are those of a namespace's RayClusters, by KubeRay; where there is no KubeRay, or its objects may not be read,
// those of the services that carry its labels.
func (c *Client) Heads(ctx context.Context, namespace string) ([]Head, error) {
	var list struct {
		Items []rayCluster `json:"items"`
	}
	err := c.get(ctx, CollectionPath("ray.io/v1", namespace, "rayclusters"), nil, &list)
	if code := Code(err); code == 403 || code == 404 {
		return c.headServices(ctx, namespace)
	}
	heads := make([]Head, 0, len(list.Items))
	for _, r := range list.Items {
		heads = append(heads, r.head())
	}
	return heads, err
}

func (r *rayCluster) head() Head {
	h := Head{
		Cluster: r.Metadata.Name, Namespace: r.Metadata.Namespace, Pod: r.Status.Head.PodName,
		Service: orElse(r.Status.Head.ServiceName, HeadService(r.Metadata.Name)), RayVersion: r.Spec.RayVersion,
		Auth: r.Spec.AuthOptions.Mode == "token", Why: "its head has not started yet",
	}
	for _, cond := range r.Status.Conditions {
		if cond.Type == "HeadPodReady" {
			h.Ready = cond.Status == "True"
			h.Why = strings.TrimSuffix(cond.Reason+": "+cond.Message, ": ")
		}
	}
	if h.Ready {
		h.Why = ""
	} else if r.Status.Reason != "" {
		h.Why = r.Status.Reason
	}
	return h
}

// HeadService is how KubeRay names the service of a cluster's head.
func HeadService(cluster string) string { return cluster + "-head-svc" }

func (c *Client) headServices(ctx context.Context, namespace string) ([]Head, error) {
	var list struct {
		Items []struct {
			Metadata Meta `json:"metadata"`
		} `json:"items"`
	}
	query := url.Values{"labelSelector": {labelNodeType + "=head"}}
	if err := c.get(ctx, CollectionPath("v1", namespace, "services"), query, &list); err != nil {
		return nil, err
	}
	heads := make([]Head, 0, len(list.Items))
	for _, s := range list.Items {
		h := Head{Cluster: s.Metadata.Labels[labelCluster], Namespace: namespace, Service: s.Metadata.Name}
		if err := c.headPod(ctx, &h); err != nil {
			return nil, err
		}
		heads = append(heads, h)
	}
	return heads, nil
}

// headPod looks the pod behind a service up, where there is no RayCluster to ask.
func (c *Client) headPod(ctx context.Context, h *Head) error {
	pods, err := c.Pods(ctx, h.Namespace, map[string]string{labelCluster: h.Cluster, labelNodeType: "head"})
	if Code(err) == 403 {
		h.Ready = true // nobody says otherwise
		return nil
	}
	if err != nil {
		return err
	}
	p := newest(pods)
	if p == nil {
		h.Why = "it has no head pod"
		return nil
	}
	h.Pod, h.Ready = p.Metadata.Name, ready(p)
	if !h.Ready {
		h.Why = orElse(explainPod(p, nil), "its head pod is not ready yet")
	}
	return nil
}

func ready(p *Pod) bool {
	for _, cond := range p.Status.Conditions {
		if cond.Type == "Ready" {
			return cond.Status == "True"
		}
	}
	return false
}

// FindHead finds the head of a RayCluster; of the only one in the namespace when cluster is "".
func (c *Client) FindHead(ctx context.Context, namespace, cluster string) (Head, error) {
	heads, err := c.Heads(ctx, namespace)
	if err != nil {
		return Head{}, fmt.Errorf("look for a ray cluster in namespace %s: %w", namespace, err)
	}
	var names []string
	for _, h := range heads {
		if h.Cluster == cluster || cluster == "" && len(heads) == 1 {
			return h, nil
		}
		names = append(names, h.Cluster)
	}
	switch {
	case len(heads) == 0:
		return Head{}, fmt.Errorf("%w in namespace %s: create a RayCluster there, or name another namespace", ErrNoHead, namespace)
	case cluster == "":
		return Head{}, fmt.Errorf("several ray clusters in namespace %s: choose one of %s", namespace, strings.Join(names, ", "))
	}
	return Head{}, fmt.Errorf("%w %s in namespace %s: choose one of %s", ErrNoHead, cluster, namespace, strings.Join(names, ", "))
}
