package deploy

import (
	"context"
	"encoding/json"
	"errors"
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

// Result is the result of a deployment.
type Result struct {
	// Changed reports whether the stack or an object in the cluster changed.
	Changed bool
	// Outputs are the outputs of the stack. Outputs that CloudFormation does not return are derived from the names.
	Outputs map[string]string
}

// Plan describes a deployment: the stack and its Kubernetes objects.
type Plan struct {
	Stack *stack.Stack
	// URL is the address of the uploaded template if it is too large for a request.
	URL    string
	Caller Caller
}

// ErrForeign is the error for a stack of another program. It completes a message that starts with the stack.
var ErrForeign = errors.New("was not created by rayorch or the published module")

// Deploy applies the stack and then the Kubernetes objects. The stack comes first because it contains the record with which
// later commands find everything else.
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
		d.printf("stack %s is up to date", p.Stack.Name)
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

// request returns the request to CloudFormation.
func (p Plan) request() Request {
	return Request{Stack: p.Stack.Name, Template: p.Stack.Template, TemplateURL: p.URL, Tags: p.Stack.Tags}
}

// arns returns the outputs of a stack, derived from the names in the record and the caller's account. They equal the actual
// outputs, which are missing if creating the stack failed, and in emulators after a change set.
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

// applyObjects applies the Kubernetes objects and, if the deployment uses aws-auth, adds the state machine's role to it and
// removes stale roles. It reports whether anything changed.
func (d *Deployer) applyObjects(ctx context.Context, p Plan, outputs map[string]string, stale []string) (bool, error) {
	record := p.Stack.Record
	t := target(record)
	k, err := d.connect(ctx, t, p.Caller)
	if err != nil {
		return false, err
	}
	made := objects(p.Stack.Objects(outputs["EksServiceAccountRoleArn"]))
	changed := false
	err = d.retry(ctx, func() error {
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
		d.printf("aws-auth: mapped %s to user %s", outputs["StateMachineRoleArn"], record.User)
	}
	return changed || mapped, refused(t, err)
}

// mapRoles calls MapRoles with retries. If an edit succeeded but its response was lost, the retry finds nothing to change, so
// changed may be false although the edit was made.
func (d *Deployer) mapRoles(ctx context.Context, k *kube.Client, edit func(string) (string, error)) (changed bool, err error) {
	err = d.retry(ctx, func() error {
		changed, err = MapRoles(ctx, k, edit)
		return err
	})
	return changed, err
}

// noNamespace adds to an error how to create the namespace, if it is missing.
func noNamespace(namespace string, err error) error {
	if kube.NotFound(err) && strings.Contains(err.Error(), "namespaces") {
		return fmt.Errorf("%w: create the namespace first: kubectl create namespace %s", err, namespace)
	}
	return err
}

func target(r stack.Record) Target {
	return Target{Name: r.Cluster, Namespace: r.Namespace, Endpoint: r.Endpoint, CertificateAuthority: r.CA, AdminRole: r.AdminRole, HandlerRole: r.HandlerRole}
}

// report prints the objects that changed and reports whether there are any.
func (d *Deployer) report(done []kube.Applied) bool {
	changed := false
	for _, a := range done {
		if a.Action != kube.Unchanged {
			changed = true
			d.printf("  %s: %s", kube.Title(a.Object), kube.ActionText(a.Action))
		}
	}
	return changed
}

// objects converts objects of package stack to those of package kube.
func objects(made []*value.Object) []kube.Object {
	out := make([]kube.Object, len(made))
	for i, o := range made {
		if err := json.Unmarshal(value.Bytes(o), &out[i]); err != nil {
			panic(fmt.Sprintf("deploy: invalid JSON from package stack: %v", err))
		}
	}
	return out
}

// Differences returns what Deploy would change in AWS and in the cluster.
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

// Removal has the options of Remove.
type Removal struct {
	Stack string
	// KeepLogs retains the log group, and the stack's key if it has one.
	KeepLogs bool
	// StopRuns stops running executions. Without it, Remove fails if there are any.
	StopRuns bool
}

// Remove removes a deployment, using the record in its stack: first the running executions, then the objects in the cluster,
// and last the stack, because it contains the record. It succeeds if the stack does not exist.
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

// removeWorkload removes what is not part of the stack: the running executions and the objects in the cluster.
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

// orEmpty returns an empty template instead of nil.
func orEmpty(template []byte) []byte {
	if template == nil {
		return []byte("{}")
	}
	return template
}

// keepLogs updates the stack so that deleting it retains the log group, if the status of the stack allows an update.
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
		d.printf("stack %s has the status %s: its log group cannot be retained", name, status(s))
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

// kinds are the API paths of the objects that deployments and their runs create in the namespace. destroy finds these by their
// labels, which also finds objects of earlier versions.
var kinds = []string{
	"/apis/ray.io/v1/namespaces/%s/rayjobs", "/apis/batch/v1/namespaces/%s/jobs", "/apis/rbac.authorization.k8s.io/v1/namespaces/%s/rolebindings",
	"/apis/rbac.authorization.k8s.io/v1/namespaces/%s/roles", "/api/v1/namespaces/%s/configmaps", "/api/v1/namespaces/%s/serviceaccounts",
}

// removeObjects deletes the objects with the labels of the deployment from the cluster, and removes its role from aws-auth.
func (d *Deployer) removeObjects(ctx context.Context, name string, record stack.Record, who Caller, role string) error {
	t := target(record)
	k, err := d.connect(ctx, t, who)
	if err != nil {
		return fmt.Errorf("delete the objects of stack %s from the cluster: %w", name, err)
	}
	for _, kind := range kinds {
		path := fmt.Sprintf(kind, record.Namespace)
		err := d.retry(ctx, func() error { return d.removeSelected(ctx, k, path, selectorOf(record.Labels)) })
		if err != nil {
			return refused(t, err)
		}
	}
	if record.Access != "aws-auth" {
		return nil
	}
	dropped, err := d.mapRoles(ctx, k, func(text string) (string, error) { return DropMapping(text, role) })
	if dropped {
		d.printf("aws-auth: removed %s", role)
	}
	return refused(t, err)
}

// removeSelected deletes the objects at an API path that match a label selector. It ignores a kind that the cluster does not
// have.
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
		return fmt.Errorf("list %s: %w", path, err)
	}
	for _, o := range found.Items {
		body := []byte(`{"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}`)
		_, err := k.Do(ctx, kube.Request{Method: http.MethodDelete, Path: path + "/" + kube.Name(o), Body: body, ContentType: "application/json"})
		if err != nil && !kube.NotFound(err) {
			return err
		}
		d.printf("  %s/%s: deleted", path[strings.LastIndex(path, "/")+1:], kube.Name(o))
	}
	return nil
}

// selectorOf returns the label selector for the objects of a deployment.
func selectorOf(labels map[string]string) string {
	var parts []string
	for _, key := range []string{stack.LabelManaged, stack.LabelStack} {
		parts = append(parts, key+"="+labels[key])
	}
	return strings.Join(parts, ",")
}
