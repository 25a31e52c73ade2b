package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

// Request describes the desired state of a stack.
type Request struct {
	Stack string
	// Template is the template. If TemplateURL is not empty, it takes precedence: the URL of a template that is too large for
	// a request.
	Template    []byte
	TemplateURL string
	Tags        map[string]string
}

// Change is a change of a resource in a change set, with CloudFormation's values.
type Change struct{ Action, ID, Type, Replacement string }

// attempts is the maximum number of times that a step is tried. After that, a person has to look at the stack.
const attempts = 2

// Apply creates or updates the stack and waits for the result. It first brings the stack into a status that allows this, and
// reports whether anything changed.
func (d *Deployer) Apply(ctx context.Context, r Request) (changed bool, err error) {
	tried := map[Step]int{}
	for {
		s, err := d.stack(ctx, r.Stack)
		if err != nil {
			return changed, err
		}
		step := Next(Deployed, status(s))
		if step == Create || step == Update {
			did, err := d.change(ctx, r, s)
			return changed || did, err
		}
		if err := d.take(ctx, r.Stack, step, s, tried); err != nil {
			return changed, err
		}
		changed = changed || step != Wait
	}
}

// Destroy deletes the stack and waits until it is deleted. It succeeds if there is no such stack.
func (d *Deployer) Destroy(ctx context.Context, stack string) error {
	tried := map[Step]int{}
	for {
		s, err := d.stack(ctx, stack)
		if err != nil {
			return err
		}
		step := Next(Gone, status(s))
		if step == Done {
			return nil
		}
		if err := d.take(ctx, stack, step, s, tried); err != nil {
			return err
		}
	}
}

// take performs a step other than Create and Update, and waits until the operation ends. tried counts the attempts of each
// step.
func (d *Deployer) take(ctx context.Context, stack string, step Step, s *types.Stack, tried map[Step]int) error {
	if tried[step]++; step != Wait && tried[step] > attempts {
		return d.stuck(ctx, stack, step, s)
	}
	from := d.mark(ctx, stack)
	d.printf("stack %s is %s: %s", stack, status(s), step)
	var err error
	switch step {
	case Delete:
		_, err = d.cfn.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: s.StackId, RetainResources: d.unremovable(ctx, s)})
	case Rollback:
		_, err = d.cfn.RollbackStack(ctx, &cloudformation.RollbackStackInput{StackName: &stack})
	case Continue:
		_, err = d.cfn.ContinueUpdateRollback(ctx, &cloudformation.ContinueUpdateRollbackInput{StackName: &stack})
	case Done, Create, Update, Wait: // no call
	}
	if err != nil {
		return fmt.Errorf("%s stack %s: %w", step, stack, short(err))
	}
	_, err = d.settle(ctx, aws.ToString(s.StackId), from)
	return err
}

// stuck returns the error for a step that does not succeed, with the reasons that CloudFormation gives.
func (d *Deployer) stuck(ctx context.Context, stack string, step Step, s *types.Stack) error {
	lines := d.failures(ctx, aws.ToString(s.StackId), "")
	return fmt.Errorf("stack %s is still %s after %d attempts to %s it%s", stack, status(s), attempts, step, lines)
}

// unremovable returns the logical IDs of custom resources that could not be deleted, so that deleting the stack skips them.
// These are resources of the published module whose functions no longer run. Their objects in the cluster have the same
// names as rayorch's, so a deployment takes them over.
func (d *Deployer) unremovable(ctx context.Context, s *types.Stack) []string {
	if status(s) != types.StackStatusDeleteFailed {
		return nil
	}
	got, err := d.cfn.DescribeStackResources(ctx, &cloudformation.DescribeStackResourcesInput{StackName: s.StackId})
	if err != nil {
		return nil
	}
	var ids []string
	for _, r := range got.StackResources {
		if r.ResourceStatus == types.ResourceStatusDeleteFailed && strings.HasPrefix(aws.ToString(r.ResourceType), "Custom::") {
			ids = append(ids, aws.ToString(r.LogicalResourceId))
		}
	}
	return ids
}

