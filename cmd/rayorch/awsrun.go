package main

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/rayorch/rayorch/internal/aws/deploy"
	"github.com/rayorch/rayorch/internal/backend/kube"
)

// deployment finds what rayorch deploy created, by the record that it keeps in the stack: only the stack's name is needed.
func (a *app) deployment(ctx context.Context, o awsOptions) (*deploy.Deployer, deploy.Deployment, error) {
	if o.path == "" && isPipeline(".") {
		o.path = "."
	}
	name, err := a.stackName(o)
	if err != nil {
		return nil, deploy.Deployment{}, err
	}
	d, who, err := a.deployer(ctx)
	if err != nil {
		return nil, deploy.Deployment{}, err
	}
	found, err := d.Find(ctx, name, who)
	if errors.Is(err, deploy.ErrNotDeployed) {
		err = fail(exitError, "create it with rayorch deploy, or name another stack with --stack-name", "%w", err)
	}
	return d, found, err
}

// onAWS reports whether a command is about a deployment on AWS: because of --aws, or of a target of kind aws.
func (a *app) onAWS(o sourceOptions) bool { return a.aws.on || a.forAWS(o) }

// runOnAWS starts the state machine that deploy created and watches the execution. It does not deploy: a changed pipeline file has no
// effect until the next rayorch deploy.
func (a *app) runOnAWS(ctx context.Context, o runOptions) error {
	w := newWatcher(a.out, o.follow)
	defer w.screen.Close()
	_, found, err := a.deployment(ctx, awsOptions{path: o.source.path, stackName: o.stackName})
	if err != nil {
		return err
	}
	a.aws.on = true
	return a.with(ctx, ownerOptions{}, func(s *session) (err error) {
		machine := found.Outputs["StateMachineArn"]
		input, err := s.deployedInput(ctx, machine, o)
		if err != nil {
			return err
		}
		arn, err := s.client.Start(ctx, "run", machine, cmp.Or(o.name, runName(time.Now())), input)
		if err != nil {
			return err
		}
		w.screen.Printf("run %s/%s", nameOf(machine), nameOf(arn))
		if o.detach {
			return s.detach(ctx, arn)
		}
		return w.watchToEnd(ctx, s, arn, o.wait)
	})
}

// deployedInput returns the input of a run. If the pipeline file can be read, the parameters are checked against it; otherwise they have
// the types that the definition's Comment declares, as in rayorch start. The published workload has no pipeline file here, and no
// parameters.
func (s *session) deployedInput(ctx context.Context, machine string, o runOptions) (string, error) {
	src, err := s.app.load(o.source)
	if err == nil {
		input, err := src.input(o.params, o.file)
		return string(input), err
	}
	if o.source.path != "" || o.file != "" {
		return "", err
	}
	return s.startInput(ctx, machine, startOptions{params: o.params})
}

// awsHead finds the head of the Ray that a deployment submits to. It uses an EKS token of the cluster's admin role and goes through the
// API server, so that neither a kubeconfig nor a load balancer is needed.
func (a *app) awsHead(ctx context.Context, o dashboardOptions) (*headService, error) {
	d, found, err := a.deployment(ctx, awsOptions{path: o.source.path, stackName: o.stackName})
	if err != nil {
		return nil, err
	}
	c, err := d.Cluster(ctx, found)
	if err != nil {
		return nil, err
	}
	if o.service != "" {
		return &headService{client: c, name: o.service, port: kube.DashboardPort}, nil
	}
	h, err := headOf(ctx, c, o.cluster)
	if err == nil || o.cluster != "" {
		return h, err
	}
	// There may be no RayCluster, or several. The published ray-cluster module's head has a service of a known name.
	return &headService{client: c, name: publishedService, port: kube.DashboardPort}, nil
}

// publishedService is the service of Ray's head that the published ray-cluster module creates: the default of --ray-service.
const publishedService = "kuberay-head-svc"
