package kube

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Labels that KubeRay sets on its objects.
const (
	labelNodeType = "ray.io/node-type"
	labelCluster  = "ray.io/cluster"
)

// Head is the head of a RayCluster.
type Head struct {
	Cluster, Namespace string
	Service            string
	Pod                string // "" if there is none yet
	Ready              bool
	// Why is the reason why a head is not ready.
	Why string
	// Auth reports whether Ray requires a token. The token is in the Secret with the name of the cluster.
	Auth bool
	// RayVersion is the version in the spec of the RayCluster.
	RayVersion string
}

// DashboardPort is the default port of Ray's dashboard and Jobs API.
const DashboardPort = 8265

// ErrNoHead is the error if there is no such Ray cluster.
var ErrNoHead = errors.New("no Ray cluster")

// rayCluster has the relevant fields of a RayCluster.
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

// Heads returns the heads of all RayClusters in a namespace. If the cluster has no KubeRay API, or the client is not allowed to
// read RayClusters, it finds heads by the labels of Services instead.
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

// head returns the head according to the status of the RayCluster.
func (r *rayCluster) head() Head {
	h := Head{
		Cluster: r.Metadata.Name, Namespace: r.Metadata.Namespace, Pod: r.Status.Head.PodName,
		Service: orElse(r.Status.Head.ServiceName, HeadService(r.Metadata.Name)), RayVersion: r.Spec.RayVersion,
		Auth: r.Spec.AuthOptions.Mode == "token", Why: "the head has not started yet",
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

// HeadService returns the name of the Service that KubeRay creates for the head of a cluster.
func HeadService(cluster string) string { return cluster + "-head-svc" }

// headServices finds heads by the labels of Services.
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

// headPod sets the pod and the readiness of a head that was found by its Service.
func (c *Client) headPod(ctx context.Context, h *Head) error {
	pods, err := c.Pods(ctx, h.Namespace, map[string]string{labelCluster: h.Cluster, labelNodeType: "head"})
	if Code(err) == 403 {
		h.Ready = true // assume so, because it cannot be checked
		return nil
	}
	if err != nil {
		return err
	}
	p := newest(pods)
	if p == nil {
		h.Why = "there is no head pod"
		return nil
	}
	h.Pod, h.Ready = p.Metadata.Name, ready(p)
	if !h.Ready {
		h.Why = orElse(explainPod(p, nil), "the head pod is not ready yet")
	}
	return nil
}

// ready reports whether a pod has the condition Ready.
func ready(p *Pod) bool {
	for _, cond := range p.Status.Conditions {
		if cond.Type == "Ready" {
			return cond.Status == "True"
		}
	}
	return false
}

// FindHead finds the head of a RayCluster. If cluster is "", the namespace must have exactly one.
func (c *Client) FindHead(ctx context.Context, namespace, cluster string) (Head, error) {
	heads, err := c.Heads(ctx, namespace)
	if err != nil {
		return Head{}, fmt.Errorf("find the Ray cluster in namespace %s: %w", namespace, err)
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
		return Head{}, fmt.Errorf("%w in namespace %s: create a RayCluster, or choose another namespace", ErrNoHead, namespace)
	case cluster == "":
		return Head{}, fmt.Errorf("several Ray clusters in namespace %s: choose one of %s", namespace, strings.Join(names, ", "))
	}
	return Head{}, fmt.Errorf("%w %s in namespace %s: choose one of %s", ErrNoHead, cluster, namespace, strings.Join(names, ", "))
}
