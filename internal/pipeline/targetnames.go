package pipeline

import (
	"regexp"
	"strings"
)

var dnsLabel = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// IsDNSLabel reports whether a text is a DNS label, as names of namespaces, Services and RayClusters are: it can become part of a host
// name and of a path.
func IsDNSLabel(s string) bool { return dnsLabel.MatchString(s) }

// WantDNSLabel says what a DNS label is.
const WantDNSLabel = "expected 1 to 63 lower-case letters, digits and dashes, with no dash at either end"

// rayNames checks the names from which addresses and paths of Ray are made: a/../../secrets would be another object's path.
func (c *checker) rayNames(path string, r RayTarget) {
	if r.Service != "" && !IsDNSLabel(r.Service) {
		c.report(join(path, "service"), "%q is not the name of a Service; "+WantDNSLabel, r.Service)
	}
	if r.Cluster != "" && !IsDNSLabel(r.Cluster) {
		c.report(join(path, "cluster"), "%q is not the name of a RayCluster; "+WantDNSLabel, r.Cluster)
	}
}

// reservedLabels and reservedAnnotations are set by rayorch, Kubernetes or KubeRay on what a run creates. They are how a run finds its
// objects, and how a service finds Ray's pods.
var (
	reservedLabels = []string{"app.kubernetes.io/managed-by", "rayorch.dev/*", "batch.kubernetes.io/*", "controller-uid", "job-name",
		"ray.io/*"}
	reservedAnnotations = []string{"rayorch.dev/*", "batch.kubernetes.io/*"}
)

// reserved reports keys that a file must not set.
func (c *checker) reserved(path string, m Map[string], names []string) {
	for _, e := range m.Entries {
		for _, name := range names {
			if prefix, all := strings.CutSuffix(name, "*"); e.Key == name || all && strings.HasPrefix(e.Key, prefix) {
				c.report(join(path, e.Key), "is reserved; rayorch, Kubernetes and KubeRay set %s", strings.Join(names, ", "))
			}
		}
	}
}

// pods checks what the pods of a target get.
func (c *checker) pods(path string, p *PodsTarget) {
	if p == nil {
		return
	}
	c.reserved(join(path, "labels"), p.Labels, reservedLabels)
	c.reserved(join(path, "annotations"), p.Annotations, reservedAnnotations)
}
