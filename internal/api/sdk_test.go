package api_test

import (
	"context"
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/rayorch/rayorch/internal/api"
	"github.com/rayorch/rayorch/internal/api/access"
)

func sdkClient(url, key, secret string) *sfn.Client {
	return sfn.New(sfn.Options{
		BaseEndpoint: aws.String(url), Region: "us-east-1", RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(key, secret, ""),
	})
}

const passMachine = `{"StartAt":"P","States":{"P":{"Type":"Pass","Result":{"a":1},"End":true}}}`

// TestGoSDK runs an execution through the SDK for Go, with signatures.
func TestGoSDK(t *testing.T) {
	srv := newServer(t, "123456789012", func(c *api.Config) { c.Keys = access.Keys{"AKID": {Secret: "secret", Role: access.Admin}} })
	ctx := context.Background()
	c := sdkClient(srv.URL, "AKID", "secret")
	m, err := c.CreateStateMachine(ctx, &sfn.CreateStateMachineInput{
		Name: aws.String("m"), Definition: aws.String(passMachine), RoleArn: aws.String("arn:aws:iam::123456789012:role/r"),
		Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	x, err := c.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: m.StateMachineArn, Name: aws.String("x"), Input: aws.String(`{"n": 1}`)})
	if err != nil {
		t.Fatal(err)
	}
	d, err := c.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: x.ExecutionArn})
	if err != nil {
		t.Fatal(err)
	}
	if d.Status != types.ExecutionStatusSucceeded || *d.Output != `{"a":1}` || *d.Input != `{"n": 1}` || !d.StartDate.Equal(*x.StartDate) {
		t.Errorf("description: %+v", d)
	}
	pages := sfn.NewGetExecutionHistoryPaginator(c, &sfn.GetExecutionHistoryInput{ExecutionArn: x.ExecutionArn, MaxResults: 2})
	var kinds []types.HistoryEventType
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			kinds = append(kinds, e.Type)
		}
	}
	if len(kinds) != 4 || kinds[3] != types.HistoryEventTypeExecutionSucceeded {
		t.Errorf("history: %v", kinds)
	}
	_, err = c.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: m.StateMachineArn, Name: aws.String("x"), Input: aws.String(`{}`)})
	var exists *types.ExecutionAlreadyExists
	if !errors.As(err, &exists) {
		t.Errorf("second execution with the same name: %v", err)
	}
	if _, err := c.DeleteStateMachine(ctx, &sfn.DeleteStateMachineInput{StateMachineArn: m.StateMachineArn}); err != nil {
		t.Error(err)
	}
}

func TestGoSDKWrongSecret(t *testing.T) {
	srv := newServer(t, "", func(c *api.Config) { c.Keys = access.Keys{"AKID": {Secret: "secret", Role: access.Admin}} })
	for _, c := range []struct{ key, secret string }{{"AKID", "other"}, {"NOBODY", "secret"}} {
		_, err := sdkClient(srv.URL, c.key, c.secret).ListStateMachines(context.Background(), &sfn.ListStateMachinesInput{})
		var refused *smithyhttp.ResponseError
		if !errors.As(err, &refused) || refused.HTTPStatusCode() != 403 {
			t.Errorf("key %s with secret %s: %v", c.key, c.secret, err)
		}
	}
}

// SDKs start synchronous Express executions through another host name unless the client disables host prefixes.
func TestGoSDKSync(t *testing.T) {
	ctx := context.Background()
	c := sdkClient(serve(t, ""), "a", "b")
	m, err := c.CreateStateMachine(ctx, &sfn.CreateStateMachineInput{
		Name: aws.String("m"), Type: types.StateMachineTypeExpress, Definition: aws.String(passMachine), RoleArn: aws.String("arn:aws:iam::1:role/r"),
	})
	if err != nil {
		t.Fatal(err)
	}
	x, err := c.StartSyncExecution(ctx, &sfn.StartSyncExecutionInput{StateMachineArn: m.StateMachineArn}, withoutHostPrefix)
	if err != nil {
		t.Fatal(err)
	}
	if x.Status != types.SyncExecutionStatusSucceeded || *x.Output != `{"a":1}` {
		t.Errorf("got %+v", x)
	}
}

func withoutHostPrefix(o *sfn.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("WithoutHostPrefix", func(
			ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
		) (middleware.InitializeOutput, middleware.Metadata, error) {
			return next.HandleInitialize(smithyhttp.DisableEndpointHostPrefix(ctx, true), in)
		}), middleware.Before)
	})
}
