package pipeline

import (
	"regexp"
	"strings"
)

var dnsLabel = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// IsDNSLabel reports whether s is a DNS label. The names of namespaces, Services and RayClusters are DNS labels, so that they can be
// part of a host name and of a URL path.
func IsDNSLabel(s string) bool { return dnsLabel.MatchString(s) }

// WantDNSLabel describes a DNS label, for error messages.
const WantDNSLabel = "expected 1 to 63 lower-case letters, digits and dashes, with no dash at either end"

// rayNames checks the names that become part of Ray's addresses and URL paths. Otherwise, a name such as a/../../secrets would address
// another object.
func (c *checker) rayNames(path string, r RayTarget) {
	if r.Service != "" && !IsDNSLabel(r.Service) {
		c.report(join(path, "service"), "%q is not a valid Service name; "+WantDNSLabel, r.Service)
	}
	if r.Cluster != "" && !IsDNSLabel(r.Cluster) {
		c.report(join(path, "cluster"), "%q is not a valid RayCluster name; "+WantDNSLabel, r.Cluster)
	}
}

// reservedLabels and reservedAnnotations are set by rayorch, Kubernetes or KubeRay on the objects that a run creates. A run finds its
// objects by them, and a Service finds Ray's pods.
var (
	reservedLabels = []string{"app.kubernetes.io/managed-by", "rayorch.dev/*", "batch.kubernetes.io/*", "controller-uid", "job-name",
		"ray.io/*"}
	reservedAnnotations = []string{"rayorch.dev/*", "batch.kubernetes.io/*"}
)

// reserved reports keys that match one of the reserved names. A name that ends in * is a prefix.
func (c *checker) reserved(path string, m Map[string], names []string) {
	for _, e := range m.Entries {
		for _, name := range names {
			if prefix, all := strings.CutSuffix(name, "*"); e.Key == name || all && strings.HasPrefix(e.Key, prefix) {
				c.report(join(path, e.Key), "is reserved; rayorch, Kubernetes and KubeRay set %s", strings.Join(names, ", "))
			}
		}
	}
}

// pods checks the labels and annotations of a target's pods.
func (c *checker) pods(path string, p *PodsTarget) {
	if p == nil {
		return
	}
	c.reserved(join(path, "labels"), p.Labels, reservedLabels)
	c.reserved(join(path, "annotations"), p.Annotations, reservedAnnotations)
}
