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

// The configurations as they are kept: compact JSON, complete with AWS's defaults.
const (
	defaultTracing    = `{"enabled":false}`
	defaultEncryption = `{"type":"AWS_OWNED_KEY"}`
)

// loggingText completes a logging configuration; a level that is not OFF needs one destination.
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
	if destinations != nil { // an empty list is kept as it was given
		out.Set("destinations", destinations)
	}
	return value.Text(out), nil
}

// tracingText completes a tracing configuration.
func tracingText(o *value.Object) string { return value.Text(value.Obj("enabled", flag(o, "enabled"))) }

// createStateMachine leaves to the catalog whether this is a new machine, the same again, or a conflict.
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
	made, err := s.cat.CreateMachine(r)
	if err != nil {
		return nil, err
	}
	out := value.Obj("stateMachineArn", made.ARN, "creationDate", history.Seconds(made.Date))
	setText(out, "stateMachineVersionArn", made.VersionARN)
	return out, nil
}

// encryptionText keeps a key's name as it is given: nothing is encrypted with it here.
func encryptionText(in *value.Object) string {
	if o := object(in, "encryptionConfiguration"); o != nil {
		return value.Text(o)
	}
	return defaultEncryption
}

// setText adds a member that AWS leaves out where it is empty.
func setText(o *value.Object, name, s string) {
	if s != "" {
		o.Set(name, s)
	}
}

// updateStateMachine tells members that are absent from those that are given: only the latter make a new revision.
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
	done, err := s.cat.UpdateMachine(u)
	if err != nil {
		return nil, err
	}
	out := value.Obj("updateDate", history.Seconds(done.Date))
	setText(out, "revisionId", done.RevisionID)
	setText(out, "stateMachineVersionArn", done.VersionARN)
	return out, nil
}

// deleteStateMachine succeeds for what is not there, as AWS does.
func (s *Server) deleteStateMachine(_ context.Context, in *value.Object) (*value.Object, error) {
	return empty, s.cat.DeleteMachine(text(in, "stateMachineArn"))
}

// empty is the answer of actions that answer nothing. Nobody changes it.
var empty = &value.Object{}

// metadataOnly says that a description shall leave out what executions and definitions carry.
func metadataOnly(in *value.Object) bool { return text(in, "includedData") == "METADATA_ONLY" }

// describeStateMachine shows a machine, or under its own ARN a version.
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

// describeSettings adds what a revision consists of.
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

// parsed reads a configuration that was kept as JSON.
func parsed(text string) any {
	v, err := value.Parse([]byte(text))
	if err != nil {
		return empty
	}
	return v
}

// variableReferences is worked out when it is asked for: it costs a pass over the definition and is rarely read.
func variableReferences(definition string) *value.Object {
	o := &value.Object{}
	for _, r := range check.References(definition) {
		o.Set(r.State, value.FromGo(r.Variables))
	}
	return o
}

// describeStateMachineForExecution shows the definition as it was when the execution started, whatever became of the
// machine.
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
	// The engine keeps what ran; what has no effect on it is shown as it stands at the machine, if there still is one.
	settings := catalog.Settings{Logging: `{"level":"OFF","includeExecutionData":false}`, Tracing: defaultTracing, Encryption: defaultEncryption}
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

// labelOf is the label within a map run's ARN: arn:...:mapRun:MACHINE/LABEL:ID.
func labelOf(mapRunARN string) string {
	_, rest, _ := strings.Cut(mapRunARN, "/")
	label, _, _ := strings.Cut(rest, ":")
	return label
}

// listStateMachines goes by name, so that machines that come and go between two pages shift nothing.
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

// validateStateMachineDefinition counts only what it shows: with severity ERROR, the default, warnings take no room.
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
