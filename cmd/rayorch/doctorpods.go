package main

import (
	"strings"

	"github.com/rayorch/rayorch/internal/kube"
)

// podSecurity reports which pods the namespace refuses by the Pod Security Standard that it enforces. A namespace without the label, or
// one that may not be read, says nothing.
func (d *clusterDoctor) podSecurity(namespace kube.Object) {
	labels, _ := kube.Field(namespace, "metadata", "labels").(map[string]any)
	level, _ := labels["pod-security.kubernetes.io/enforce"].(string)
	if level == "" {
		return
	}
	refused := 0
	for _, p := range d.r.Pods {
		if why := p.Refused(level); len(why) > 0 {
			refused++
			d.add("pod security", true, false, "change or remove securityContext in the pipeline file: the default is admitted",
				"the namespace enforces %s and rejects the pods of %s: %s", level, p.Of, strings.Join(why, ", "))
		}
	}
	if refused == 0 {
		d.add("pod security", true, true, "", "the namespace enforces %s and admits the pods", level)
	}
}
