// Package client is the client of the commands for all kinds of servers: the owner of the state directory, a server at --endpoint,
// and AWS. It calls the Step Functions API through the AWS SDK, and rayorch's own paths (docs/serve.md) with one typed method
// each. The table in paths.go defines what happens if a server does not have a path, so that neither the methods nor the commands
// branch on the kind of server. The commands find the owner, or become it, in cmd/rayorch/session.go.
package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/rayorch/rayorch/internal/engine/home"
)

// kind is the kind of server that a client connects to. The table in paths.go has one column for each.
type kind int

const (
	// socket is the owner of a state directory: a rayorch process of the same user, possibly this process.
	socket kind = iota
	// endpoint is a server at --endpoint: rayorch of any release, or another implementation of the Step Functions API.
	endpoint
	// amazon is AWS, which has none of rayorch's own paths.
	amazon
	kinds
)

// Client is a client of one server. It is safe for concurrent use.
type Client struct {
	// SFN calls the actions of the Step Functions API.
	SFN *sfn.Client

	kind  kind
	owner home.Address // only for socket
	http  *http.Client // nil for AWS
	base  string       // the URL to which /rayorch/v1/ is appended, without a trailing slash
	sign  Sign         // nil if requests need no signature
}

// Sign signs a request, which has the given body, with the caller's credentials.
type Sign func(r *http.Request, body []byte) error

// local are credentials for a server without keys, which accepts every signature.
var local = credentials.NewStaticCredentialsProvider("local", "local", "")

// defaultRegion is the region in signatures for rayorch servers, which accept any region.
const defaultRegion = "us-east-1"

// Local returns a client of the owner of a state directory. It needs no credentials: the permissions of the socket protect the
// owner. Requests use the socket even if the owner is this process, so that there is one behavior to test.
func Local(owner home.Address) *Client {
	h := owner.Client()
	c := sfn.New(sfn.Options{
		Region: defaultRegion, BaseEndpoint: aws.String(home.BaseURL), HTTPClient: h, Credentials: local,
		RetryMaxAttempts: 1, // no retries: the session finds the next owner instead
	})
	return &Client{SFN: c, kind: socket, owner: owner, http: h, base: home.BaseURL}
}

// Endpoint returns a client of the server at a URL. If the configuration has no region or no credentials, the client uses values
// that a server without keys accepts.
func Endpoint(cfg aws.Config, at string) *Client {
	if cfg.Region == "" {
		cfg.Region = defaultRegion
	}
	if cfg.Credentials == nil {
		cfg.Credentials = local
	}
	h := &http.Client{Transport: home.OwnBody(http.DefaultTransport)}
	c := sfn.NewFromConfig(cfg, func(o *sfn.Options) { o.BaseEndpoint, o.HTTPClient = aws.String(at), h })
	return &Client{SFN: c, kind: endpoint, http: h, base: strings.TrimSuffix(at, "/"), sign: signer(c.Options())}
}

// AWS returns a client of Step Functions in the region of the configuration.
func AWS(cfg aws.Config) *Client {
	c := sfn.NewFromConfig(cfg)
	return &Client{SFN: c, kind: amazon, sign: signer(c.Options())}
}

// signer returns a function that signs with the credentials of an SDK client.
func signer(o sfn.Options) Sign {
	sign := v4.NewSigner()
	return func(r *http.Request, body []byte) error {
		creds, err := o.Credentials.Retrieve(r.Context())
		if err != nil {
			return fmt.Errorf("find AWS credentials: %w", err)
		}
		hash := sha256.Sum256(body)
		return sign.SignHTTP(r.Context(), creds, r, hex.EncodeToString(hash[:]), "states", o.Region, time.Now())
	}
}

// Site describes an API to a proxy in front of it, such as a console.
type Site struct {
	URL *url.URL
	// Name is the name to display, "" for the owner of a state directory.
	Name string
	// Transport is nil if http.DefaultTransport is sufficient.
	Transport http.RoundTripper
	// Sign is nil if requests need no signature.
	Sign Sign
	// Extras is true if the API may have rayorch's own paths.
	Extras bool
}

// Site describes the client's server.
func (c *Client) Site(ctx context.Context) (Site, error) {
	if c.kind == amazon {
		o := c.SFN.Options()
		at, err := o.EndpointResolverV2.ResolveEndpoint(ctx, sfn.EndpointParameters{Region: aws.String(o.Region)})
		if err != nil {
			return Site{}, fmt.Errorf("find Step Functions in %s: %w", o.Region, err)
		}
		return Site{URL: &at.URI, Name: "AWS " + o.Region, Sign: c.sign}, nil
	}
	base := aws.ToString(c.SFN.Options().BaseEndpoint)
	at, err := url.Parse(base)
	site := Site{URL: at, Transport: c.http.Transport, Sign: c.sign, Extras: true}
	if c.kind == endpoint {
		site.Name = base
	}
	return site, err
}
