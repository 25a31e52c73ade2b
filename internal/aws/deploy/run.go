package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"github.com/rayorch/rayorch/internal/aws/stack"
	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/value"
)

// Result is what a deploy left.
type Result struct {
	Changed bool
	// Outputs are the stack's, with what an emulator may leave out made good from the names.
	Outputs map[string]string
}

// Plan is a deploy: the stack, and what Kubernetes gets.
type Plan struct {
	Stack *stack.Stack
	// URL is where the template was uploaded, for one that is too large for a request.
	URL    string
	Caller Caller
}

// ErrForeign says that a stack of the name is somebody else's.
var ErrForeign = fmt.Errorf("is none of rayorch's, nor the published module's")

// Deploy brings a plan to AWS, then into the cluster. The stack comes first: it holds the record by which whatever comes
// after it is found again.
func (d *Deployer) Deploy(ctx context.Context, p Plan) (Result, error) {
	old, err := d.replaces(ctx, p.Stack.Name)
	if err != nil {
		return Result{}, err
	}
	changed, err := d.Apply(ctx, p.request())
	if err != nil {
		return Result{Changed: changed}, err
	}
	if !changed {
		d.say("stack %s is as it should be", p.Stack.Name)
	}
	if err := d.sweepPublished(ctx, p, old); err != nil {
		return Result{Changed: changed}, err
	}
	if err := d.removePublished(ctx, old); err != nil {
		return Result{Changed: changed}, err
	}
	outputs := d.arns(p.Stack.Record, p.Caller)
	given, err := d.Outputs(ctx, p.Stack.Name)
	if err != nil {
		return Result{Changed: changed}, err
	}
	maps.Copy(outputs, given)
	applied, err := d.applyObjects(ctx, p, outputs, old.roles)
	return Result{Changed: changed || applied, Outputs: outputs}, err
}

func (p Plan) request() Request {
	return Request{Stack: p.Stack.Name, Template: p.Stack.Template, TemplateURL: p.URL, Tags: p.Stack.Tags}
}

// arns are the names of a record's resources in the caller's account. They follow from the names; the stack's outputs say
// the same, but emulators leave those out after a change set, and a stack whose create failed has none.
func (d *Deployer) arns(r stack.Record, who Caller) map[string]string {
	at := func(service, rest string) string {
		return "arn:" + who.Partition + ":" + service + ":" + d.aws.Region + ":" + who.Account + ":" + rest
	}
	role := func(name string) string {
		return "arn:" + who.Partition + ":iam::" + who.Account + ":role/" + name + "-" + d.aws.Region
	}
	out := map[string]string{
		"EksServiceAccountName": r.User, "EksServiceAccountRoleArn": role(r.PodRole), "StateMachineRoleArn": role(r.MachineRole),
		"StateMachineArn": at("states", "stateMachine:"+r.Machine), "LogGroupArn": at("logs", "log-group:"+r.LogGroup+":*"),
	}
	if r.Clean != "" {
		out["CleanUpStateMachineArn"] = at("states", "stateMachine:"+r.Clean)
	}
	return out
}

// applyObjects brings Kubernetes' objects into the cluster, and the state machine's role into aws-auth where that is the
// way in.
func (d *Deployer) applyObjects(ctx context.Context, p Plan, outputs map[string]string, stale []string) (bool, error) {
	record := p.Stack.Record
	t := target(record)
	k, err := d.connect(ctx, t, p.Caller)
	if err != nil {
		return false, err
	}
	made := objects(p.Stack.Objects(outputs["EksServiceAccountRoleArn"]))
	changed := false
	err = d.patiently(ctx, func() error {
		done, err := k.Apply(ctx, made, kube.ApplyOptions{Force: true})
		changed = d.report(done) || changed
		return err
	})
	if err != nil {
		return changed, refused(t, noNamespace(record.Namespace, err))
	}
	if record.Access != "aws-auth" {
		return changed, nil
	}
	mapped, err := d.mapRoles(ctx, k, func(text string) (string, error) {
		return AddMapping(text, Mapping{outputs["StateMachineRoleArn"], record.User, []string{record.User}}, stale...)
	})
	if mapped {
		d.say("aws-auth: %s is user %s", outputs["StateMachineRoleArn"], record.User)
	}
	return changed || mapped, refused(t, err)
}

