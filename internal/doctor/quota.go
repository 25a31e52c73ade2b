package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

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
	number := strings.TrimRight(text, "numkKMGTPEi")
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0
	}
	suffix := strings.TrimPrefix(text, number)
	if small := strings.Index("mun", suffix); suffix != "" && small >= 0 {
		for range small + 1 {
			n /= 1000
		}
		return n
	}
	base := 1000.0
	if strings.HasSuffix(suffix, "i") {
		base = 1024
	}
	for range strings.Index(" KMGTPE", strings.ToUpper(cmp.Or(strings.TrimSuffix(suffix, "i"), " "))) {
		n *= base
	}
	return n
}