// stack describes a stack. It returns nil if the stack does not exist.
func (d *Deployer) stack(ctx context.Context, name string) (*types.Stack, error) {
	got, err := d.cfn.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &name})
	if apiCode(err) == "ValidationError" && strings.Contains(apiMessage(err), "does not exist") {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("describe stack %s: %w", name, short(err))
	}
	if len(got.Stacks) == 0 {
		return nil, nil
	}
	return &got.Stacks[0], nil
}

// status returns the status of a stack, noStack for nil.
func status(s *types.Stack) types.StackStatus {
	if s == nil {
		return noStack
	}
	return s.StackStatus
}

// Outputs returns the outputs of a stack, nil if the stack does not exist.
func (d *Deployer) Outputs(ctx context.Context, name string) (map[string]string, error) {
	s, err := d.stack(ctx, name)
	if err != nil || s == nil {
		return nil, err
	}
	out := map[string]string{}
	for _, o := range s.Outputs {
		out[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
	}
	return out, nil
}

// Template returns the original template of a stack, nil if the stack does not exist or never had one.
func (d *Deployer) Template(ctx context.Context, name string) ([]byte, error) {
	s, err := d.stack(ctx, name)
	if err != nil || s == nil || status(s) == types.StackStatusReviewInProgress || status(s) == types.StackStatusDeleteComplete {
		return nil, err
	}
	got, err := d.cfn.GetTemplate(ctx, &cloudformation.GetTemplateInput{StackName: s.StackId, TemplateStage: types.TemplateStageOriginal})
	if err != nil {
		return nil, fmt.Errorf("read the template of stack %s: %w", name, short(err))
	}
	return []byte(aws.ToString(got.TemplateBody)), nil
}

// change creates a change set, prints its changes, executes it and waits until the operation ends.
func (d *Deployer) change(ctx context.Context, r Request, s *types.Stack) (changed bool, err error) {
	id, changes, err := d.changeSet(ctx, r, s)
	if err != nil || id == "" {
		return false, err
	}
	d.show(r.Stack, changes)
	from := d.mark(ctx, r.Stack)
	if _, err := d.cfn.ExecuteChangeSet(ctx, &cloudformation.ExecuteChangeSetInput{ChangeSetName: &id, StackName: &r.Stack}); err != nil {
		return false, fmt.Errorf("execute the change set of stack %s: %w", r.Stack, short(err))
	}
	end, err := d.settle(ctx, r.Stack, from)
	if err != nil {
		return true, err
	}
	if end != types.StackStatusCreateComplete && end != types.StackStatusUpdateComplete {
		return true, fmt.Errorf("stack %s: the operation ended with status %s%s", r.Stack, end, d.failures(ctx, r.Stack, from))
	}
	return true, nil
}

// Changes returns the changes that Apply would make. It creates a change set to find out, and deletes it again.
func (d *Deployer) Changes(ctx context.Context, r Request) ([]Change, error) {
	s, err := d.stack(ctx, r.Stack)
	if err != nil {
		return nil, err
	}
	if step := Next(Deployed, status(s)); step != Create && step != Update {
		return nil, fmt.Errorf("stack %s has the status %s: deploy would %s it first", r.Stack, status(s), step)
	}
	id, changes, err := d.changeSet(ctx, r, s)
	if err != nil || id == "" {
		return nil, err
	}
	return changes, d.discard(ctx, r.Stack, id, s == nil)
}

// discard deletes a change set and, if withStack is true, the empty stack that creating the change set created.
func (d *Deployer) discard(ctx context.Context, stack, id string, withStack bool) error {
	_, err := d.cfn.DeleteChangeSet(ctx, &cloudformation.DeleteChangeSetInput{ChangeSetName: &id, StackName: &stack})
	if err == nil && withStack {
		_, err = d.cfn.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: &stack})
	}
	if err != nil {
		return fmt.Errorf("delete the change set of stack %s: %w", stack, short(err))
	}
	return nil
}

