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

// published is what of the published module a deploy replaces.
type published struct {
	// rbac is its second stack, which holds its objects in the cluster and the role; "" for none.
	rbac string
	// roles are its roles, whose mappings in aws-auth go.
	roles []string
	// marks are the labels of what it made in the cluster.
	marks []string
}

// replaces looks at the stack of the name: it may be ours, or the published module's, or not be there.
func (d *Deployer) replaces(ctx context.Context, name string) (published, error) {
	template, err := d.Template(ctx, name)
	if err != nil {
		return published{}, err
	}
	if _, ours, err := stack.ReadRecord(orEmpty(template)); err != nil {
		return published{}, err
	} else if template != nil && !ours && !isPublished(template) {
		return published{}, fmt.Errorf("stack %s %w: choose another name by --stack-name", name, ErrForeign)
	}
	// An earlier deploy may have replaced the first stack and been cut off before the second.
	rbac := name + "-rbac"
	second, err := d.Template(ctx, rbac)
	if err != nil || second == nil || !isPublished(second) {
		return published{}, err
	}
	d.say("stack %s is the published module's: it is replaced", name)
	marks := append(marksOf(template), marksOf(second)...)
	return published{rbac: rbac, roles: d.rolesOf(ctx, rbac), marks: marks}, nil
}

// isPublished recognises the CDK's way of making objects in a cluster, which the published module's stacks have both.
func isPublished(template []byte) bool { return len(marksOf(template)) > 0 }

// marksOf are the labels that the CDK puts on the objects of a template, one for each of its resources in the cluster; ""
// stands for a resource without.
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

// rolesOf are the ARNs that a stack gives out, the service account's role among them.
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

// leftKinds are where the published module makes objects under names that ours do not take over: the rights of its role in
// the namespace default and in the whole cluster, and its programs.
var leftKinds = []string{
	"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings",
	"/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles", "/api/v1/namespaces/%s/configmaps",
}

// sweepPublished takes those objects out of the cluster, and the published module's role out of aws-auth. The functions that
// would do so with its stacks may not run any more, as AWS disables their runtimes. It comes before the second stack goes,
// which tells of them: a sweep that is cut off is done again.
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
				continue // an empty selector would find everything
			}
			if err := d.patiently(ctx, func() error { return d.removeSelected(ctx, k, path, mark) }); err != nil {
				return refused(t, err)
			}
		}
	}
	dropped, err := d.mapRoles(ctx, k, func(text string) (string, error) { return DropMapping(text, old.roles...) })
	if dropped {
		d.say("aws-auth: %s is out", strings.Join(old.roles, ", "))
	}
	return refused(t, err)
}

// removePublished deletes the published module's second stack. It goes after the first, which imports the role from it,
// and before our objects come: deleting it deletes objects of the same names.
func (d *Deployer) removePublished(ctx context.Context, old published) error {
	if old.rbac == "" {
		return nil
	}
	d.say("deleting the published module's second stack %s", old.rbac)
	if err := d.Destroy(ctx, old.rbac); err != nil {
		return fmt.Errorf("replace the published module's stack %s: %w", old.rbac, err)
	}
	return nil
}
