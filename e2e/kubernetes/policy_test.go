package kubernetes_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/rayorch/rayorch/internal/backend/kube"
)

// networkPolicy contains the fields that our NetworkPolicy uses. Decoding fails on any other field, such as a misspelled one.
type networkPolicy struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct {
		Name   string
		Labels map[string]string
	}
	Spec struct {
		PodSelector selector `yaml:"podSelector"`
		PolicyTypes []string `yaml:"policyTypes"`
		Ingress     []struct {
			From []struct {
				PodSelector       *selector `yaml:"podSelector"`
				NamespaceSelector *selector `yaml:"namespaceSelector"`
			}
			Ports []struct{ Port any }
		}
	}
}

type selector struct {
	MatchLabels map[string]string `yaml:"matchLabels"`
}

// TestNetworkPolicy compares the policy with the server's Deployment: a wrong label or port name would admit all clients, or none. It only
// reads the manifests, because the network plugin of the test cluster does not implement policies.
func TestNetworkPolicy(t *testing.T) {
	text, err := os.ReadFile("../../deploy/kubernetes/networkpolicy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var p networkPolicy
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&p); err != nil {
		t.Fatal(err)
	}
	d := deployment(t)
	labels, _ := kube.Field(d, "spec", "template", "metadata", "labels").(map[string]any)
	if len(p.Spec.PodSelector.MatchLabels) == 0 {
		t.Error("the policy selects all pods")
	}
	for name, v := range p.Spec.PodSelector.MatchLabels {
		if labels[name] != v {
			t.Errorf("the policy selects pods with %s=%s, the pods of the server have %v", name, v, labels[name])
		}
	}
	container := kube.Field(d, "spec", "template", "spec", "containers").([]any)[0]
	port := kube.Field(container.(map[string]any), "ports").([]any)[0].(map[string]any)["name"]
	if len(p.Spec.Ingress) != 1 || len(p.Spec.Ingress[0].Ports) != 1 || p.Spec.Ingress[0].Ports[0].Port != port {
		t.Errorf("the policy opens %+v, want only the server's port %v", p.Spec.Ingress, port)
	}
	for _, from := range p.Spec.Ingress[0].From {
		for _, one := range []*selector{from.PodSelector, from.NamespaceSelector} {
			if one != nil && one.MatchLabels["rayorch.dev/client"] != "true" {
				t.Errorf("the policy admits %+v, want only rayorch.dev/client=true", one)
			}
		}
	}
	if !slices.Equal(p.Spec.PolicyTypes, []string{"Ingress"}) || p.Kind != "NetworkPolicy" || p.APIVersion != "networking.k8s.io/v1" {
		t.Errorf("got %+v, want a NetworkPolicy of networking.k8s.io/v1 for Ingress", p)
	}
}

// TestManifestsAreComplete checks that kustomization.yaml lists every file, and that the access keys are mounted with a mode that serve
// accepts.
func TestManifestsAreComplete(t *testing.T) {
	files, err := filepath.Glob("../../deploy/kubernetes/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var k struct{ Resources []string }
	text, err := os.ReadFile("../../deploy/kubernetes/kustomization.yaml")
	if err == nil {
		err = yaml.Unmarshal(text, &k)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if name := filepath.Base(file); name != "kustomization.yaml" && !slices.Contains(k.Resources, name) {
			t.Errorf("kustomization.yaml does not list %s", name)
		}
	}
	for _, v := range kube.Field(deployment(t), "spec", "template", "spec", "volumes").([]any) {
		volume := v.(map[string]any)
		if secret, ok := volume["secret"].(map[string]any); ok && secret["defaultMode"] != 0o400 {
			t.Errorf("the volume %v has the mode %v, want 0400, so that other users cannot read it", volume["name"], secret["defaultMode"])
		}
	}
}

// deployment returns the Deployment of the server.
func deployment(t *testing.T) kube.Object {
	t.Helper()
	text, err := os.ReadFile("../../deploy/kubernetes/rayorch.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for dec := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var o kube.Object
		if err := dec.Decode(&o); err != nil {
			t.Fatalf("rayorch.yaml does not contain a Deployment: %v", err)
		}
		if kube.Kind(o) == "Deployment" {
			return o
		}
	}
}
