package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/rayorch/rayorch/internal/aws/ekstoken"
	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/task/ekstask"
	"github.com/rayorch/rayorch/internal/task/policy"
)

// eksRunner acts for Tasks of Step Functions' EKS integration: on contexts of the kubeconfig, and on clusters that a Task
// names by their endpoint, as EKS' own.
func (a *app) eksRunner(clusters []string, may policy.Policy) (*ekstask.Runner, error) {
	here := kube.Config{Kubeconfig: a.kubeconfig}
	named := map[string]kube.Config{}
	for _, pair := range clusters {
		name, context, ok := strings.Cut(pair, "=")
		if !ok || name == "" || context == "" {
			return nil, fail(exitUsage, "", "--eks-cluster %q must be NAME=CONTEXT", pair)
		}
		named[name] = kube.Config{Kubeconfig: a.kubeconfig, Context: context}
	}
	var tokens eksTokens
	return ekstask.New(ekstask.Config{
		Default: here, Clusters: named, Token: tokens.token, Policy: may, UserAgent: "rayorch/" + version,
	}), nil
}

// eksTokens makes tokens for clusters of EKS with the AWS credentials of this process, which are looked for when the first
// one is needed.
type eksTokens struct {
	mu      sync.Mutex
	sources map[string]*ekstoken.Source // by name and endpoint
}

func (e *eksTokens) token(ctx context.Context, cluster, endpoint string) (string, error) {
	source, err := e.source(ctx, cluster, endpoint)
	if err != nil {
		return "", err
	}
	return source.Token(ctx)
}

func (e *eksTokens) source(ctx context.Context, cluster, endpoint string) (*ekstoken.Source, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	key := cluster + " " + endpoint
	if s := e.sources[key]; s != nil {
		return s, nil
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("find AWS credentials: %w", err)
	}
	s := &ekstoken.Source{Credentials: cfg.Credentials, Region: eksRegion(endpoint), Cluster: cluster}
	if s.Region == "" {
		s.Region = cfg.Region
	}
	if s.Region == "" {
		return nil, fmt.Errorf("the region of the cluster %q is not known: set AWS_REGION, or lead its name to a context by --eks-cluster", cluster)
	}
	if e.sources == nil {
		e.sources = map[string]*ekstoken.Source{}
	}
	e.sources[key] = s
	return s, nil
}

// eksRegion reads the region out of an endpoint such as https://ID.gr7.eu-west-1.eks.amazonaws.com.
func eksRegion(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return ""
	}
	labels := strings.Split(u.Hostname(), ".")
	for i := 1; i < len(labels); i++ {
		if labels[i] == "eks" && strings.HasPrefix(strings.Join(labels[i+1:], "."), "amazonaws.com") {
			return labels[i-1]
		}
	}
	return ""
}
