package deploy

import (
	"context"
	"errors"
	"fmt"

	"github.com/rayorch/rayorch/internal/aws/stack"
	"github.com/rayorch/rayorch/internal/backend/kube"
)

// Deployment describes an existing deployment.
type Deployment struct {
	Record stack.Record
	Caller Caller
	// Outputs are the outputs of the stack, derived from the names in the record.
	Outputs map[string]string
}

// ErrNotDeployed is the error if there is no stack of the given name that rayorch created.
var ErrNotDeployed = errors.New("is not deployed")

// Find reads the record of a deployment from its stack. The error wraps ErrNotDeployed if the stack does not exist or
// rayorch did not create it.
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

// Cluster connects to the cluster of a deployment with the admin role.
func (d *Deployer) Cluster(ctx context.Context, of Deployment) (*kube.Client, error) {
	return d.connect(ctx, target(of.Record), of.Caller)
}
