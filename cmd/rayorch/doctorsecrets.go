package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/compile"
	"github.com/rayorch/rayorch/internal/kube"
	"github.com/rayorch/rayorch/internal/pipeline"
)

// secretUsers are the steps that list each secret, by the secret's name.
func secretUsers(steps []pipeline.Step) map[string][]string {
	users := map[string][]string{}
	for i := range steps {
		s := &steps[i]
		names := jobSecrets(s.Ray, s.Job)
		if s.OnFailure != nil {
			names = append(names, jobSecrets(s.OnFailure.Ray, s.OnFailure.Job)...)
		}
		for _, name := range names {
			if !slices.Contains(users[name], s.Name) {
				users[name] = append(users[name], s.Name)
			}
		}
		for name, inside := range secretUsers(s.Children()) {
			users[name] = append(users[name], inside...)
		}
	}
	return users
}

func jobSecrets(ray *pipeline.RayJob, job *pipeline.Job) []string {
	var names []string
	if ray != nil {
		names = append(names, ray.Secrets...)
	}
	if job != nil {
		names = append(names, job.Secrets...)
	}
	return names
}

// checkSecrets looks for the environment variables that hold the steps' secrets on this machine. An empty one
// counts as missing.
func checkSecrets(p *pipeline.Pipeline) []check {
	users := secretUsers(p.Steps)
	var checks []check
	for _, e := range p.Secrets.Entries {
		if len(users[e.Key]) == 0 {
			continue
		}
		c := check{Name: "secret " + e.Key, Needed: true, OK: os.Getenv(e.Value.Env) != ""}
		c.Found = "the environment variable " + e.Value.Env + " is set"
		if !c.OK {
			c.Found = "the environment variable " + e.Value.Env + " is not set" + neededBy(users[e.Key])
			c.Advice = "set it for the process that runs the pipeline: rayorch run, or rayorch serve"
		}
		checks = append(checks, c)
	}
	return checks
}

func neededBy(steps []string) string { return "; needed by " + strings.Join(steps, ", ") }

// clusterUsers are the steps that get a key of a Secret; none for one that only rayorch needs.
func clusterUsers(p *pipeline.Pipeline, k compile.SecretKey) []string {
	users := secretUsers(p.Steps)
	var steps []string
	for _, e := range p.Secrets.Entries {
		if s := e.Value.KubernetesSecret; s != nil && s.Name == k.Name && s.Key == k.Key {
			steps = append(steps, users[e.Key]...)
		}
	}
	return steps
}

// checkSecret looks for a key of a Secret in a cluster.
func checkSecret(ctx context.Context, c *kube.Client, namespace string, k compile.SecretKey, steps []string) check {
	out := check{Name: "secret " + k.Name, Needed: true}
	var o struct{ Data map[string]any }
	res, err := c.Do(ctx, kube.Request{Path: kube.ObjectPath("v1", namespace, "secrets", k.Name)})
	if err == nil {
		err = json.Unmarshal(res.Body, &o)
	}
	_, out.OK = o.Data[k.Key]
	need := ""
	if len(steps) > 0 {
		need = neededBy(steps)
	}
	switch {
	case kube.Code(err) == http.StatusForbidden:
		out.Needed, out.Found = false, "not allowed to read it; it needs the key "+k.Key+need
		out.Advice = "kubectl describe secret " + k.Name + " -n " + namespace + " shows its keys to a user who is allowed to read it"
	case err != nil:
		out.Found = err.Error() + need
		out.Advice = fmt.Sprintf("kubectl create secret generic %s -n %s --from-file=%s=FILE", k.Name, namespace, k.Key)
	case !out.OK:
		out.Found = "key " + k.Key + ": missing" + need
		out.Advice = "kubectl edit secret " + k.Name + " -n " + namespace + " adds it; values in a Secret are base64-encoded"
	default:
		out.Found = "key " + k.Key + ": found"
	}
	return out
}
