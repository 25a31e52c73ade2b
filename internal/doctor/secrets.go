package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/rayorch/rayorch/internal/backend/kube"
	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
)

// Secrets returns the checks of the environment variables with the secrets of steps on this machine. An empty variable counts as
// missing. The checks use the environment of this process. For a run on a server, that of the process that starts the run counts.
func Secrets(p *pipeline.Pipeline) []Check {
	users := pipeline.SecretUsers(p.Steps)
	var checks []Check
	for _, e := range p.Secrets.Entries {
		if len(users[e.Key]) == 0 {
			continue
		}
		checks = append(checks, Check{
			Name: "secret " + e.Key, Severity: Required, Fix: "set it in the environment of the process that runs the pipeline: rayorch run or rayorch serve",
			Run: func(context.Context) []Finding { return variable(e.Value.Env, users[e.Key]) },
		})
	}
	return checks
}

// variable checks that an environment variable is set.
func variable(name string, steps []string) []Finding {
	if os.Getenv(name) == "" {
		return found(false, "the environment variable %s is not set%s", name, neededBy(steps))
	}
	return found(true, "the environment variable %s is set", name)
}

// neededBy returns a phrase with the steps that use a secret, or "" if only rayorch itself uses it.
func neededBy(steps []string) string {
	if len(steps) == 0 {
		return ""
	}
	return "; needed by " + strings.Join(steps, ", ")
}

// clusterUsers returns the steps that use a key of a Secret; none if only rayorch itself uses it.
func clusterUsers(p *pipeline.Pipeline, k compile.SecretKey) []string {
	users := pipeline.SecretUsers(p.Steps)
	var steps []string
	for _, e := range p.Secrets.Entries {
		if s := e.Value.KubernetesSecret; s != nil && s.Name == k.Name && s.Key == k.Key {
			steps = append(steps, users[e.Key]...)
		}
	}
	return steps
}

// secretCheck returns the check that a Secret in a cluster has a key. It never prints the value. client returns nil until the
// cluster is reached, so it is only called when the check runs. Users who run pipelines often cannot read Secrets, which only the
// kubelet needs to do, so that is a note.
func secretCheck(client func() *kube.Client, namespace string, k compile.SecretKey, steps []string) Check {
	return Check{Name: "secret " + k.Name, Severity: Required, Run: func(ctx context.Context) []Finding {
		var o struct{ Data map[string]any }
		res, err := client().Do(ctx, kube.Request{Path: kube.ObjectPath("v1", namespace, "secrets", k.Name)})
		if err == nil {
			err = json.Unmarshal(res.Body, &o)
		}
		_, has := o.Data[k.Key]
		need := neededBy(steps)
		switch {
		case kube.Code(err) == http.StatusForbidden:
			return noted("a user who is allowed to read it can list its keys with: kubectl describe secret "+k.Name+" -n "+namespace,
				"not allowed to read it; it needs the key %s%s", k.Key, need)
		case err != nil:
			return failed(fmt.Sprintf("to create it, run: kubectl create secret generic %s -n %s --from-file=%s=FILE", k.Name, namespace, k.Key), "%v%s", err, need)
		case !has:
			return failed("to add the key, with its value base64-encoded, run: kubectl edit secret "+k.Name+" -n "+namespace, "key %s: missing%s", k.Key, need)
		}
		return found(true, "key %s: found", k.Key)
	}}
}
