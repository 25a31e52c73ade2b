package main

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/rayorch/rayorch/internal/aws/deploy"
	"github.com/rayorch/rayorch/internal/backend/kube"
)

// deployment is what a deploy left on AWS, found again by its record in the stack: no parameter is needed a second time.
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
		err = fail(exitError, "rayorch deploy makes it; --stack-name names another", "%w", err)
	}
	return d, found, err
}

// onAWS says whether a command means what is deployed: by --aws, or by a target of kind aws.
func (a *app) onAWS(o sourceOptions) bool { return a.aws || a.forAWS(o) }

// runOnAWS starts the state machine that deploy made and watches it. It deploys nothing: what runs is what is there.
func (a *app) runOnAWS(ctx context.Context, o runOptions) error {
	w := a.newWatcher(o.follow)
	defer w.screen.Close()
	_, found, err := a.deployment(ctx, awsOptions{path: o.source.path, stackName: o.stackName})
	if err != nil {
		return err
	}
	a.aws = true
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
		w.screen.Say("run %s/%s", nameOf(machine), nameOf(arn))
		if o.detach {
			return a.detach(ctx, s, arn)
		}
		return a.watchToEnd(ctx, s, arn, w, o.wait)
	})
}

// deployedInput checks the parameters against the pipeline where it is at hand. The published workload's is not, and has
// none that a file could hold.
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

// awsHead is the head of the Ray that a deployment submits to, reached as its admin role: by a token of EKS, through the
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
	// The published ray-cluster module's head may be no RayCluster of this namespace's only one: its service has a name.
	return &headService{client: c, name: publishedService, port: kube.DashboardPort}, nil
}

// publishedService is the service of Ray's head where no parameter says otherwise.
const publishedService = "kuberay-head-svc"
