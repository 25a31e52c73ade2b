package objects

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/rayorch/rayorch/internal/engine"
)

// S3 uses Amazon S3, or a compatible service, with path-style URLs. It makes only three kinds of requests, for which the signer of the
// SDK's core module is enough: it does not need the SDK's S3 module.
type S3 struct {
	// Endpoint is a URL such as https://s3.us-east-1.amazonaws.com or http://127.0.0.1:9000.
	Endpoint, Region string
	// Credentials sign the requests. Defaults to none, for public buckets.
	Credentials aws.CredentialsProvider
	// Client defaults to http.DefaultClient.
	Client *http.Client
	// Now defaults to time.Now.
	Now func() time.Time
}

// emptyHash is the SHA-256 of an empty body.
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// Get opens an object for reading.
func (s S3) Get(ctx context.Context, bucket, key string) (io.ReadCloser, error) {
	return s.get(ctx, bucket, key, nil)
}

// GetVersion opens a version of an object for reading.
func (s S3) GetVersion(ctx context.Context, bucket, key, version string) (io.ReadCloser, error) {
	return s.get(ctx, bucket, key, url.Values{"versionId": {version}})
}

func (s S3) get(ctx context.Context, bucket, key string, query url.Values) (io.ReadCloser, error) {
	resp, err := s.call(ctx, http.MethodGet, bucket, key, query, nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// Put writes an object, or replaces it.
func (s S3) Put(ctx context.Context, bucket, key string, body io.ReadSeeker) error {
	resp, err := s.call(ctx, http.MethodPut, bucket, key, nil, body)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// page is a response of ListObjectsV2.
type page struct {
	Contents []struct {
		Key, ETag, StorageClass string
		Size                    int64
		LastModified            time.Time
	}
	NextContinuationToken string
	IsTruncated           bool
}

// List calls fn for the objects whose keys begin with prefix, in the order of their keys.
func (s S3) List(ctx context.Context, bucket, prefix string, fn func(engine.Object) error) error {
	query := url.Values{"list-type": {"2"}, "prefix": {prefix}}
	for {
		p, err := s.page(ctx, bucket, query)
		if err != nil {
			return err
		}
		for _, c := range p.Contents {
			o := engine.Object{Key: c.Key, ETag: c.ETag, StorageClass: c.StorageClass, Size: c.Size, Modified: c.LastModified}
			if err := fn(o); err != nil {
				return err
			}
		}
		if !p.IsTruncated || p.NextContinuationToken == "" {
			return nil
		}
		query.Set("continuation-token", p.NextContinuationToken)
	}
}

func (s S3) page(ctx context.Context, bucket string, query url.Values) (p page, err error) {
	resp, err := s.call(ctx, http.MethodGet, bucket, "", query, nil)
	if err != nil {
		return p, err
	}
	defer resp.Body.Close()
	if err := xml.NewDecoder(io.LimitReader(resp.Body, 16<<20)).Decode(&p); err != nil {
		return p, fmt.Errorf("list bucket %s: %w", bucket, err)
	}
	return p, nil
}

// call sends a signed request. The error has the beginning of the response if the status is not 2xx.
func (s S3) call(ctx context.Context, method, bucket, key string, query url.Values, body io.ReadSeeker) (*http.Response, error) {
	req, hash, err := s.request(ctx, method, bucket, key, query, body)
	if err != nil {
		return nil, fmt.Errorf("%s %s/%s: %w", method, bucket, key, err)
	}
	if err := s.sign(ctx, req, hash); err != nil {
		return nil, fmt.Errorf("%s %s/%s: %w", method, bucket, key, err)
	}
	client := s.Client
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		_ = resp.Body.Close()
		return nil, fmt.Errorf("%s %s/%s: %s: %s", method, bucket, key, resp.Status, strings.TrimSpace(string(text)))
	}
	return resp, nil
}

// request returns the request and the hash of its body, which the signature covers.
func (s S3) request(ctx context.Context, method, bucket, key string, query url.Values, body io.ReadSeeker) (*http.Request, string, error) {
	u, err := url.Parse(strings.TrimSuffix(s.Endpoint, "/"))
	if err != nil {
		return nil, "", err
	}
	u = u.JoinPath(bucket)
	u.Path += "/" + key
	u.RawPath = escape(u.Path)
	u.RawQuery = query.Encode()
	hash, size := emptyHash, int64(0)
	var reader io.Reader
	if body != nil {
		sum := sha256.New()
		if size, err = io.Copy(sum, body); err != nil {
			return nil, "", err
		}
		if _, err := body.Seek(0, io.SeekStart); err != nil {
			return nil, "", err
		}
		hash, reader = hex.EncodeToString(sum.Sum(nil)), io.NopCloser(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), reader)
	if err != nil {
		return nil, "", err
	}
	req.ContentLength = size
	req.Header.Set("X-Amz-Content-Sha256", hash)
	return req, hash, nil
}

// escape escapes a path as S3 does for the signature: all bytes but letters, digits and -_.~/ become %XX.
func escape(path string) string {
	var b strings.Builder
	for i := range len(path) {
		c := path[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.~/", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// sign signs a request with Signature Version 4, unless there are no credentials.
func (s S3) sign(ctx context.Context, req *http.Request, hash string) error {
	if s.Credentials == nil {
		return nil
	}
	creds, err := s.Credentials.Retrieve(ctx)
	if err != nil {
		return err
	}
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	return v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).
		SignHTTP(ctx, creds, req, hash, "s3", s.Region, now())
}
