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

// mark returns the ID of the newest event of a stack, from which progress continues; "" if there is none.
func (d *Deployer) mark(ctx context.Context, stack string) string {
	got, err := d.cfn.DescribeStackEvents(ctx, &cloudformation.DescribeStackEventsInput{StackName: &stack})
	if err != nil || len(got.StackEvents) == 0 {
		return ""
	}
	return aws.ToString(got.StackEvents[0].EventId)
}

// settle waits until no operation on a stack is in progress, and prints each new event. The status may not yet show an
// operation that was just requested, so settle only trusts a final status after a new event or a few polls.
func (d *Deployer) settle(ctx context.Context, stack, from string) (types.StackStatus, error) {
	const polls = 4
	start := from
	for poll := 1; ; poll++ {
		s, err := d.stack(ctx, stack)
		if err != nil {
			return "", err
		}
		from = d.progress(ctx, stack, from)
		if st := status(s); !strings.HasSuffix(string(st), "_IN_PROGRESS") && (from != start || poll > polls || s == nil) {
			return st, nil
		}
		if err := d.wait(ctx); err != nil {
			return "", fmt.Errorf("the operation on stack %s continues; to watch it, run the same command again: %w", stack, err)
		}
	}
}

// since returns the events after the given one, oldest first. Events are only shown to the user, so an error while reading
// them is ignored.
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

// progress prints the events after the given one and returns the ID of the newest.
func (d *Deployer) progress(ctx context.Context, stack, from string) string {
	for _, e := range d.since(ctx, stack, from) {
		from = aws.ToString(e.EventId)
		line := fmt.Sprintf("  %-28s %s", e.ResourceStatus, aws.ToString(e.LogicalResourceId))
		if why := aws.ToString(e.ResourceStatusReason); why != "" {
			line += ": " + why
		}
		d.printf("%s", line)
	}
	return from
}

// failures returns the reasons of failures after an event, each on a line that starts with a newline, with a solution if one
// is known. It skips resources that were only cancelled because of another failure.
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

// advice returns a solution for a common failure, starting with "; ", or "".
func advice(kind, why string) string {
	exists := strings.Contains(why, "already exists") || strings.Contains(why, "AlreadyExists")
	switch {
	case kind == "AWS::Logs::LogGroup" && exists:
		return "; destroy --keep-logs retained it: export the logs that you need, delete the log group and deploy again"
	case kind == "AWS::EKS::AccessEntry" && (strings.Contains(why, "authentication mode") || strings.Contains(why, "AuthenticationMode")):
		return "; the cluster does not support access entries: deploy with --access aws-auth, or set its authentication mode to API_AND_CONFIG_MAP"
	case kind == "AWS::EKS::AccessEntry" && exists:
		return "; the role already has an access entry: delete it (aws eks delete-access-entry) and deploy again"
	case strings.Contains(why, "is not authorized to perform"):
		return "; allow the caller this action (modulestack.yaml in modules/eks/ray-orchestrator lists all that are needed)"
	case kind == "AWS::IAM::Role" && exists:
		return "; the role does not belong to this stack: choose another name with --stack-name"
	}
	return ""
}
