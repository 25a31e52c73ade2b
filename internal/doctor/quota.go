package doctor

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/rayorch/rayorch/internal/backend/kube"
)

// quota checks for ResourceQuotas that are used up, for any resource: a pod that exceeds a quota waits until the pendingTimeout of
// its step.
func (c *Cluster) quota(ctx context.Context) []Finding {
	var list struct {
		Items []struct {
			Metadata kube.Meta
			Status   struct{ Hard, Used map[string]string }
		}
	}
	res, err := c.client.Do(ctx, kube.Request{Path: kube.CollectionPath("v1", c.Compiled.Namespace, "resourcequotas")})
	if err != nil || json.Unmarshal(res.Body, &list) != nil {
		return nil // many users cannot read quotas
	}
	var findings []Finding
	for _, q := range list.Items {
		f := Finding{Object: q.Metadata.Name, OK: true, Text: "has room"}
		if full := usedUp(q.Status.Hard, q.Status.Used); len(full) > 0 {
			f.OK, f.Text = false, "used up: "+strings.Join(full, ", ")
		}
		findings = append(findings, f)
	}
	return findings
}

// usedUp returns the resources of a quota that are used up, sorted by name, such as "cpu 2000m of 2".
func usedUp(hard, used map[string]string) []string {
	var full []string
	for what, limit := range hard {
		if quantity(used[what]) >= quantity(limit) {
			full = append(full, what+" "+used[what]+" of "+limit)
		}
	}
	slices.Sort(full)
	return full
}

// quantity parses a Kubernetes quantity: 500m is 0.5, 2Ki is 2048. Invalid text is 0.
func quantity(text string) float64 {
	q, err := resource.ParseQuantity(text)
	if err != nil {
		return 0
	}
	return q.AsApproximateFloat64()
}
