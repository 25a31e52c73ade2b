package api

import (
	"context"
	"strings"

	"github.com/rayorch/rayorch/internal/asl/check"
	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/engine/catalog"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

func init() {
	register(
		action{"CreateStateMachine", structure{
			required("name", aName), required("definition", aDefinition), required("roleArn", anARN), optional("type", aMachineType),
			optional("loggingConfiguration", logging), optional("tags", tagList), optional("tracingConfiguration", tracing),
			optional("publish", aBoolean), optional("versionDescription", aDescription), optional("encryptionConfiguration", encryption),
		}, (*Server).createStateMachine},
		action{"UpdateStateMachine", structure{
			required("stateMachineArn", anARN), optional("definition", aDefinition), optional("roleArn", anARN),
			optional("loggingConfiguration", logging), optional("tracingConfiguration", tracing),
			optional("publish", aBoolean), optional("versionDescription", aDescription), optional("encryptionConfiguration", encryption),
		}, (*Server).updateStateMachine},
		action{"DeleteStateMachine", structure{required("stateMachineArn", anARN)}, (*Server).deleteStateMachine},
		action{"DescribeStateMachine", structure{required("stateMachineArn", anARN), optional("includedData", included)},
			(*Server).describeStateMachine},
		action{"DescribeStateMachineForExecution", structure{required("executionArn", anARN), optional("includedData", included)},
			(*Server).describeStateMachineForExecution},
		action{"ListStateMachines", paging, (*Server).listStateMachines},
		action{"ValidateStateMachineDefinition", structure{
			required("definition", aDefinition), optional("type", aMachineType),
			optional("severity", stringShape{enum: []string{"ERROR", "WARNING"}}), optional("maxResults", numberShape{max: 100}),
		}, (*Server).validateStateMachineDefinition},
	)
}

// Default configurations, in the form in which the catalog stores configurations: compact JSON that includes AWS's defaults.
const (
	defaultTracing    = `{"enabled":false}`
	defaultEncryption = `{"type":"AWS_OWNED_KEY"}`
)

// loggingText returns the stored form of a logging configuration, with AWS's defaults; o may be nil. Any level except OFF needs
// exactly one destination.
func loggingText(o *value.Object) (string, error) {
	level, _ := o.Get("level")
	destinations, _ := o.Get("destinations")
	targets, _ := destinations.([]any)
	if level == nil {
		level = "OFF"
	}
	if len(targets) > 1 || level != "OFF" && len(targets) == 0 {
		return "", refusal("InvalidLoggingConfiguration",
			"Invalid Logging Configuration: Must specify exactly one Log Destination.")
	}
	out := value.Obj("level", level, "includeExecutionData", flag(o, "includeExecutionData"))
	if destinations != nil { // AWS preserves an empty list
		out.Set("destinations", destinations)
	}
	return value.Text(out), nil
}

// tracingText returns the stored form of a tracing configuration; o may be nil.
func tracingText(o *value.Object) string { return value.Text(value.Obj("enabled", flag(o, "enabled"))) }

// createStateMachine is idempotent for the same name and settings, as on AWS. The catalog compares them.
func (s *Server) createStateMachine(ctx context.Context, in *value.Object) (*value.Object, error) {
	r := catalog.CreateMachine{
		Name: text(in, "name"), Type: text(in, "type"), Tags: tags(in), Publish: flag(in, "publish"),
		VersionDescription: text(in, "versionDescription"),
		Settings: catalog.Settings{
			Definition: text(in, "definition"), RoleARN: text(in, "roleArn"),
			Tracing: tracingText(object(in, "tracingConfiguration")), Encryption: encryptionText(in),
			FromNetwork: !s.owner(ctx),
		},
	}
	if r.Type == "" {
		r.Type = stepfn.Standard
	}
	var err error
	if r.Settings.Logging, err = loggingText(object(in, "loggingConfiguration")); err != nil {
		return nil, err
	}
	created, err := s.cat.CreateMachine(r)
	if err != nil {
		return nil, err
	}
	out := value.Obj("stateMachineArn", created.ARN, "creationDate", history.Seconds(created.Date))
	setText(out, "stateMachineVersionArn", created.VersionARN)
	return out, nil
}

// encryptionText returns the stored form of the encryption configuration. rayorch stores it only to return it again: it does not
// encrypt anything with the key.
func encryptionText(in *value.Object) string {
	if o := object(in, "encryptionConfiguration"); o != nil {
		return value.Text(o)
	}
	return defaultEncryption
}

// setText sets a member that AWS omits if it is empty.
func setText(o *value.Object, name, s string) {
	if s != "" {
		o.Set(name, s)
	}
}

// updateStateMachine changes only the members that the request contains.
func (s *Server) updateStateMachine(ctx context.Context, in *value.Object) (*value.Object, error) {
	u := catalog.UpdateMachine{
		ARN: text(in, "stateMachineArn"), Definition: textPtr(in, "definition"), RoleARN: textPtr(in, "roleArn"),
		Publish: flag(in, "publish"), VersionDescription: text(in, "versionDescription"), FromNetwork: !s.owner(ctx),
	}
	if o := object(in, "loggingConfiguration"); o != nil {
		t, err := loggingText(o)
		if err != nil {
			return nil, err
		}
		u.Logging = &t
	}
	if o := object(in, "tracingConfiguration"); o != nil {
		t := tracingText(o)
		u.Tracing = &t
	}
	if in.Has("encryptionConfiguration") {
		t := encryptionText(in)
		u.Encryption = &t
	}
	updated, err := s.cat.UpdateMachine(u)
	if err != nil {
		return nil, err
	}
	out := value.Obj("updateDate", history.Seconds(updated.Date))
	setText(out, "revisionId", updated.RevisionID)
	setText(out, "stateMachineVersionArn", updated.VersionARN)
	return out, nil
}

// deleteStateMachine succeeds even if the state machine does not exist, as on AWS.
func (s *Server) deleteStateMachine(_ context.Context, in *value.Object) (*value.Object, error) {
	return empty, s.cat.DeleteMachine(text(in, "stateMachineArn"))
}

// empty is the answer of actions that return no members. It is shared: do not modify it.
var empty = &value.Object{}

// metadataOnly reports whether the request wants definitions, inputs and outputs left out.
func metadataOnly(in *value.Object) bool { return text(in, "includedData") == "METADATA_ONLY" }

// describeStateMachine describes a state machine, or a version if the ARN is a version's.
func (s *Server) describeStateMachine(_ context.Context, in *value.Object) (*value.Object, error) {
	m, v, err := s.cat.Machine(text(in, "stateMachineArn"))
	if err != nil {
		return nil, err
	}
	settings, revision, arn, created := &m.Settings, m.RevisionID, m.ARN, m.Created
	if v != nil {
		settings, revision, arn, created = &v.Settings, v.RevisionID, v.ARN, v.Created
	}
	out := value.Obj("stateMachineArn", arn, "name", m.Name, "status", "ACTIVE", "type", m.Type,
		"creationDate", history.Seconds(created))
	if v != nil {
		setText(out, "description", v.Description)
	}
	describeSettings(out, in, settings, revision)
	return out, nil
}

// describeSettings sets the members that belong to a revision: definition, role and configurations.
func describeSettings(out, in *value.Object, s *catalog.Settings, revision string) {
	out.Set("definition", s.Definition)
	out.Set("roleArn", s.RoleARN)
	out.Set("loggingConfiguration", parsed(s.Logging))
	out.Set("tracingConfiguration", parsed(s.Tracing))
	out.Set("encryptionConfiguration", parsed(s.Encryption))
	setText(out, "revisionId", revision)
	if metadataOnly(in) {
		out.Set("definition", "")
		return
	}
	if refs := variableReferences(s.Definition); refs.Len() > 0 {
		out.Set("variableReferences", refs)
	}
}

// parsed converts a stored configuration back to JSON.
func parsed(text string) any {
	v, err := value.Parse([]byte(text))
	if err != nil {
		return empty
	}
	return v
}

// variableReferences returns the variables that each state refers to. It is computed for each request rather than stored: it
// takes a pass over the definition, and clients rarely read it.
func variableReferences(definition string) *value.Object {
	o := &value.Object{}
	for _, r := range check.References(definition) {
		o.Set(r.State, value.FromGo(r.Variables))
	}
	return o
}

// describeStateMachineForExecution returns the definition with which the execution started, even if the state machine has been
// updated or deleted since.
func (s *Server) describeStateMachineForExecution(_ context.Context, in *value.Object) (*value.Object, error) {
	arn, err := executionARN(in)
	if err != nil {
		return nil, err
	}
	x, err := s.eng.Describe(arn)
	if err != nil {
		return nil, s.executionError(arn, err)
	}
	definition, err := s.eng.Definition(arn)
	if err != nil {
		return nil, s.executionError(arn, err)
	}
	// The engine stores only settings that affect the execution. The others are the state machine's current ones, or the defaults
	// if it has been deleted.
	settings := catalog.Settings{
		Logging: `{"level":"OFF","includeExecutionData":false}`, Tracing: defaultTracing, Encryption: defaultEncryption,
	}
	updated := x.Started
	if m, _, err := s.cat.Machine(x.MachineARN); err == nil {
		settings, updated = m.Settings, m.RevisionDate(x.RevisionID, x.Started)
	}
	settings.Definition, settings.RoleARN = string(definition), x.RoleARN
	out := value.Obj("stateMachineArn", x.MachineARN, "name", x.MachineName, "updateDate", history.Seconds(updated))
	describeSettings(out, in, &settings, x.RevisionID)
	if x.MapRunARN != "" {
		out.Set("mapRunArn", x.MapRunARN)
		out.Set("label", labelOf(x.MapRunARN))
	}
	return out, nil
}

// labelOf returns the label in the ARN of a Map run: arn:...:mapRun:MACHINE/LABEL:ID.
func labelOf(mapRunARN string) string {
	_, rest, _ := strings.Cut(mapRunARN, "/")
	label, _, _ := strings.Cut(rest, ":")
	return label
}

// listStateMachines sorts by name, so that a state machine that is created or deleted between two requests does not shift the
// pages.
func (s *Server) listStateMachines(_ context.Context, in *value.Object) (*value.Object, error) {
	after, err := pageAfter(in, "machines")
	if err != nil {
		return nil, err
	}
	page, more := s.cat.Machines(after, pageSize(in))
	items := make([]any, len(page))
	for i, m := range page {
		items[i] = value.Obj("stateMachineArn", m.ARN, "name", m.Name, "type", m.Type, "creationDate", history.Seconds(m.Created))
	}
	out := value.Obj("stateMachines", items)
	if more {
		out.Set("nextToken", pageToken(page[len(page)-1].Name, "machines"))
	}
	return out, nil
}

// validateStateMachineDefinition returns at most maxResults diagnostics. With severity ERROR, the default, warnings do not count.
func (s *Server) validateStateMachineDefinition(_ context.Context, in *value.Object) (*value.Object, error) {
	found := check.Definition(text(in, "definition"), text(in, "type") == stepfn.Express)
	limit := int(integer(in, "maxResults"))
	if limit == 0 {
		limit = 100
	}
	result, diagnostics, truncated := "OK", []any{}, false
	if !found.OK() {
		result = "FAIL"
	}
	for _, p := range found.Problems {
		if p.Severity == check.Warning && text(in, "severity") != check.Warning {
			continue
		}
		if truncated = len(diagnostics) == limit; truncated {
			break
		}
		d := value.Obj("severity", p.Severity, "code", p.Code, "message", p.Message)
		setText(d, "location", p.Location)
		diagnostics = append(diagnostics, d)
	}
	return value.Obj("result", result, "diagnostics", diagnostics, "truncated", truncated), nil
}
