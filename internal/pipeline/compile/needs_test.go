package compile_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/value"
)

// TestNeedsAreComplete reads the calls from the text of each definition, and compares them with the needs that the compiler recorded: each
// call has its need, no state has a need that it does not use, and the rules grant all needs.
func TestNeedsAreComplete(t *testing.T) {
	for name, r := range accessCases(t) {
		t.Run(name, func(t *testing.T) {
			recorded := map[string][]string{}
			for _, n := range r.Needs {
				recorded[n.State] = append(recorded[n.State], line(n))
				if !granted(n, r.Access) {
					t.Errorf("no rule grants %+v", n)
				}
			}
			used := map[string][]string{}
			for _, definition := range [][]byte{r.Definition, r.Cleanup} {
				for state, needs := range readNeeds(t, definition) {
					used[state] = append(used[state], needs...)
				}
			}
			for state, needs := range used {
				for _, need := range needs {
					if !slices.Contains(recorded[state], need) {
						t.Errorf("state %s needs %s; recorded: %v", state, need, recorded[state])
					}
				}
			}
			for state, needs := range recorded {
				for _, need := range needs {
					if !slices.Contains(used[state], need) {
						t.Errorf("state %s has no call that needs %s", state, need)
					}
				}
			}
		})
	}
}

// accessCases returns pipelines with all kinds of calls.
func accessCases(t *testing.T) map[string]*compile.Result {
	t.Helper()
	out := clusterResults(t)
	const rest = "steps: [{name: a, ray: {entrypoint: x, workingDir: work}, timeout: 1h}]\n"
	for name, target := range map[string]string{
		"token":           "kind: kubernetes, submit: rayjob, ray: {token: {name: t, key: k}}",
		"own cluster":     "kind: kubernetes, submit: rayjob, ray: {clusterSpec: {headGroupSpec: {}}}",
		"rays only proxy": "kind: aws, submit: proxy, aws: {clusterName: c, clusterEndpoint: https://e, clusterAuthData: Q0E=}",
		"placing":         "kind: kubernetes, submit: proxy, workingDir: {via: claim}",
	} {
		r, err := inCluster(t, "version: 1\nname: p\nstorage: {claim: data}\ntargets: {t: {"+target+"}}\n"+rest, compile.Options{Target: "t"})
		if err != nil {
			t.Fatal(name, err)
		}
		out[name] = r
	}
	return out
}

func line(n compile.Permission) string {
	return strings.TrimSpace(n.Verb + " " + n.Group + "/" + n.Resource + " " + n.Name)
}

func granted(n compile.Permission, rules []compile.Rule) bool {
	return slices.ContainsFunc(rules, func(r compile.Rule) bool {
		return (len(r.Names) == 0 || slices.Contains(r.Names, n.Name)) && slices.Contains(r.APIGroups, n.Group) &&
			slices.Contains(r.Resources, n.Resource) && slices.Contains(r.Verbs, n.Verb)
	})
}

// readNeeds returns the needs of a definition's states, read from its text.
func readNeeds(t *testing.T, definition []byte) map[string][]string {
	t.Helper()
	v, err := value.Parse(definition)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	eachState(v, "", func(name string, state *value.Object) {
		switch resource := fmt.Sprint(get(state, "Resource")); {
		case get(state, "Type") != "Task":
		case resource == "arn:aws:states:::eks:runJob.sync":
			// Only the engine needs watch for a Job. The documentation of Step Functions does not list it.
			out[name] = append(out[name], "create batch/jobs", "get batch/jobs", "get /pods", "list /pods", "get /pods/log")
			if get(state, "Arguments", "CertificateAuthority") == nil {
				out[name] = append(out[name], "watch batch/jobs", "watch /pods")
			}
		case resource == "arn:aws:states:::eks:call":
			for _, path := range paths(fmt.Sprint(get(state, "Arguments", "Path"))) {
				out[name] = append(out[name], pathNeed(t, path, fmt.Sprint(get(state, "Arguments", "Method"))))
			}
		default:
			t.Errorf("state %s calls %s, which the state machine's role does not allow", name, resource)
		}
	})
	return out
}

// eachState calls visit for every state of a definition, at any depth.
func eachState(v any, name string, visit func(string, *value.Object)) {
	switch v := v.(type) {
	case *value.Object:
		if v.Has("Type") && name != "" {
			visit(name, v)
		}
		for i := range v.Len() {
			if key, child := v.At(i); key != "Arguments" && key != "Assign" && key != "Output" {
				eachState(child, key, visit)
			}
		}
	case []any:
		for _, child := range v {
			eachState(child, "", visit)
		}
	}
}

// unknown represents the part of a path that is known only at run time.
const unknown = "*"

var pieces = regexp.MustCompile(`'[^']*'|\s*&\s*|[^'&]+`)

// paths returns the possible values of a path: a string, or those of a JSONata expression that concatenates strings or chooses between them.
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

// pathNeed parses a path of the Kubernetes API: /api/v1/namespaces/NS/KIND[/NAME[/SUB...]] or /apis/GROUP/VERSION/...
func pathNeed(t *testing.T, path, method string) string {
	t.Helper()
	parts := strings.Split(strings.Trim(path, "/"), "/")
	verb := map[string]string{"GET": "get", "POST": "create", "DELETE": "delete"}[method]
	n := compile.Permission{Verb: verb}
	switch parts[0] {
	case "apis":
		n.Group, parts = parts[1], parts[3:]
	case "api":
		parts = parts[2:]
	}
	if len(parts) < 3 || parts[0] != "namespaces" {
		t.Errorf("the path %s has no namespace", path)
		return ""
	}
	n.Resource = parts[2]
	if len(parts) == 3 && method == "GET" {
		n.Verb = "list"
	}
	if len(parts) > 4 { // pods/log, services/proxy
		n.Resource += "/" + parts[4]
		if !strings.Contains(parts[3], unknown) {
			n.Name = parts[3]
		}
	}
	return line(n)
}
