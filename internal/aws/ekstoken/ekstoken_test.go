package ekstoken_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/rayorch/rayorch/internal/aws/ekstoken"
)

var keys = credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", "session")

func mint(t *testing.T, region string) *url.URL {
	t.Helper()
	s := &ekstoken.Source{Credentials: keys, Region: region, Cluster: "my-cluster"}
	token, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text, ok := strings.CutPrefix(token, "k8s-aws-v1.")
	if !ok || len(token) > 4096 {
		t.Fatalf("%s (%d bytes)", token, len(token))
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(string(raw))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestToken verifies what the authenticator of a cluster requires.
func TestToken(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1") // must not appear in tokens
	for region, host := range map[string]string{
		"eu-west-1": "sts.eu-west-1.amazonaws.com", "cn-north-1": "sts.cn-north-1.amazonaws.com.cn", "us-gov-west-1": "sts.us-gov-west-1.amazonaws.com",
	} {
		u := mint(t, region)
		q := u.Query()
		if u.Scheme != "https" || u.Host != host || q.Get("Action") != "GetCallerIdentity" || q.Get("X-Amz-Expires") != "60" ||
			q.Get("X-Amz-SignedHeaders") != "host;x-k8s-aws-id" || !strings.Contains(q.Get("X-Amz-Credential"), region) {
			t.Errorf("%s: %s", region, u)
		}
	}
}

// TestCached verifies that a token is reused for 14 minutes.
func TestCached(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	retrieved := 0
	s := &ekstoken.Source{Region: "eu-west-1", Cluster: "c", Now: func() time.Time { return now },
		Credentials: aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
			retrieved++
			return keys.Retrieve(ctx)
		})}
	for _, c := range []struct {
		after time.Duration
		made  bool
	}{{0, true}, {13 * time.Minute, false}, {14 * time.Minute, true}} {
		before := retrieved
		now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(c.after)
		if _, err := s.Token(t.Context()); err != nil || (retrieved > before) != c.made {
			t.Errorf("after %s: a new token was created: %v, want %v (%v)", c.after, retrieved > before, c.made, err)
		}
	}
}

func TestNoCredentials(t *testing.T) {
	s := &ekstoken.Source{Region: "eu-west-1", Cluster: "c",
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, errors.New("none") })}
	if _, err := s.Token(t.Context()); err == nil || !strings.Contains(err.Error(), "create a token for the cluster c") {
		t.Error(err)
	}
}
