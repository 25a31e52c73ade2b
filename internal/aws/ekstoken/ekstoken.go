// Package ekstoken creates bearer tokens for Amazon EKS. A token is a presigned GetCallerIdentity request of STS. The cluster
// sends that request to find out the identity of the caller. Creating a token needs no API call, except to get credentials.
// The format is that of aws-iam-authenticator.
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
	// lifetime is how long a token is used: EKS accepts it for 15 minutes after it was signed, and a minute is left for the
	// request that uses it.
	lifetime = 14 * time.Minute
)

// Source creates tokens for a cluster and caches the current one. It is safe for concurrent use.
type Source struct {
	// Credentials are the credentials of the identity in the cluster.
	Credentials aws.CredentialsProvider
	// Region is the region of the cluster, whose STS endpoint is used.
	Region string
	// Cluster is the name of the cluster.
	Cluster string
	// Now defaults to time.Now.
	Now func() time.Time

	mu    sync.Mutex
	token string
	until time.Time
}

// Token returns a token that is valid for at least one more minute.
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
		return "", fmt.Errorf("create a token for the cluster %s: %w", s.Cluster, err)
	}
	s.token, s.until = token, until
	return token, nil
}

// mint creates a token. It uses the public endpoint of STS even if another endpoint is configured, for example with
// AWS_ENDPOINT_URL, because EKS accepts no other.
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
