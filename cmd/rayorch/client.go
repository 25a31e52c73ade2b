package main

import (
	"context"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/rayorch/rayorch/internal/api/client"
)

// isRemote reports whether the command uses a remote API (--endpoint or --aws) instead of a state directory.
func (a *app) isRemote() bool { return a.aws.on || a.endpoint != "" }

// awsClient returns a client for AWS or for --endpoint, with the AWS CLI's configuration.
func (a *app) awsClient(ctx context.Context) (*client.Client, error) {
	if a.aws.on {
		cfg, err := a.aws.config(ctx)
		if err != nil {
			return nil, err
		}
		return client.AWS(cfg), nil
	}
	cfg, err := a.aws.load(ctx)
	if err != nil {
		return nil, err
	}
	if os.Getenv("AWS_ACCESS_KEY_ID") == "" && a.aws.profile == "" && !hasSharedConfig() {
		cfg.Credentials = nil // otherwise the SDK would query the instance metadata service for credentials
	}
	return client.Endpoint(cfg, a.endpoint), nil
}

// awsFlags are the global flags for AWS.
type awsFlags struct {
	on              bool // --aws
	region, profile string
}

// config returns the AWS CLI's configuration. A missing region is an error, because AWS endpoints are regional.
func (f awsFlags) config(ctx context.Context) (aws.Config, error) {
	cfg, err := f.load(ctx)
	if err == nil && cfg.Region == "" {
		err = fail(exitUsage, "set one with --region or AWS_REGION", "no AWS region is set")
	}
	return cfg, err
}

// load finds credentials and region as the AWS CLI does. --region and --profile take precedence.
func (f awsFlags) load(ctx context.Context) (aws.Config, error) {
	var opts []func(*config.LoadOptions) error
	if f.region != "" {
		opts = append(opts, config.WithRegion(f.region))
	}
	if f.profile != "" {
		opts = append(opts, config.WithSharedConfigProfile(f.profile))
	}
	cfg, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return cfg, fmt.Errorf("load the AWS configuration: %w", err)
	}
	return cfg, nil
}

// hasSharedConfig reports whether the AWS CLI has a configuration file or a credentials file.
func hasSharedConfig() bool {
	for _, path := range []string{config.DefaultSharedConfigFilename(), config.DefaultSharedCredentialsFilename()} {
		if _, err := os.Stat(path); err == nil {
			return true
		}
	}
	return false
}

// apiError adds to an error of the API what failed, and shortens it to one line.
func apiError(what string, err error) error { return client.Wrap(what, err) }

// isAnswer reports whether an error is a response of the API, as opposed to a failure to reach it.
func isAnswer(err error) bool { return client.IsAnswer(err) }
