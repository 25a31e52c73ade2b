// Package deploy deploys a stack (package stack): it creates, updates and deletes the CloudFormation stack and the Kubernetes
// objects in the EKS cluster. An operation can be interrupted at any time and run again: the next step always follows from
// the actual state (see Next), and the package stores no state of its own.
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
	smithytime "github.com/aws/smithy-go/time"

	"github.com/rayorch/rayorch/internal/backend/kube"
)

// Config configures a Deployer.
type Config struct {
	// AWS is the caller's configuration. The stack is in its region.
	AWS aws.Config
	// Printf prints a line of progress. By default, progress is not printed.
	Printf func(format string, args ...any)
	// Pause is the time between two polls of an operation, and before a retry. Defaults to 3 s.
	Pause time.Duration
	// CleanupTimeout is the maximum time to wait for the cleanup after executions that Remove stops. Defaults to 5 min.
	CleanupTimeout time.Duration
	// Open creates the client of a cluster. Defaults to kube.Open.
	Open func(kube.Config) (*kube.Client, error)
	// Now defaults to time.Now.
	Now func() time.Time
}

// Deployer deploys pipelines and removes deployments.
type Deployer struct {
	cfn    *cloudformation.Client
	eks    *eks.Client
	sfn    *sfn.Client
	sts    *sts.Client
	aws    aws.Config
	printf func(format string, args ...any)
	pause  time.Duration
	grace  time.Duration
	open   func(kube.Config) (*kube.Client, error)
	now    func() time.Time
}

// New returns a Deployer. It makes no API calls.
func New(c Config) *Deployer {
	d := &Deployer{
		cfn: cloudformation.NewFromConfig(c.AWS), eks: eks.NewFromConfig(c.AWS), sfn: sfn.NewFromConfig(c.AWS), sts: sts.NewFromConfig(c.AWS),
		aws: c.AWS, printf: c.Printf, pause: c.Pause, grace: c.CleanupTimeout, open: c.Open, now: c.Now,
	}
	if d.printf == nil {
		d.printf = func(string, ...any) {}
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

// Caller is the identity that deploys.
type Caller struct{ ARN, Account, Partition string }

// Caller returns the identity of the credentials.
func (d *Deployer) Caller(ctx context.Context) (Caller, error) {
	who, err := d.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return Caller{}, fmt.Errorf("get the identity of your AWS credentials: %w", short(err))
	}
	c := Caller{ARN: aws.ToString(who.Arn), Account: aws.ToString(who.Account), Partition: "aws"}
	if parts := strings.Split(c.ARN, ":"); len(parts) > 1 {
		c.Partition = parts[1]
	}
	return c, nil
}

// wait sleeps one pause, or until ctx ends.
func (d *Deployer) wait(ctx context.Context) error {
	return smithytime.SleepWithContext(ctx, d.pause)
}

// tries is the maximum number of attempts of a call to the cluster. An API server that is overloaded or being replaced recovers
// within seconds, while the user should not wait long for one that is unreachable.
const tries = 4

// retry calls act again after a temporary error of the cluster. act must be idempotent, as all calls of this package to the
// cluster are.
func (d *Deployer) retry(ctx context.Context, act func() error) error {
	for try := 1; ; try++ {
		err := act()
		if err == nil || try == tries || !kube.Temporary(err) || ctx.Err() != nil {
			return err
		}
		d.printf("%v; retrying", err)
		if err := d.wait(ctx); err != nil {
			return err
		}
	}
}

// apiCode returns the code of an error of AWS, "" for any other error.
func apiCode(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

// apiMessage returns the message of an error of AWS, "" for any other error.
func apiMessage(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorMessage()
	}
	return ""
}

// denied reports whether AWS authenticated the caller but denied the request.
func denied(err error) bool {
	code := apiCode(err)
	return code == "AccessDenied" || code == "AccessDeniedException" || code == "UnauthorizedOperation"
}

// shortError formats an error of AWS as its code and message, without the details that the SDK adds.
type shortError struct{ smithy.APIError }

func (e shortError) Error() string { return e.ErrorCode() + ": " + e.ErrorMessage() }
func (e shortError) Unwrap() error { return e.APIError }

// short returns an error of AWS as a shortError, and any other error unchanged.
func short(err error) error {
	var e smithy.APIError
	if errors.As(err, &e) {
		return shortError{e}
	}
	return err
}
