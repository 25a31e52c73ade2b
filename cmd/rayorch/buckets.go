package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/objects"
)

// openBuckets returns the store in which distributed Maps read items and write results. where is the value of --buckets: "" for directories
// in the state directory, another directory, or the URL of an S3-compatible object store, used with the AWS CLI's credentials.
func openBuckets(ctx context.Context, where, stateDir, region string) (engine.Objects, error) {
	switch {
	case where == "":
		return objects.Dir{Root: filepath.Join(stateDir, "buckets")}, nil
	case !strings.HasPrefix(where, "http://") && !strings.HasPrefix(where, "https://"):
		root, err := filepath.Abs(where)
		return objects.Dir{Root: root}, err
	}
	var opts []func(*config.LoadOptions) error
	if region != "" {
		opts = append(opts, config.WithRegion(region))
	}
	cfg, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("load the AWS configuration for the buckets at %s: %w", where, err)
	}
	if cfg.Region == "" {
		cfg.Region = "us-east-1"
	}
	return objects.S3{Endpoint: strings.TrimSuffix(where, "/"), Region: cfg.Region, Credentials: cfg.Credentials}, nil
}