// mapRoles edits aws-auth. An edit whose answer was lost changes nothing the second time, so it may go unsaid.
func (d *Deployer) mapRoles(ctx context.Context, k *kube.Client, edit func(string) (string, error)) (changed bool, err error) {
	err = d.patiently(ctx, func() error {
		changed, err = MapRoles(ctx, k, edit)
		return err
	})
	return changed, err
}

func noNamespace(namespace string, err error) error {
	if kube.NotFound(err) && strings.Contains(err.Error(), "namespaces") {
		return fmt.Errorf("%w: make the namespace first: kubectl create namespace %s", err, namespace)
	}
	return err
}

func target(r stack.Record) Target {
	return Target{Name: r.Cluster, Namespace: r.Namespace, Endpoint: r.Endpoint, CertificateAuthority: r.CA, AdminRole: r.AdminRole, HandlerRole: r.HandlerRole}
}

func (d *Deployer) report(done []kube.Applied) bool {
	changed := false
	for _, a := range done {
		if a.Action != kube.Unchanged {
			changed = true
			d.say("  %s: %s", kube.Title(a.Object), a.Action)
		}
	}
	return changed
}

// objects are objects as package kube takes them.
func objects(made []*value.Object) []kube.Object {
	out := make([]kube.Object, len(made))
	for i, o := range made {
		if err := json.Unmarshal(value.Bytes(o), &out[i]); err != nil {
			panic(fmt.Sprintf("deploy: package stack made no JSON: %v", err))
		}
	}
	return out
}

// Differences are what a deploy would change, in AWS and in the cluster.
func (d *Deployer) Differences(ctx context.Context, p Plan) ([]Change, []kube.Difference, error) {
	if _, err := d.replaces(ctx, p.Stack.Name); err != nil {
		return nil, nil, err
	}
	changes, err := d.Changes(ctx, p.request())
	if err != nil {
		return nil, nil, err
	}
	t := target(p.Stack.Record)
	k, err := d.connect(ctx, t, p.Caller)
	if err != nil {
		return changes, nil, err
	}
	differences, err := k.Diff(ctx, objects(p.Stack.Objects(d.arns(p.Stack.Record, p.Caller)["EksServiceAccountRoleArn"])), kube.ApplyOptions{Force: true})
	return changes, differences, refused(t, err)
}

// Removal says what a destroy is to do besides.
type Removal struct {
	Stack string
	// KeepLogs leaves the log group, and the stack's key where it has one.
	KeepLogs bool
	// StopRuns stops what is running; without it a running execution refuses the destroy.
	StopRuns bool
}

// Remove takes a deployment away by its own record: what runs, then what is in the cluster, then the stack, with which
// the record goes. A destroy of what is not there is done at once.
func (d *Deployer) Remove(ctx context.Context, r Removal) error {
	template, err := d.Template(ctx, r.Stack)
	if err != nil {
		return err
	}
	record, ours, err := stack.ReadRecord(orEmpty(template))
	if err != nil {
		return err
	}
	if !ours && template != nil {
		return fmt.Errorf("stack %s %w; nothing was removed", r.Stack, ErrForeign)
	}
	if ours {
		if err := d.removeWorkload(ctx, r, record); err != nil {
			return err
		}
	}
	if r.KeepLogs && ours {
		if err := d.keepLogs(ctx, r.Stack, template); err != nil {
			return err
		}
	}
	return d.Destroy(ctx, r.Stack)
}

