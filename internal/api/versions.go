package api

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/rayorch/rayorch/internal/asl/history"
	"github.com/rayorch/rayorch/internal/engine/catalog"
	"github.com/rayorch/rayorch/internal/value"
)

// routing is the only list whose length error contains the list, as on AWS.
var routing = listShape{min: 1, max: 2, show: showRoutes, item: nested{
	required("stateMachineVersionArn", anARN), required("weight", numberShape{max: 100}),
}}

func init() {
	register(
		action{"PublishStateMachineVersion", structure{
			required("stateMachineArn", anARN), optional("revisionId", stringShape{}), optional("description", aDescription),
		}, (*Server).publishStateMachineVersion},
		action{"ListStateMachineVersions", paging.with(required("stateMachineArn", anARN)), (*Server).listStateMachineVersions},
		action{"DeleteStateMachineVersion", structure{required("stateMachineVersionArn", aLongARN)}, (*Server).deleteStateMachineVersion},
		action{"CreateStateMachineAlias", structure{
			optional("description", aDescription), required("name", anAlias), required("routingConfiguration", routing),
		}, (*Server).createStateMachineAlias},
		action{"DescribeStateMachineAlias", structure{required("stateMachineAliasArn", anARN)}, (*Server).describeStateMachineAlias},
		action{"UpdateStateMachineAlias", structure{
			required("stateMachineAliasArn", anARN), optional("description", aDescription), optional("routingConfiguration", routing),
		}, (*Server).updateStateMachineAlias},
		action{"DeleteStateMachineAlias", structure{required("stateMachineAliasArn", anARN)}, (*Server).deleteStateMachineAlias},
		action{"ListStateMachineAliases", paging.with(required("stateMachineArn", anARN)), (*Server).listStateMachineAliases},
	)
}

// showRoutes formats a routing configuration as AWS does: as the toString of a Java object.
func showRoutes(items []any) string {
	parts := make([]string, len(items))
	for i, item := range items {
		o, _ := item.(*value.Object)
		parts[i] = fmt.Sprintf("RoutingConfigurationListItem(stateMachineVersionArn=%s, weight=%d)",
			text(o, "stateMachineVersionArn"), integer(o, "weight"))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// routes returns the routing configuration of a request.
func routes(in *value.Object) []catalog.Route {
	var out []catalog.Route
	for _, item := range list(in, "routingConfiguration") {
		o, _ := item.(*value.Object)
		out = append(out, catalog.Route{VersionARN: text(o, "stateMachineVersionArn"), Weight: int(integer(o, "weight"))})
	}
	return out
}

func (s *Server) publishStateMachineVersion(_ context.Context, in *value.Object) (*value.Object, error) {
	v, err := s.cat.Publish(text(in, "stateMachineArn"), text(in, "revisionId"), text(in, "description"))
	if err != nil {
		return nil, err
	}
	return value.Obj("creationDate", history.Seconds(v.Created), "stateMachineVersionArn", v.ARN), nil
}

// listStateMachineVersions lists the newest version first. A page token contains the number of the last version on the page.
func (s *Server) listStateMachineVersions(_ context.Context, in *value.Object) (*value.Object, error) {
	arn := text(in, "stateMachineArn")
	after, err := pageAfter(in, "versions", arn)
	if err != nil {
		return nil, err
	}
	before, _ := strconv.Atoi(after)
	page, more, err := s.cat.Versions(arn, before, pageSize(in))
	if err != nil {
		return nil, err
	}
	items := make([]any, len(page))
	for i, v := range page {
		items[i] = value.Obj("stateMachineVersionArn", v.ARN, "creationDate", history.Seconds(v.Created))
	}
	out := value.Obj("stateMachineVersions", items)
	if more {
		out.Set("nextToken", pageToken(strconv.Itoa(page[len(page)-1].Number), "versions", arn))
	}
	return out, nil
}

func (s *Server) deleteStateMachineVersion(_ context.Context, in *value.Object) (*value.Object, error) {
	return empty, s.cat.DeleteVersion(text(in, "stateMachineVersionArn"))
}

func (s *Server) createStateMachineAlias(_ context.Context, in *value.Object) (*value.Object, error) {
	a, err := s.cat.CreateAlias(text(in, "name"), text(in, "description"), routes(in))
	if err != nil {
		return nil, err
	}
	return value.Obj("stateMachineAliasArn", a.ARN, "creationDate", history.Seconds(a.Created)), nil
}

func (s *Server) describeStateMachineAlias(_ context.Context, in *value.Object) (*value.Object, error) {
	a, err := s.cat.Alias(text(in, "stateMachineAliasArn"))
	if err != nil {
		return nil, err
	}
	shown := make([]any, len(a.Routes))
	for i, r := range a.Routes {
		shown[i] = value.Obj("stateMachineVersionArn", r.VersionARN, "weight", value.Int(int64(r.Weight)))
	}
	out := value.Obj("stateMachineAliasArn", a.ARN, "name", a.Name, "routingConfiguration", shown,
		"creationDate", history.Seconds(a.Created), "updateDate", history.Seconds(a.Updated))
	setText(out, "description", a.Description)
	return out, nil
}

// updateStateMachineAlias changes only the members that the request contains.
func (s *Server) updateStateMachineAlias(_ context.Context, in *value.Object) (*value.Object, error) {
	description, routed := textPtr(in, "description"), in.Has("routingConfiguration")
	if description == nil && !routed {
		return nil, invalid("Either description or routing configuration must be specified")
	}
	a, err := s.cat.UpdateAlias(text(in, "stateMachineAliasArn"), description, routes(in))
	if err != nil {
		return nil, err
	}
	return value.Obj("updateDate", history.Seconds(a.Updated)), nil
}

func (s *Server) deleteStateMachineAlias(_ context.Context, in *value.Object) (*value.Object, error) {
	return empty, s.cat.DeleteAlias(text(in, "stateMachineAliasArn"))
}

// listStateMachineAliases sorts by creation. A page token contains the ARN of the last alias on the page.
func (s *Server) listStateMachineAliases(_ context.Context, in *value.Object) (*value.Object, error) {
	arn := text(in, "stateMachineArn")
	name, err := pageAfter(in, "aliases", arn)
	if err != nil {
		return nil, err
	}
	var after *catalog.Alias
	if name != "" {
		if after, err = s.cat.Alias(name); err != nil {
			return nil, errBadToken // the alias was deleted between the requests: its position is unknown
		}
	}
	page, more, err := s.cat.Aliases(arn, after, pageSize(in))
	if err != nil {
		return nil, err
	}
	items := make([]any, len(page))
	for i, a := range page {
		items[i] = value.Obj("stateMachineAliasArn", a.ARN, "creationDate", history.Seconds(a.Created))
	}
	out := value.Obj("stateMachineAliases", items)
	if more {
		out.Set("nextToken", pageToken(page[len(page)-1].ARN, "aliases", arn))
	}
	return out, nil
}