// changeSet creates a change set and waits until CloudFormation has computed it. If nothing would change, it deletes the change
// set and returns an empty ID.
func (d *Deployer) changeSet(ctx context.Context, r Request, s *types.Stack) (string, []Change, error) {
	kind := types.ChangeSetTypeUpdate
	if Next(Deployed, status(s)) == Create {
		kind = types.ChangeSetTypeCreate
	}
	name := fmt.Sprintf("rayorch-%d", d.now().UnixNano())
	in := &cloudformation.CreateChangeSetInput{
		StackName: &r.Stack, ChangeSetName: &name, ChangeSetType: kind, Tags: stackTags(r.Tags),
		Capabilities: []types.Capability{types.CapabilityCapabilityNamedIam},
		Description:  aws.String("created by rayorch deploy"),
	}
	if r.TemplateURL != "" {
		in.TemplateURL = &r.TemplateURL
	} else {
		in.TemplateBody = aws.String(string(r.Template))
	}
	made, err := d.cfn.CreateChangeSet(ctx, in)
	if err != nil {
		return "", nil, fmt.Errorf("create a change set of stack %s: %w", r.Stack, short(err))
	}
	id := aws.ToString(made.Id)
	changes, err := d.awaitChangeSet(ctx, r.Stack, id)
	if errors.Is(err, errNoChanges) {
		return "", nil, d.discard(ctx, r.Stack, id, false)
	}
	if err != nil {
		return "", nil, errors.Join(err, d.discard(ctx, r.Stack, id, s == nil))
	}
	return id, changes, nil
}

var errNoChanges = errors.New("no changes")

// awaitChangeSet waits until a change set is complete and returns its changes, or errNoChanges.
func (d *Deployer) awaitChangeSet(ctx context.Context, stack, id string) ([]Change, error) {
	for {
		got, err := d.cfn.DescribeChangeSet(ctx, &cloudformation.DescribeChangeSetInput{ChangeSetName: &id, StackName: &stack})
		if err != nil {
			return nil, fmt.Errorf("describe the change set of stack %s: %w", stack, short(err))
		}
		why := aws.ToString(got.StatusReason)
		switch {
		case got.Status == types.ChangeSetStatusCreateComplete:
			return d.allChanges(ctx, got)
		case got.Status == types.ChangeSetStatusFailed && (strings.Contains(why, "didn't contain changes") || strings.Contains(why, "No updates are to be performed")):
			return nil, errNoChanges
		case got.Status == types.ChangeSetStatusFailed:
			return nil, fmt.Errorf("the change set of stack %s failed: %s", stack, why)
		}
		if err := d.wait(ctx); err != nil {
			return nil, err
		}
	}
}

// allChanges collects the changes of a change set from all pages, of which got is the first.
func (d *Deployer) allChanges(ctx context.Context, got *cloudformation.DescribeChangeSetOutput) ([]Change, error) {
	var out []Change
	for {
		for _, c := range got.Changes {
			if r := c.ResourceChange; r != nil {
				out = append(out, Change{string(r.Action), aws.ToString(r.LogicalResourceId), aws.ToString(r.ResourceType), string(r.Replacement)})
			}
		}
		if got.NextToken == nil {
			return out, nil
		}
		var err error
		got, err = d.cfn.DescribeChangeSet(ctx, &cloudformation.DescribeChangeSetInput{
			ChangeSetName: got.ChangeSetId, StackName: got.StackId, NextToken: got.NextToken})
		if err != nil {
			return nil, fmt.Errorf("describe the change set: %w", short(err))
		}
	}
}

// show prints the changes of a stack.
func (d *Deployer) show(stack string, changes []Change) {
	d.printf("changes of stack %s:", stack)
	for _, c := range changes {
		d.printf("  %s", c)
	}
}

// String formats the change for people, such as "modify  StateMachine (AWS::StepFunctions::StateMachine)".
func (c Change) String() string {
	line := fmt.Sprintf("%-7s %s (%s)", strings.ToLower(c.Action), c.ID, c.Type)
	switch c.Replacement {
	case "True":
		line += ", replacement"
	case "Conditional":
		line += ", possible replacement"
	}
	return line
}

func stackTags(tags map[string]string) []types.Tag {
	var out []types.Tag
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, types.Tag{Key: aws.String(k), Value: aws.String(tags[k])})
	}
	return out
}
