package deploy

import (
	"context"
	"errors"
	"fmt"

	"github.com/rayorch/rayorch/internal/aws/stack"
	"github.com/rayorch/rayorch/internal/backend/kube"
)

// Deployment is what a deploy left, as its record tells it.
type Deployment struct {
	Record stack.Record
	Caller Caller
	// Outputs are the stack's; they follow from the record's names.
	Outputs map[string]string
}

// ErrNotDeployed says that no stack of the name is rayorch's.
var ErrNotDeployed = errors.New("is not deployed")

// Find reads a deployment's record off its stack, which may be gone or somebody else's: ErrNotDeployed.
func (d *Deployer) Find(ctx context.Context, name string, who Caller) (Deployment, error) {
	template, err := d.Template(ctx, name)
	if err != nil {
		return Deployment{}, err
	}
	record, ours, err := stack.ReadRecord(orEmpty(template))
	if err != nil {
		return Deployment{}, err
	}
	if !ours {
		return Deployment{}, fmt.Errorf("stack %s %w", name, ErrNotDeployed)
	}
	return Deployment{Record: record, Caller: who, Outputs: d.arns(record, who)}, nil
}

// Cluster opens a deployment's cluster as its admin role.
func (d *Deployer) Cluster(ctx context.Context, of Deployment) (*kube.Client, error) {
	return d.connect(ctx, target(of.Record), of.Caller)
}
