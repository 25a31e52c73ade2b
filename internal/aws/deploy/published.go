package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/aws/stack"
)

// published describes a deployment of the published module that is being replaced.
type published struct {
	// rbac is the name of its second stack, which contains its objects in the cluster and the pods' role; "" if there is
	// nothing to replace.
	rbac string
	// roles are the ARNs of its roles, to be removed from aws-auth.
	roles []string
	// marks are the labels of its objects in the cluster.
	marks []string
}

// replaces returns what a deployment to the stack replaces: nothing if the stack does not exist or is rayorch's, or else the
// published module. For any other stack, the error wraps ErrForeign.
func (d *Deployer) replaces(ctx context.Context, name string) (published, error) {
	template, err := d.Template(ctx, name)
	if err != nil {
		return published{}, err
	}
	if _, ours, err := stack.ReadRecord(orEmpty(template)); err != nil {
		return published{}, err
	} else if template != nil && !ours && !isPublished(template) {
		return published{}, fmt.Errorf("stack %s %w: choose another name with --stack-name", name, ErrForeign)
	}
	// Check the second stack even if the first is rayorch's: an earlier deployment may have been interrupted after the first.
	rbac := name + "-rbac"
	second, err := d.Template(ctx, rbac)
	if err != nil || second == nil || !isPublished(second) {
		return published{}, err
	}
	d.printf("replacing stack %s of the published module", name)
	marks := append(marksOf(template), marksOf(second)...)
	return published{rbac: rbac, roles: d.rolesOf(ctx, rbac), marks: marks}, nil
}

// isPublished reports whether a template may be one of the published module: both of its stacks contain custom resources of
// the CDK that create objects in a cluster.
func isPublished(template []byte) bool { return len(marksOf(template)) > 0 }

// marksOf returns the labels that the CDK adds to the cluster objects of a template, one for each custom resource that creates
// such objects; "" for a resource without a label.
func marksOf(template []byte) []string {
	var t struct {
		Resources map[string]struct {
			Type       string
			Properties struct{ PruneLabel string }
		}
	}
	if json.Unmarshal(template, &t) != nil {
		return nil
	}
	var marks []string
	for _, id := range slices.Sorted(maps.Keys(t.Resources)) {
		if r := t.Resources[id]; strings.HasPrefix(r.Type, "Custom::AWSCDK-EKS-KubernetesResource") {
			marks = append(marks, r.Properties.PruneLabel)
		}
	}
	return marks
}

// rolesOf returns the ARNs of roles in the outputs of a stack, which include the role of the service account.
func (d *Deployer) rolesOf(ctx context.Context, name string) []string {
	outputs, err := d.Outputs(ctx, name)
	if err != nil {
		return nil
	}
	var roles []string
	for _, v := range outputs {
		if strings.Contains(v, ":role/") {
			roles = append(roles, v)
		}
	}
	return roles
}

// leftKinds are the API paths of objects of the published module whose names differ from rayorch's, so that applying does not
// take them over: the permissions of its role in the namespace default and in the cluster, and the ConfigMaps with programs.
var leftKinds = []string{
	"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings",
	"/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles", "/api/v1/namespaces/%s/configmaps",
}

// sweepPublished deletes those objects from the cluster and removes the published module's role from aws-auth. The functions
// that would do this when its stacks are deleted may no longer run, because AWS disables their runtimes. sweepPublished must
// run before the second stack is deleted, whose template lists the objects: if it is interrupted, it can run again.
func (d *Deployer) sweepPublished(ctx context.Context, p Plan, old published) error {
	if old.rbac == "" {
		return nil
	}
	t := target(p.Stack.Record)
	k, err := d.connect(ctx, t, p.Caller)
	if err != nil {
		return err
	}
	for _, kind := range leftKinds {
		path := strings.Replace(kind, "%s", p.Stack.Record.Namespace, 1)
		for _, mark := range old.marks {
			if mark == "" {
				continue // an empty selector would match all objects
			}
			if err := d.retry(ctx, func() error { return d.removeSelected(ctx, k, path, mark) }); err != nil {
				return refused(t, err)
			}
		}
	}
	dropped, err := d.mapRoles(ctx, k, func(text string) (string, error) { return DropMapping(text, old.roles...) })
	if dropped {
		d.printf("aws-auth: removed %s", strings.Join(old.roles, ", "))
	}
	return refused(t, err)
}

// removePublished deletes the second stack of the published module. It must run after the update of the first stack, which
// imported the role from it, and before objects are applied, because deleting it deletes objects of the same names.
func (d *Deployer) removePublished(ctx context.Context, old published) error {
	if old.rbac == "" {
		return nil
	}
	d.printf("deleting the second stack of the published module, %s", old.rbac)
	if err := d.Destroy(ctx, old.rbac); err != nil {
		return fmt.Errorf("replace the published module's stack %s: %w", old.rbac, err)
	}
	return nil
}
