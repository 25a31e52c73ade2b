// Package deploy brings a stack (package stack) to AWS and its objects into the cluster, and takes them away again. It
// can be interrupted anywhere and run again: what to do next is read off what is there (Next), never remembered. It calls
// CloudFormation, EKS and STS, and Kubernetes by package kube; it makes no templates. The commands call it.
package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/rayorch/rayorch/internal/backend/kube"
)

// Config is what a Deployer works with.
type Config struct {
	// AWS is the caller's configuration; its region is the stack's.
	AWS aws.Config
	// Say gets one line for people at a time. Defaults to nobody.
	Say func(format string, args ...any)
	// Pause is the time between two looks at something that takes time. Defaults to 3 s.
	Pause time.Duration
	// Settle is the longest that cleanups are waited for when a destroy stops what runs. Defaults to 5 min.
	Settle time.Duration
	// Open makes the client of a cluster. Defaults to kube.Open.
	Open func(kube.Config) (*kube.Client, error)
	// Now defaults to time.Now.
	Now func() time.Time
}

// Deployer deploys and destroys.
type Deployer struct {
	cfn   *cloudformation.Client
	eks   *eks.Client
	sfn   *sfn.Client
	sts   *sts.Client
	aws   aws.Config
	say   func(format string, args ...any)
	pause time.Duration
	grace time.Duration
	open  func(kube.Config) (*kube.Client, error)
	now   func() time.Time
}

// New makes a Deployer; it calls nobody yet.
func New(c Config) *Deployer {
	d := &Deployer{
		cfn: cloudformation.NewFromConfig(c.AWS), eks: eks.NewFromConfig(c.AWS), sfn: sfn.NewFromConfig(c.AWS), sts: sts.NewFromConfig(c.AWS),
		aws: c.AWS, say: c.Say, pause: c.Pause, grace: c.Settle, open: c.Open, now: c.Now,
	}
	if d.say == nil {
		d.say = func(string, ...any) {}
	}
	if d.pause == 0 {
		d.pause = 3 * time.Second
	}
	if d.grace == 0 {
		d.grace = 5 * time.Minute
	}
	if d.open == nil {
		d.open = kube.Open
	}
	if d.now == nil {
		d.now = time.Now
	}
	return d
}

// Caller is who deploys.
type Caller struct{ ARN, Account, Partition string }

// Caller asks STS who the credentials are.
func (d *Deployer) Caller(ctx context.Context) (Caller, error) {
	who, err := d.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return Caller{}, fmt.Errorf("ask AWS who you are: %w", short(err))
	}
	c := Caller{ARN: aws.ToString(who.Arn), Account: aws.ToString(who.Account), Partition: "aws"}
	if parts := strings.Split(c.ARN, ":"); len(parts) > 1 {
		c.Partition = parts[1]
	}
	return c, nil
}

// wait sleeps one pause, or until ctx ends.
func (d *Deployer) wait(ctx context.Context) error {
	t := time.NewTimer(d.pause)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// tries bounds how often a call of the cluster is made: an API server that is loaded or being replaced comes back in
// seconds, and one that cannot be reached at all should not keep anybody waiting.
const tries = 4

// patiently repeats what the cluster did not do for a reason that may pass. All that a deploy or a destroy does there can
// be done again.
func (d *Deployer) patiently(ctx context.Context, act func() error) error {
	for try := 1; ; try++ {
		err := act()
		if err == nil || try == tries || !kube.Temporary(err) || ctx.Err() != nil {
			return err
		}
		d.say("%v; trying again", err)
		if err := d.wait(ctx); err != nil {
			return err
		}
	}
}

// apiCode is AWS's code of an error, "" where it is none of AWS's.
func apiCode(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

// apiMessage is AWS's message of an error.
func apiMessage(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorMessage()
	}
	return ""
}

// denied says that AWS knows who asks and refuses.
func denied(err error) bool {
	code := apiCode(err)
	return code == "AccessDenied" || code == "AccessDeniedException" || code == "UnauthorizedOperation"
}

// shortError is AWS's answer in one line, without the SDK's wrapping.
type shortError struct{ smithy.APIError }

func (e shortError) Error() string { return e.ErrorCode() + ": " + e.ErrorMessage() }
func (e shortError) Unwrap() error { return e.APIError }

func short(err error) error {
	var e smithy.APIError
	if errors.As(err, &e) {
		return shortError{e}
	}
	return err
}
