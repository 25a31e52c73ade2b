package main

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/rayorch/rayorch/internal/kube"
)

// quota tells of quotas that are used up.
func (d *clusterDoctor) quota(ctx context.Context) {
	var list struct {
		Items []struct {
			Metadata kube.Meta
			Status   struct{ Hard, Used map[string]string }
		}
	}
	res, err := d.c.Do(ctx, kube.Request{Path: kube.CollectionPath("v1", d.r.Namespace, "resourcequotas")})
	if err != nil || json.Unmarshal(res.Body, &list) != nil {
		return // who may not read quotas meets them all the same
	}
	for _, q := range list.Items {
		var full []string
		for what, hard := range q.Status.Hard {
			if used := q.Status.Used[what]; quantity(used) >= quantity(hard) {
				full = append(full, what+" "+used+" of "+hard)
			}
		}
		slices.Sort(full)
		d.add("quota "+q.Metadata.Name, false, len(full) == 0, "pods of the pipeline may have to wait: raise it, or end what uses it",
			"%s", cmp.Or(strings.Join(full, ", "), "has room"))
		if len(full) > 0 {
			d.checks[len(d.checks)-1].Found = "used up: " + strings.Join(full, ", ")
		}
	}
}

// quantity is a Kubernetes quantity as a number: 500m is 0.5, 2Ki is 2048. What is not a quantity is 0.
func quantity(text string) float64 {
	q, err := resource.ParseQuantity(text)
	if err != nil {
		return 0
	}
	return q.AsApproximateFloat64()
}
