package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/rayorch/rayorch/internal/stack"
)

// published is what of the published module a deploy replaces.
type published struct {
	// rbac is its second stack, which holds its objects in the cluster and the role; "" for none.
	rbac string
	// roles are its roles, whose mappings in aws-auth go.
	roles []string
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
	return published{rbac: rbac, roles: d.rolesOf(ctx, rbac)}, nil
}

// isPublished recognises the CDK's way of making objects in a cluster, which the published module's stacks have both.
func isPublished(template []byte) bool {
	var t struct {
		Resources map[string]struct{ Type string }
	}
	if json.Unmarshal(template, &t) != nil {
		return false
	}
	for _, r := range t.Resources {
		if strings.HasPrefix(r.Type, "Custom::AWSCDK-EKS-KubernetesResource") {
			return true
		}
	}
	return false
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
