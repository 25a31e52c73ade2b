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

// Request is what CloudFormation is to make of a stack.
type Request struct {
	Stack string
	// Template is the template itself; TemplateURL goes before it, for those that are too large.
	Template    []byte
	TemplateURL string
	Tags        map[string]string
}

// Change is one line of a change set.
type Change struct{ Action, ID, Type, Replacement string }

// attempts bounds how often each step is tried: a stack that does not get better is somebody's to look at.
const attempts = 2

// Apply makes the stack what the request says. It reports whether anything was changed.
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

// Destroy makes the stack gone.
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

// take does one step that brings a stack out of a status, and waits for its end.
func (d *Deployer) take(ctx context.Context, stack string, step Step, s *types.Stack, tried map[Step]int) error {
	if tried[step]++; step != Wait && tried[step] > attempts {
		return d.stuck(ctx, stack, step, s)
	}
	from := d.mark(ctx, stack)
	d.say("stack %s is %s: %s", stack, status(s), step)
	var err error
	switch step {
	case Delete:
		_, err = d.cfn.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: s.StackId, RetainResources: d.unremovable(ctx, s)})
	case Rollback:
		_, err = d.cfn.RollbackStack(ctx, &cloudformation.RollbackStackInput{StackName: &stack})
	case Continue:
		_, err = d.cfn.ContinueUpdateRollback(ctx, &cloudformation.ContinueUpdateRollbackInput{StackName: &stack})
	case Done, Create, Update, Wait: // nothing to call
	}
	if err != nil {
		return fmt.Errorf("%s stack %s: %w", step, stack, short(err))
	}
	_, err = d.settle(ctx, aws.ToString(s.StackId), from)
	return err
}

// stuck says why a stack does not get better, in CloudFormation's own words.
func (d *Deployer) stuck(ctx context.Context, stack string, step Step, s *types.Stack) error {
	lines := d.failures(ctx, aws.ToString(s.StackId), "")
	return fmt.Errorf("stack %s stays %s after %d tries to %s it%s", stack, status(s), attempts, step, lines)
}

// unremovable are the published module's custom resources that could not be deleted, because the functions behind them do
// not run any more. What they made in the cluster has our names and is taken over.
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

// stack is nil where there is none.
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

func status(s *types.Stack) types.StackStatus {
	if s == nil {
		return noStack
	}
	return s.StackStatus
}

// Outputs are a stack's outputs, nil where there is no stack.
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

// Template is the template that a stack was last made of, nil where there is no stack or it never got one.
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

// change makes a change set, shows it, executes it and waits for its end.
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
		return true, fmt.Errorf("stack %s ended %s%s", r.Stack, end, d.failures(ctx, r.Stack, from))
	}
	return true, nil
}

// Changes are what applying the request would change. Nothing stays of the question.
func (d *Deployer) Changes(ctx context.Context, r Request) ([]Change, error) {
	s, err := d.stack(ctx, r.Stack)
	if err != nil {
		return nil, err
	}
	if step := Next(Deployed, status(s)); step != Create && step != Update {
		return nil, fmt.Errorf("stack %s is %s: deploy would %s it first", r.Stack, status(s), step)
	}
	id, changes, err := d.changeSet(ctx, r, s)
	if err != nil || id == "" {
		return nil, err
	}
	return changes, d.discard(ctx, r.Stack, id, s == nil)
}

// discard drops a change set, and the empty stack that it alone made.
func (d *Deployer) discard(ctx context.Context, stack, id string, withStack bool) error {
	_, err := d.cfn.DeleteChangeSet(ctx, &cloudformation.DeleteChangeSetInput{ChangeSetName: &id, StackName: &stack})
	if err == nil && withStack {
		_, err = d.cfn.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: &stack})
	}
	if err != nil {
		return fmt.Errorf("drop the change set of stack %s: %w", stack, short(err))
	}
	return nil
}

// changeSet makes a change set and waits until it is worked out; an empty id says that nothing would change.
func (d *Deployer) changeSet(ctx context.Context, r Request, s *types.Stack) (string, []Change, error) {
	kind := types.ChangeSetTypeUpdate
	if Next(Deployed, status(s)) == Create {
		kind = types.ChangeSetTypeCreate
	}
	name := fmt.Sprintf("rayorch-%d", d.now().UnixNano())
	in := &cloudformation.CreateChangeSetInput{
		StackName: &r.Stack, ChangeSetName: &name, ChangeSetType: kind, Tags: stackTags(r.Tags),
		Capabilities: []types.Capability{types.CapabilityCapabilityNamedIam},
		Description:  aws.String("made by rayorch deploy"),
	}
	if r.TemplateURL != "" {
		in.TemplateURL = &r.TemplateURL
	} else {
		in.TemplateBody = aws.String(string(r.Template))
	}
	made, err := d.cfn.CreateChangeSet(ctx, in)
	if err != nil {
		return "", nil, fmt.Errorf("make a change set of stack %s: %w", r.Stack, short(err))
	}
	id := aws.ToString(made.Id)
	changes, err := d.workedOut(ctx, r.Stack, id)
	if errors.Is(err, errNoChanges) {
		return "", nil, d.discard(ctx, r.Stack, id, false)
	}
	if err != nil {
		return "", nil, errors.Join(err, d.discard(ctx, r.Stack, id, s == nil))
	}
	return id, changes, nil
}

var errNoChanges = errors.New("no changes")

// workedOut waits for a change set and lists its changes.
func (d *Deployer) workedOut(ctx context.Context, stack, id string) ([]Change, error) {
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

// allChanges reads a change set's further pages.
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

func (d *Deployer) show(stack string, changes []Change) {
	d.say("changes of stack %s:", stack)
	for _, c := range changes {
		d.say("  %s", c)
	}
}

func (c Change) String() string {
	line := fmt.Sprintf("%-7s %s (%s)", strings.ToLower(c.Action), c.ID, c.Type)
	switch c.Replacement {
	case "True":
		line += ", replaced"
	case "Conditional":
		line += ", perhaps replaced"
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
