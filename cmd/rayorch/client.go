package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/smithy-go"

	"github.com/rayorch/rayorch/internal/home"
)

// remote is a Step Functions API with, where it is ours, the extensions beside it (logs, watching).
type remote struct {
	sfn *sfn.Client
	// http and base reach the extensions; http is nil on AWS, which has none.
	http *http.Client
	base string
	// sign signs what goes to the extensions of a server with keys; nil where nothing has to be signed.
	sign func(r *http.Request, body []byte) error
}

// localClient speaks to the owner of a state directory through its socket. No credentials are looked for: the socket's
// permissions are the guard.
func localClient(addr home.Address) *remote {
	h := addr.Client()
	c := sfn.New(sfn.Options{
		Region:           "us-east-1",
		BaseEndpoint:     aws.String(home.BaseURL),
		HTTPClient:       h,
		Credentials:      credentials.NewStaticCredentialsProvider("local", "local", ""),
		RetryMaxAttempts: 1, // a lost owner is ours to deal with, see session.lost
	})
	return &remote{sfn: c, http: h, base: home.BaseURL}
}

// awsClient speaks to AWS, or to --endpoint, with the AWS CLI's own configuration.
func (a *app) awsClient(ctx context.Context) (*remote, error) {
	if a.aws {
		cfg, err := a.awsConfig(ctx)
		return &remote{sfn: sfn.NewFromConfig(cfg)}, err
	}
	cfg, err := a.loadAWS(ctx)
	return a.endpointClient(cfg), err
}

// awsConfig is the AWS CLI's own configuration, with a region: without one AWS has no address.
func (a *app) awsConfig(ctx context.Context) (aws.Config, error) {
	cfg, err := a.loadAWS(ctx)
	if err == nil && cfg.Region == "" {
		err = fail(exitUsage, "name one by --region or AWS_REGION", "no AWS region is set")
	}
	return cfg, err
}

// loadAWS finds credentials and region as the AWS CLI does, the flags going before what it finds.
func (a *app) loadAWS(ctx context.Context) (aws.Config, error) {
	var opts []func(*config.LoadOptions) error
	if a.region != "" {
		opts = append(opts, config.WithRegion(a.region))
	}
	if a.profile != "" {
		opts = append(opts, config.WithSharedConfigProfile(a.profile))
	}
	cfg, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return cfg, fmt.Errorf("load the AWS configuration: %w", err)
	}
	return cfg, nil
}

// endpointClient works without any AWS configuration: a server without keys takes every signature.
func (a *app) endpointClient(cfg aws.Config) *remote {
	if cfg.Region == "" {
		cfg.Region = "us-east-1"
	}
	if os.Getenv("AWS_ACCESS_KEY_ID") == "" && a.profile == "" && !hasSharedConfig() {
		cfg.Credentials = credentials.NewStaticCredentialsProvider("local", "local", "")
	}
	h := &http.Client{Transport: home.OwnBody(http.DefaultTransport)}
	c := sfn.NewFromConfig(cfg, func(o *sfn.Options) { o.BaseEndpoint, o.HTTPClient = aws.String(a.endpoint), h })
	return &remote{sfn: c, http: h, base: strings.TrimSuffix(a.endpoint, "/"), sign: signer(c.Options())}
}

func hasSharedConfig() bool {
	for _, path := range []string{config.DefaultSharedConfigFilename(), config.DefaultSharedCredentialsFilename()} {
		if _, err := os.Stat(path); err == nil {
			return true
		}
	}
	return false
}

// apiError is an API's answer in one line: its code and message, without the SDK's wrapping.
func apiError(what string, err error) error {
	var ae smithy.APIError
	if errors.As(err, &ae) {
		return fmt.Errorf("%s: %s: %w", what, ae.ErrorCode(), plain{ae})
	}
	return fmt.Errorf("%s: %w", what, err)
}

// plain shows an API error's message alone, and stays the error it is.
type plain struct{ smithy.APIError }

func (p plain) Error() string { return p.ErrorMessage() }
func (p plain) Unwrap() error { return p.APIError }

// isAnswer says that an error is the API's answer, and not that the API is out of reach.
func isAnswer(err error) bool {
	var ae smithy.APIError
	return errors.As(err, &ae)
}
