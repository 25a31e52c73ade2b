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

// buckets returns the store in which distributed Maps read items and write results. where is the value of --buckets: "" for directories
// in the state directory, another directory, or the URL of an S3-compatible object store, used with the AWS CLI's credentials.
func (a *app) buckets(ctx context.Context, where, stateDir string) (engine.Objects, error) {
	switch {
	case where == "":
		return objects.Dir{Root: filepath.Join(stateDir, "buckets")}, nil
	case !strings.HasPrefix(where, "http://") && !strings.HasPrefix(where, "https://"):
		root, err := filepath.Abs(where)
		return objects.Dir{Root: root}, err
	}
	var opts []func(*config.LoadOptions) error
	if a.region != "" {
		opts = append(opts, config.WithRegion(a.region))
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