// removeWorkload takes away what the stack itself does not hold: what runs, and what is in the cluster.
func (d *Deployer) removeWorkload(ctx context.Context, r Removal, record stack.Record) error {
	who, err := d.Caller(ctx)
	if err != nil {
		return err
	}
	arns := d.arns(record, who)
	if err := d.stopRuns(ctx, r, arns); err != nil {
		return err
	}
	return d.removeObjects(ctx, r.Stack, record, who, arns["StateMachineRoleArn"])
}

func orEmpty(template []byte) []byte {
	if template == nil {
		return []byte("{}")
	}
	return template
}

// keepLogs marks the log group as one that stays, if the stack is in a state to be told.
func (d *Deployer) keepLogs(ctx context.Context, name string, template []byte) error {
	kept, err := stack.KeepLogs(template)
	if err != nil {
		return err
	}
	s, err := d.stack(ctx, name)
	if err != nil {
		return err
	}
	if Next(Deployed, status(s)) != Update {
		d.say("stack %s is %s: its log group cannot be kept", name, status(s))
		return nil
	}
	_, err = d.change(ctx, Request{Stack: name, Template: kept, Tags: tagsOf(s)}, s)
	return err
}

func tagsOf(s *types.Stack) map[string]string {
	out := map[string]string{}
	for _, t := range s.Tags {
		out[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return out
}

// kinds are what a deploy makes in the namespace; what it made is found by its labels, of earlier deploys, too.
var kinds = []string{
	"/apis/ray.io/v1/namespaces/%s/rayjobs", "/apis/batch/v1/namespaces/%s/jobs", "/apis/rbac.authorization.k8s.io/v1/namespaces/%s/rolebindings",
	"/apis/rbac.authorization.k8s.io/v1/namespaces/%s/roles", "/api/v1/namespaces/%s/configmaps", "/api/v1/namespaces/%s/serviceaccounts",
}

// removeObjects takes the objects with the deploy's labels out of the cluster, and its role out of aws-auth.
func (d *Deployer) removeObjects(ctx context.Context, name string, record stack.Record, who Caller, role string) error {
	t := target(record)
	k, err := d.connect(ctx, t, who)
	if err != nil {
		return fmt.Errorf("take the objects of stack %s out of the cluster: %w", name, err)
	}
	for _, kind := range kinds {
		path := fmt.Sprintf(kind, record.Namespace)
		err := d.patiently(ctx, func() error { return d.removeSelected(ctx, k, path, selectorOf(record.Labels)) })
		if err != nil {
			return refused(t, err)
		}
	}
	if record.Access != "aws-auth" {
		return nil
	}
	dropped, err := d.mapRoles(ctx, k, func(text string) (string, error) { return DropMapping(text, role) })
	if dropped {
		d.say("aws-auth: %s is out", role)
	}
	return refused(t, err)
}

// removeSelected deletes the objects of a kind that a label selector finds.
func (d *Deployer) removeSelected(ctx context.Context, k *kube.Client, path, selector string) error {
	res, err := k.Do(ctx, kube.Request{Path: path, Query: url.Values{"labelSelector": {selector}}})
	if kube.NotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	var found struct{ Items []kube.Object }
	if err := json.Unmarshal(res.Body, &found); err != nil {
		return fmt.Errorf("read the list of %s: %w", path, err)
	}
	for _, o := range found.Items {
		body := []byte(`{"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}`)
		_, err := k.Do(ctx, kube.Request{Method: http.MethodDelete, Path: path + "/" + kube.Name(o), Body: body, ContentType: "application/json"})
		if err != nil && !kube.NotFound(err) {
			return err
		}
		d.say("  %s/%s: deleted", path[strings.LastIndex(path, "/")+1:], kube.Name(o))
	}
	return nil
}

func selectorOf(labels map[string]string) string {
	var parts []string
	for _, key := range []string{stack.LabelManaged, stack.LabelStack} {
		parts = append(parts, key+"="+labels[key])
	}
	return strings.Join(parts, ",")
}
