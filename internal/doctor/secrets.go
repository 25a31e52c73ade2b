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

// Secrets are the checks of the environment variables that hold the steps' secrets on this machine. An empty one counts as missing.
// They read the environment of this process. For a run by a server, the environment of the process that starts the run counts.
func Secrets(p *pipeline.Pipeline) []Check {
	users := pipeline.SecretUsers(p.Steps)
	var checks []Check
	for _, e := range p.Secrets.Entries {
		if len(users[e.Key]) == 0 {
			continue
		}
		checks = append(checks, Check{
			Name: "secret " + e.Key, Severity: Required, Fix: "set it for the process that runs the pipeline: rayorch run, or rayorch serve",
			Look: func(context.Context) []Finding { return variable(e.Value.Env, users[e.Key]) },
		})
	}
	return checks
}

func variable(name string, steps []string) []Finding {
	if os.Getenv(name) == "" {
		return found(false, "the environment variable %s is not set%s", name, neededBy(steps))
	}
	return found(true, "the environment variable %s is set", name)
}

// neededBy is "" for a secret that no step gets: only rayorch needs it.
func neededBy(steps []string) string {
	if len(steps) == 0 {
		return ""
	}
	return "; needed by " + strings.Join(steps, ", ")
}

// clusterUsers are the steps that get a key of a Secret; none for one that only rayorch needs.
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

// secretCheck looks for a key of a Secret in a cluster, and never shows its value. The client is known once the check runs. Users
// who run pipelines often cannot read Secrets, because the kubelet does it for the pods: that is a note.
func secretCheck(client func() *kube.Client, namespace string, k compile.SecretKey, steps []string) Check {
	return Check{Name: "secret " + k.Name, Severity: Required, Look: func(ctx context.Context) []Finding {
		var o struct{ Data map[string]any }
		res, err := client().Do(ctx, kube.Request{Path: kube.ObjectPath("v1", namespace, "secrets", k.Name)})
		if err == nil {
			err = json.Unmarshal(res.Body, &o)
		}
		_, has := o.Data[k.Key]
		need := neededBy(steps)
		switch {
		case kube.Code(err) == http.StatusForbidden:
			return noted("kubectl describe secret "+k.Name+" -n "+namespace+" shows its keys to a user who is allowed to read it",
				"not allowed to read it; it needs the key %s%s", k.Key, need)
		case err != nil:
			return failed(fmt.Sprintf("kubectl create secret generic %s -n %s --from-file=%s=FILE", k.Name, namespace, k.Key), "%v%s", err, need)
		case !has:
			return failed("kubectl edit secret "+k.Name+" -n "+namespace+" adds it; values in a Secret are base64-encoded", "key %s: missing%s", k.Key, need)
		}
		return found(true, "key %s: found", k.Key)
	}}
}
