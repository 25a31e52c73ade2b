package kube

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
)

// Rule is a single permission.
type Rule struct {
	Verb      string
	Group     string // "" for the core group
	Resource  string // with a subresource, as in pods/log
	Namespace string // "" for all namespaces, or for a resource without a namespace
	Name      string // "" for all names
}

// Allowed is the server's answer about a Rule.
type Allowed struct {
	Rule
	Allowed bool
	Reason  string
}

// String formats the rule, for example "create jobs.batch in namespace ml".
func (r Rule) String() string {
	text := r.Verb + " " + r.Resource
	if r.Group != "" {
		text += "." + r.Group
	}
	if r.Name != "" {
		text += "/" + r.Name
	}
	if r.Namespace != "" {
		text += " in namespace " + r.Namespace
	}
	return text
}

// Can asks the server which of the rules the client is allowed, with a SelfSubjectAccessReview for each.
func (c *Client) Can(ctx context.Context, rules []Rule) ([]Allowed, error) {
	all := make([]Allowed, 0, len(rules))
	for _, r := range rules {
		a, err := c.can(ctx, r)
		if err != nil {
			return all, err
		}
		all = append(all, a)
	}
	return all, nil
}

func (c *Client) can(ctx context.Context, r Rule) (Allowed, error) {
	resource, sub, _ := strings.Cut(r.Resource, "/")
	body, err := json.Marshal(map[string]any{
		"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
		"spec": map[string]any{"resourceAttributes": map[string]string{
			"verb": r.Verb, "group": r.Group, "resource": resource, "subresource": sub, "namespace": r.Namespace, "name": r.Name,
		}},
	})
	if err != nil {
		return Allowed{}, err
	}
	res, err := c.Do(ctx, Request{
		Method: http.MethodPost, Path: "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", Body: body,
	})
	if err != nil {
		return Allowed{}, err
	}
	var review struct {
		Status struct {
			Allowed bool   `json:"allowed"`
			Reason  string `json:"reason"`
		} `json:"status"`
	}
	err = json.Unmarshal(res.Body, &review)
	return Allowed{r, review.Status.Allowed, review.Status.Reason}, err
}
