package stack

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/compile"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// Check judges a compiled pipeline against what Step Functions bears and what the stack grants: every problem, in words.
func Check(r *compile.Result) []string {
	var problems []string
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if r.Bounds.Events > stepfn.MaxEvents {
		say("the longest run that the timeouts allow has %d events; Step Functions ends an execution at %d: shorten timeouts or lower attempts", r.Bounds.Events, stepfn.MaxEvents)
	}
	if r.Bounds.Payload > stepfn.MaxPayload {
		say("a payload may reach %d bytes; Step Functions takes %d: keep large things on the storage", r.Bounds.Payload, stepfn.MaxPayload)
	}
	for name, text := range map[string][]byte{"definition": r.Definition, "clean-up's definition": r.Cleanup} {
		if len(text) > stepfn.MaxDefinition {
			say("the %s has %d bytes; Step Functions takes %d", name, len(text), stepfn.MaxDefinition)
		}
		for _, n := range Needs(text, r.Namespace) {
			if n.IAM != "" {
				say("state %s calls %s, which the state machine's role may not", n.State, n.IAM)
			} else if !granted(n, r.Access) {
				say("state %s needs %s on %s in the namespace, which its role there does not grant", n.State, n.Verb, n.Resource)
			}
		}
	}
	slices.Sort(problems)
	return problems
}

// Need is one permission that a state needs to do its call: in the cluster, or in IAM where the task is no EKS task.
type Need struct{ State, Group, Resource, Name, Verb, IAM string }

// Needs are the permissions that a definition needs. A path that only a run knows is judged as far as it is written down.
func Needs(definition []byte, namespace string) []Need {
	v, err := value.Parse(definition)
	if err != nil {
		return nil
	}
	var out []Need
	walkStates(v, "", func(name string, state *value.Object) {
		resource := text(state, "Resource")
		service := resource[strings.LastIndex(resource, ":::")+1:]
		switch {
		case text(state, "Type") != "Task":
		case strings.Contains(resource, ":eks:call"):
			out = append(out, callNeeds(name, state, namespace)...)
		case strings.Contains(resource, ":eks:runJob"):
			out = append(out, jobNeeds(name, state, resource)...)
		default:
			out = append(out, Need{State: name, IAM: strings.Trim(service, ":")})
		}
	})
	return out
}

func text(o *value.Object, key string) string {
	v, _ := o.Get(key)
	s, _ := v.(string)
	return s
}

// walkStates calls visit for every state of a definition, at any depth.
func walkStates(v any, name string, visit func(string, *value.Object)) {
	switch v := v.(type) {
	case *value.Object:
		if v.Has("Type") && name != "" {
			visit(name, v)
		}
		for i := range v.Len() {
			key, child := v.At(i)
			if key == "Arguments" || key == "Assign" || key == "Output" {
				continue
			}
			walkStates(child, key, visit)
		}
	case []any:
		for _, child := range v {
			walkStates(child, "", visit)
		}
	}
}

// jobNeeds are what Step Functions calls for a Job itself: to make it, to see it end, and to read its pods' logs.
func jobNeeds(name string, state *value.Object, resource string) []Need {
	out := []Need{{State: name, Group: "batch", Resource: "jobs", Verb: "create"}}
	if !strings.HasSuffix(resource, ".sync") {
		return out
	}
	out = append(out, Need{State: name, Group: "batch", Resource: "jobs", Verb: "get"})
	arguments, _ := state.Get("Arguments")
	if o, ok := arguments.(*value.Object); ok && o.Has("LogOptions") {
		out = append(out, Need{State: name, Resource: "pods", Verb: "list"}, Need{State: name, Resource: "pods/log", Verb: "get"})
	}
	return out
}

// callNeeds are those of eks:call, by its method and path.
func callNeeds(name string, state *value.Object, namespace string) []Need {
	arguments, _ := state.Get("Arguments")
	o, ok := arguments.(*value.Object)
	if !ok {
		return nil
	}
	var out []Need
	for _, path := range paths(text(o, "Path")) {
		if n, ok := pathNeed(path, text(o, "Method"), namespace); ok {
			n.State = name
			out = append(out, n)
		}
	}
	return out
}

// unknown stands for the part of a path that only a run knows.
const unknown = "*"

var pieces = regexp.MustCompile(`'[^']*'|\s*&\s*|[^'&]+`)

// paths are what a path may be: a text, or a JSONata expression that joins texts, or chooses between such.
func paths(field string) []string {
	expr, dynamic := strings.CutPrefix(field, "{%")
	if !dynamic {
		return []string{field}
	}
	var out []string
	for _, alternative := range regexp.MustCompile(`\s[?:]\s`).Split(strings.TrimSuffix(expr, "%}"), -1) {
		path := ""
		for _, piece := range pieces.FindAllString(strings.TrimSpace(alternative), -1) {
			switch {
			case strings.HasPrefix(piece, "'"):
				path += strings.Trim(piece, "'")
			case strings.Trim(piece, " &") != "":
				path += unknown
			}
		}
		if strings.HasPrefix(path, "/api") {
			out = append(out, path)
		}
	}
	return out
}

// verbs are Kubernetes' words for methods; a GET of a collection is a list.
var verbs = map[string]string{"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}

// pathNeed reads a path of Kubernetes' API: /api/v1/namespaces/NS/KIND[/NAME[/SUB...]] and /apis/GROUP/VERSION/...
func pathNeed(path, method, namespace string) (Need, bool) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	n := Need{Verb: verbs[method]}
	switch {
	case len(parts) > 2 && parts[0] == "apis":
		n.Group, parts = parts[1], parts[3:]
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	default:
		return n, false
	}
	if len(parts) < 3 || parts[0] != "namespaces" || parts[1] != namespace && parts[1] != unknown {
		return n, len(parts) >= 3
	}
	n.Resource = parts[2]
	switch {
	case len(parts) == 3 && method == "GET":
		n.Verb = "list"
	case len(parts) > 3:
		n.Name = parts[3]
	}
	if len(parts) > 4 { // pods/log, services/proxy
		n.Resource += "/" + parts[4]
	}
	return n, true
}

// granted says whether a rule covers a need.
func granted(n Need, rules []compile.Rule) bool {
	for _, r := range rules {
		named := len(r.Names) == 0 || slices.ContainsFunc(r.Names, func(name string) bool { return n.Name == name || n.Name == unknown })
		if named && slices.Contains(r.APIGroups, n.Group) && slices.Contains(r.Resources, n.Resource) && slices.Contains(r.Verbs, n.Verb) {
			return true
		}
	}
	return false
}

// hasDistributedMap says whether a definition has a Map that starts executions.
func hasDistributedMap(definition []byte) bool {
	return strings.Contains(string(definition), `"DISTRIBUTED"`)
}

// valueText is a value as the JSON text that parameters of kind object are given as.
func valueText(v any) string { return value.Text(v) }
