package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// LocalRole is the role ARN in requests that require one. A rayorch server does not use it.
const LocalRole = "arn:aws:iam::123456789012:role/rayorch"

// Machine is a state machine to register.
type Machine struct {
	Name, Definition string
	// Description describes the version that Register publishes.
	Description string
	Tags        []types.Tag
}

// Register creates or updates a state machine, and returns the ARN of the version that has the definition.
func (c *Client) Register(ctx context.Context, m Machine) (version string, err error) {
	created, err := c.SFN.CreateStateMachine(ctx, &sfn.CreateStateMachineInput{
		Name: aws.String(m.Name), Definition: aws.String(m.Definition), RoleArn: aws.String(LocalRole), Publish: true, Tags: m.Tags,
		VersionDescription: text(m.Description),
	})
	if err == nil {
		return c.createdVersion(ctx, created, m)
	}
	var exists *types.StateMachineAlreadyExists
	if !errors.As(err, &exists) {
		return "", Wrap("register the pipeline", err)
	}
	arn, err := c.MachineARN(ctx, m.Name)
	if err == nil && arn == "" {
		err = fmt.Errorf("the state machine %s was deleted during the registration", m.Name)
	}
	if err != nil {
		return "", err
	}
	return c.update(ctx, arn, m)
}

// createdVersion returns the version that has the definition. If the machine already existed, CreateStateMachine returned its first
// version, even if a later one has the current definition; then createdVersion updates the machine.
func (c *Client) createdVersion(ctx context.Context, created *sfn.CreateStateMachineOutput, m Machine) (string, error) {
	v, err := c.SFN.DescribeStateMachine(ctx, &sfn.DescribeStateMachineInput{StateMachineArn: created.StateMachineVersionArn})
	if err != nil {
		return "", Wrap("register the pipeline", err)
	}
	if aws.ToString(v.Definition) == m.Definition {
		return aws.ToString(created.StateMachineVersionArn), nil
	}
	return c.update(ctx, aws.ToString(created.StateMachineArn), m)
}

// update changes the definition of a state machine and publishes a version. It returns the ARN of the version.
func (c *Client) update(ctx context.Context, arn string, m Machine) (string, error) {
	updated, err := c.SFN.UpdateStateMachine(ctx, &sfn.UpdateStateMachineInput{
		StateMachineArn: aws.String(arn), Definition: aws.String(m.Definition), Publish: true, VersionDescription: text(m.Description),
	})
	if err != nil {
		return "", Wrap("register the pipeline", err)
	}
	return aws.ToString(updated.StateMachineVersionArn), nil
}

// maxDescription is the longest description of a version that the API accepts.
const maxDescription = 256

// text returns nil for an empty string, which the API does not accept, and truncates long ones.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return aws.String(s[:min(len(s), maxDescription)])
}

// PointAlias makes an alias of a state machine refer to one version. It creates the alias if it does not exist.
func (c *Client) PointAlias(ctx context.Context, machine, version, alias string) (arn string, err error) {
	route := []types.RoutingConfigurationListItem{{StateMachineVersionArn: aws.String(version), Weight: 100}}
	out, err := c.SFN.CreateStateMachineAlias(ctx, &sfn.CreateStateMachineAliasInput{Name: aws.String(alias), RoutingConfiguration: route})
	if err == nil {
		return aws.ToString(out.StateMachineAliasArn), nil
	}
	var conflict *types.ConflictException
	if !errors.As(err, &conflict) {
		return "", Wrap("create the alias", err)
	}
	arn = machine + ":" + alias
	_, err = c.SFN.UpdateStateMachineAlias(ctx, &sfn.UpdateStateMachineAliasInput{StateMachineAliasArn: aws.String(arn), RoutingConfiguration: route})
	if err != nil {
		return "", Wrap("update the alias", err)
	}
	return arn, nil
}

// errStop ends Machines early.
var errStop = errors.New("stop")

// Machines calls do for each state machine. It stops and returns the error if do returns one.
func (c *Client) Machines(ctx context.Context, do func(types.StateMachineListItem) error) error {
	pages := sfn.NewListStateMachinesPaginator(c.SFN, &sfn.ListStateMachinesInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return Wrap("list state machines", err)
		}
		for _, m := range page.StateMachines {
			if err := do(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// MachineARN returns the ARN of the state machine with a name, "" if there is none. Listing works for all servers; the ARN could not
// be computed without knowing the account.
func (c *Client) MachineARN(ctx context.Context, name string) (arn string, err error) {
	err = c.Machines(ctx, func(m types.StateMachineListItem) error {
		if aws.ToString(m.Name) != name {
			return nil
		}
		arn = aws.ToString(m.StateMachineArn)
		return errStop
	})
	if errors.Is(err, errStop) {
		err = nil
	}
	return arn, err
}

// Start starts an execution and returns its ARN. what is what the error calls it: "run" or "execution".
func (c *Client) Start(ctx context.Context, what, machine, name, input string) (arn string, err error) {
	x, err := c.SFN.StartExecution(ctx, &sfn.StartExecutionInput{
		StateMachineArn: aws.String(machine), Name: aws.String(name), Input: aws.String(input),
	})
	if err != nil {
		return "", Wrap("start the "+what, err)
	}
	return aws.ToString(x.ExecutionArn), nil
}

// Definition returns the definition that an execution runs.
func (c *Client) Definition(ctx context.Context, arn string) (string, error) {
	m, err := c.SFN.DescribeStateMachineForExecution(ctx, &sfn.DescribeStateMachineForExecutionInput{ExecutionArn: aws.String(arn)})
	if err != nil {
		return "", Wrap("describe the state machine of the execution", err)
	}
	return aws.ToString(m.Definition), nil
}
