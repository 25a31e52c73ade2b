// Package client is everything that the commands need from a server, behind one type: the owner of the state directory, a server
// at --endpoint, or AWS. It calls the Step Functions API by the SDK's client, and rayorch's own paths (docs/serve.md) by one
// typed method each. What a server lacks is data, in the table of paths.go: neither the methods nor the commands branch on the
// kind of the server. The commands find the owner, or become it (cmd/rayorch/session.go).
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

// place is what a client speaks to. The columns of the table in paths.go are places.
type place int

const (
	// socket is the owner of a state directory: a rayorch of the same user, perhaps in this process.
	socket place = iota
	// endpoint is a server that the user names: a rayorch of any release, or another Step Functions API.
	endpoint
	// amazon is AWS, which has none of our paths.
	amazon
	places
)

// Client speaks to one server. It is safe for concurrent use.
type Client struct {
	// SFN calls the actions of the Step Functions API.
	SFN *sfn.Client

	place place
	owner home.Address // of a socket
	http  *http.Client // nil for AWS
	base  string       // the URL above /rayorch/v1/, without a slash at the end
	sign  Sign         // nil where nothing has to be signed
}

// Sign signs a request with the caller's credentials; body is the request's.
type Sign func(r *http.Request, body []byte) error

// local are the credentials for a server without keys, which accepts every signature.
var local = credentials.NewStaticCredentialsProvider("local", "local", "")

// defaultRegion signs requests to a server that accepts any region.
const defaultRegion = "us-east-1"

// Local speaks to the owner of a state directory. It looks for no credentials: the permissions of the socket protect the owner.
// Requests use the socket even if the owner is this process, so that there is one behavior to test.
func Local(owner home.Address) *Client {
	h := owner.Client()
	c := sfn.New(sfn.Options{
		Region: defaultRegion, BaseEndpoint: aws.String(home.BaseURL), HTTPClient: h, Credentials: local,
		RetryMaxAttempts: 1, // the session finds the next owner instead
	})
	return &Client{SFN: c, place: socket, owner: owner, http: h, base: home.BaseURL}
}

// Endpoint speaks to the server at a URL. Without a region or credentials in the configuration it uses some that a server
// without keys accepts.
func Endpoint(cfg aws.Config, at string) *Client {
	if cfg.Region == "" {
		cfg.Region = defaultRegion
	}
	if cfg.Credentials == nil {
		cfg.Credentials = local
	}
	h := &http.Client{Transport: home.OwnBody(http.DefaultTransport)}
	c := sfn.NewFromConfig(cfg, func(o *sfn.Options) { o.BaseEndpoint, o.HTTPClient = aws.String(at), h })
	return &Client{SFN: c, place: endpoint, http: h, base: strings.TrimSuffix(at, "/"), sign: signer(c.Options())}
}

// AWS speaks to Step Functions in the region of the configuration.
func AWS(cfg aws.Config) *Client {
	c := sfn.NewFromConfig(cfg)
	return &Client{SFN: c, place: amazon, sign: signer(c.Options())}
}

// signer signs with the credentials that an SDK client was created with.
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

// Site is what a proxy in front of the API needs.
type Site struct {
	URL *url.URL
	// Name is for people; empty for the owner of a state directory.
	Name string
	// Transport and Sign are nil where the defaults suffice and nothing has to be signed.
	Transport http.RoundTripper
	Sign      Sign
	// Extras is set if the API may have rayorch's own paths.
	Extras bool
}

// Site is where the API is and how requests reach it.
func (c *Client) Site(ctx context.Context) (Site, error) {
	if c.place == amazon {
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
	if c.place == endpoint {
		site.Name = base
	}
	return site, err
}
