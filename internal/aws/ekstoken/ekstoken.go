// Package ekstoken makes the bearer tokens that Amazon EKS takes: a presigned STS GetCallerIdentity request, which the
// cluster sends on to learn who asks. No call is made for one. Deploying and the eks task runner use it.
package ekstoken

import (
	"context"
	"encoding/base64"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const (
	prefix        = "k8s-aws-v1."
	clusterHeader = "x-k8s-aws-id"
	// lifetime is what EKS grants a token from its signing on, less a minute for the request that carries it.
	lifetime = 14 * time.Minute
)

// Source makes tokens for one cluster and keeps each while it is good. It is safe for concurrent use.
type Source struct {
	// Credentials are those of the identity that the cluster is to see.
	Credentials aws.CredentialsProvider
	// Region is the cluster's: STS is asked there.
	Region string
	// Cluster is the cluster's name.
	Cluster string
	// Now defaults to time.Now.
	Now func() time.Time

	mu    sync.Mutex
	token string
	until time.Time
}

// Token is a token that is good for some minutes at least.
func (s *Source) Token(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	if s.token != "" && now().Before(s.until) {
		return s.token, nil
	}
	until := now().Add(lifetime)
	token, err := s.mint(ctx)
	if err != nil {
		return "", fmt.Errorf("make a token for the cluster %s: %w", s.Cluster, err)
	}
	s.token, s.until = token, until
	return token, nil
}

// mint presigns by STS's public address, whatever endpoint this process uses itself: EKS takes no other.
func (s *Source) mint(ctx context.Context) (string, error) {
	client := sts.NewPresignClient(sts.New(sts.Options{Region: s.Region, Credentials: s.Credentials}))
	signed, err := client.PresignGetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}, func(o *sts.PresignOptions) {
		o.ClientOptions = append(o.ClientOptions, sts.WithAPIOptions(
			smithyhttp.SetHeaderValue(clusterHeader, s.Cluster),
			smithyhttp.SetHeaderValue("X-Amz-Expires", "60"),
		))
	})
	if err != nil {
		return "", err
	}
	return prefix + base64.RawURLEncoding.EncodeToString([]byte(signed.URL)), nil
}
