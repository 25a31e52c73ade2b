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

// newEKSRunner returns the runner for Tasks of Step Functions' EKS integration. clusters are the values of --eks-cluster. A Task can
// also use the current context of the kubeconfig, or name an EKS cluster by its endpoint.
func newEKSRunner(kubeconfig string, clusters []string, may policy.Policy) (*ekstask.Runner, error) {
	here := kube.Config{Kubeconfig: kubeconfig}
	named := map[string]kube.Config{}
	for _, pair := range clusters {
		name, context, ok := strings.Cut(pair, "=")
		if !ok || name == "" || context == "" {
			return nil, fail(exitUsage, "", "--eks-cluster must be NAME=CONTEXT, got %q", pair)
		}
		named[name] = kube.Config{Kubeconfig: kubeconfig, Context: context}
	}
	var tokens eksTokens
	return ekstask.New(ekstask.Config{
		Default: here, Clusters: named, Token: tokens.token, Policy: may, UserAgent: "rayorch/" + version,
	}), nil
}

// eksTokens creates tokens for EKS clusters with the AWS credentials of this process. It looks for credentials when the first token is
// needed.
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

// source returns the source of tokens for a cluster. Sources are kept, because each caches its token.
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
		return nil, fmt.Errorf("the region of the cluster %q is not known: set AWS_REGION, or map its name to a context with --eks-cluster", cluster)
	}
	if e.sources == nil {
		e.sources = map[string]*ekstoken.Source{}
	}
	e.sources[key] = s
	return s, nil
}

// eksRegion returns the region in an endpoint such as https://ID.gr7.eu-west-1.eks.amazonaws.com, or "".
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
