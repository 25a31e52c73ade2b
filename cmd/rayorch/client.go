package main

import (
	"context"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/rayorch/rayorch/internal/api/client"
)

// elsewhere says that a command means another API than the owner of a state directory here.
func (a *app) elsewhere() bool { return a.aws || a.endpoint != "" }

// awsClient speaks to AWS, or to --endpoint, with the AWS CLI's own configuration.
func (a *app) awsClient(ctx context.Context) (*client.Client, error) {
	if a.aws {
		cfg, err := a.awsConfig(ctx)
		if err != nil {
			return nil, err
		}
		return client.AWS(cfg), nil
	}
	cfg, err := a.loadAWS(ctx)
	if err != nil {
		return nil, err
	}
	if os.Getenv("AWS_ACCESS_KEY_ID") == "" && a.profile == "" && !hasSharedConfig() {
		cfg.Credentials = nil // the SDK would look for some of the machine's
	}
	return client.Endpoint(cfg, a.endpoint), nil
}

// awsConfig is the AWS CLI's own configuration, with a region: without one AWS has no address.
func (a *app) awsConfig(ctx context.Context) (aws.Config, error) {
	cfg, err := a.loadAWS(ctx)
	if err == nil && cfg.Region == "" {
		err = fail(exitUsage, "name one by --region or AWS_REGION", "no AWS region is set")
	}
	return cfg, err
}

// loadAWS finds credentials and region as the AWS CLI does, the flags going before what it finds.
func (a *app) loadAWS(ctx context.Context) (aws.Config, error) {
	var opts []func(*config.LoadOptions) error
	if a.region != "" {
		opts = append(opts, config.WithRegion(a.region))
	}
	if a.profile != "" {
		opts = append(opts, config.WithSharedConfigProfile(a.profile))
	}
	cfg, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return cfg, fmt.Errorf("load the AWS configuration: %w", err)
	}
	return cfg, nil
}

func hasSharedConfig() bool {
	for _, path := range []string{config.DefaultSharedConfigFilename(), config.DefaultSharedCredentialsFilename()} {
		if _, err := os.Stat(path); err == nil {
			return true
		}
	}
	return false
}

// apiError is an API's answer in one line.
func apiError(what string, err error) error { return client.Wrap(what, err) }

// isAnswer says that an error is the API's answer, and not that the API is out of reach.
func isAnswer(err error) bool { return client.IsAnswer(err) }
