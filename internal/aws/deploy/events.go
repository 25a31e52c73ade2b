package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

// mark is the newest event of a stack, so that progress starts after it; "" where there is none.
func (d *Deployer) mark(ctx context.Context, stack string) string {
	got, err := d.cfn.DescribeStackEvents(ctx, &cloudformation.DescribeStackEventsInput{StackName: &stack})
	if err != nil || len(got.StackEvents) == 0 {
		return ""
	}
	return aws.ToString(got.StackEvents[0].EventId)
}

// settle waits until no operation on a stack is under way, and says each event as it comes. An operation that was asked
// for a moment ago may not show in the status yet, so an end counts when an event came with it, or after some looks.
func (d *Deployer) settle(ctx context.Context, stack, from string) (types.StackStatus, error) {
	const looks = 4
	start := from
	for look := 1; ; look++ {
		s, err := d.stack(ctx, stack)
		if err != nil {
			return "", err
		}
		from = d.progress(ctx, stack, from)
		if st := status(s); !strings.HasSuffix(string(st), "_IN_PROGRESS") && (from != start || look > looks || s == nil) {
			return st, nil
		}
		if err := d.wait(ctx); err != nil {
			return "", fmt.Errorf("stack %s goes on by itself; run the same command again to follow it: %w", stack, err)
		}
	}
}

// since are the events after one, oldest first. Events are progress for people: where they cannot be read, none are said.
func (d *Deployer) since(ctx context.Context, stack, after string) []types.StackEvent {
	var out []types.StackEvent
	pages := cloudformation.NewDescribeStackEventsPaginator(d.cfn, &cloudformation.DescribeStackEventsInput{StackName: &stack})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			break
		}
		for _, e := range page.StackEvents {
			if aws.ToString(e.EventId) == after {
				slices.Reverse(out)
				return out
			}
			out = append(out, e)
		}
	}
	slices.Reverse(out)
	return out
}

// progress says what happened since the last time.
func (d *Deployer) progress(ctx context.Context, stack, from string) string {
	for _, e := range d.since(ctx, stack, from) {
		from = aws.ToString(e.EventId)
		line := fmt.Sprintf("  %-28s %s", e.ResourceStatus, aws.ToString(e.LogicalResourceId))
		if why := aws.ToString(e.ResourceStatusReason); why != "" {
			line += ": " + why
		}
		d.say("%s", line)
	}
	return from
}

// failures are the reasons of what failed since an event, with what to do where that is known.
func (d *Deployer) failures(ctx context.Context, stack, from string) string {
	var b strings.Builder
	for _, e := range d.since(ctx, stack, from) {
		why := aws.ToString(e.ResourceStatusReason)
		if !strings.HasSuffix(string(e.ResourceStatus), "_FAILED") || why == "" || strings.Contains(why, "cancelled") {
			continue
		}
		fmt.Fprintf(&b, "\n%s (%s): %s%s", aws.ToString(e.LogicalResourceId), aws.ToString(e.ResourceType), why, advice(aws.ToString(e.ResourceType), why))
	}
	return b.String()
}

// advice says what to do about a failure that people meet.
func advice(kind, why string) string {
	exists := strings.Contains(why, "already exists") || strings.Contains(why, "AlreadyExists")
	switch {
	case kind == "AWS::Logs::LogGroup" && exists:
		return "; a destroy --keep-logs left it: export what you need and delete the log group, then deploy again"
	case kind == "AWS::EKS::AccessEntry" && (strings.Contains(why, "authentication mode") || strings.Contains(why, "AuthenticationMode")):
		return "; the cluster knows no access entries: deploy with --access aws-auth, or set its authentication mode to API_AND_CONFIG_MAP"
	case kind == "AWS::EKS::AccessEntry" && exists:
		return "; another access entry names the role: delete it (aws eks delete-access-entry), then deploy again"
	case strings.Contains(why, "is not authorized to perform"):
		return "; grant the action to whoever deploys (modulestack.yaml of the module lists all)"
	case kind == "AWS::IAM::Role" && exists:
		return "; a role of that name is not this stack's: choose another name by --stack-name"
	}
	return ""
}
