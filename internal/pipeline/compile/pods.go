package compile

import (
	_ "embed" // the submitter's script
	"fmt"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile/query"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

//go:embed submitter/submit.py
var submitScript string

// submitterErrors are the errors that correspond to the submitter's exit codes, starting with firstCode. submit.py has the same list.
var submitterErrors = []string{stepfn.RayJobFailed, stepfn.RayJobStopped, stepfn.RayHeadLost, stepfn.RaySubmitFailed, stepfn.RayPendingTimeout,
	stepfn.RayUnreachable, stepfn.RayUnauthorized, stepfn.StatesTimeout, stepfn.RayRuntimeEnvFailed}

const firstCode = 41

// filesPath is the directory in pods that contains the submitter's script and working directories.
const filesPath = "/rayorch"

// submitter returns what all Jobs with the submitter's script have in common: the fields of the Job's spec, of the pod and of the container.
func (c *compiler) submitter() *value.Object {
	codes := make([]any, len(submitterErrors))
	for i := range submitterErrors {
		codes[i] = value.Int(int64(firstCode + i))
	}
	// The Job is indexed, because only then does Kubernetes pass the number of previous pods to a pod: a later pod must not submit a job
	// again that was lost with the head. A pod that ends with one of our exit codes has done its work.
	job := value.Obj("completions", value.Int(1), "parallelism", value.Int(1), "completionMode", "Indexed",
		"backoffLimitPerIndex", value.Int(3), "ttlSecondsAfterFinished", value.Int(c.at.ttl()),
		"podFailurePolicy", value.Obj("rules", []any{
			value.Obj("action", "FailJob", "onExitCodes", value.Obj("containerName", "submit", "operator", "In", "values", codes)),
			value.Obj("action", "Ignore", "onPodConditions", []any{value.Obj("type", "DisruptionTarget", "status", "True")}),
		}))
	pod := c.podSpec(c.at.account)
	pod.Set("volumes", []any{c.filesVolume()})
	container := value.Obj("name", "submit", "image", query.Plain(c.at.image), "command", []any{"python3", filesPath + "/submit.py"},
		"env", c.submitterEnv(),
		"resources", value.Obj("requests", value.Obj("cpu", "50m", "memory", "64Mi"), "limits", value.Obj("memory", "512Mi")),
		"terminationMessagePolicy", "FallbackToLogsOnError",
		"volumeMounts", []any{value.Obj("name", "files", "mountPath", filesPath, "readOnly", true)})
	secure(pod, container, c.at.pods.SecurityContext)
	return value.Obj("job", job, "pod", pod, "container", container)
}

// podSpec returns a pod spec with the target's settings for all pods. Containers are never restarted: the Job creates another pod instead.
// Only plain jobs can have a token for the API server.
func (c *compiler) podSpec(account string) *value.Object {
	o := value.Obj("restartPolicy", "Never", "automountServiceAccountToken", false)
	if account != "" {
		o.Set("serviceAccountName", account)
	}
	if len(c.at.pods.ImagePullSecrets) > 0 {
		secrets := make([]any, len(c.at.pods.ImagePullSecrets))
		for i, name := range c.at.pods.ImagePullSecrets {
			secrets[i] = value.Obj("name", name)
		}
		o.Set("imagePullSecrets", secrets)
	}
	if s := selector(c.at.pods.NodeSelector); s.Len() > 0 {
		o.Set("nodeSelector", s)
	}
	if t := tolerations(c.at.pods.Tolerations); len(t) > 0 {
		o.Set("tolerations", t)
	}
	return o
}

// selector returns a node selector with the labels of all maps; later maps take precedence.
func selector(labels ...pipeline.Map[string]) *value.Object {
	o := &value.Object{}
	for _, m := range labels {
		for _, e := range m.Entries {
			o.Set(e.Key, query.Plain(e.Value))
		}
	}
	return o
}

// tolerations returns the tolerations of all lists.
func tolerations(lists ...[]pipeline.Toleration) []any {
	var out []any
	for _, list := range lists {
		for _, t := range list {
			o := value.Obj("operator", t.Operator)
			for _, f := range []struct{ name, text string }{{"key", t.Key}, {"value", t.Value}, {"effect", t.Effect}} {
				if f.text != "" {
					o.Set(f.name, query.Plain(f.text))
				}
			}
			if t.TolerationSeconds != nil {
				o.Set("tolerationSeconds", value.Int(int64(*t.TolerationSeconds)))
			}
			out = append(out, o)
		}
	}
	return out
}

// filesVolume returns the volume with the submitter's script and all working directories that are in ConfigMaps.
func (c *compiler) filesVolume() *value.Object {
	sources := []any{value.Obj("configMap", value.Obj("name", c.at.scripts))}
	for _, key := range c.at.order {
		if d := c.at.dirs[key]; d.configMap != "" {
			sources = append(sources, value.Obj("configMap", value.Obj("name", d.configMap)))
		}
	}
	return value.Obj("name", "files", "projected", value.Obj("sources", sources))
}

// submitterEnv returns the submitter's environment: Ray's address and token, and the numbers of failed pods, which Kubernetes counts.
func (c *compiler) submitterEnv() []any {
	env := []any{
		value.Obj("name", "RAYORCH_RAY", "value", fmt.Sprintf("%s.%s.svc:%d", c.at.service, c.at.namespace, c.at.port)),
	}
	for _, f := range []struct{ name, annotation string }{
		{"RAYORCH_FAILED_PODS", "job-index-failure-count"}, {"RAYORCH_IGNORED_PODS", "job-index-ignored-failure-count"},
	} {
		field := value.Obj("fieldPath", "metadata.annotations['batch.kubernetes.io/"+f.annotation+"']")
		env = append(env, value.Obj("name", f.name, "valueFrom", value.Obj("fieldRef", field)))
	}
	if t := c.at.target.Ray.Token; t != nil {
		env = append(env, secretVariable("RAY_AUTH_TOKEN", t))
	}
	return env
}

// secretVariable returns an environment variable whose value the kubelet reads from a Secret.
func secretVariable(name string, key *pipeline.SecretKey) *value.Object {
	return value.Obj("name", name, "valueFrom", value.Obj("secretKeyRef", value.Obj("name", query.Plain(key.Name), "key", query.Plain(key.Key))))
}

// secretVariables returns the environment variables of secrets.
func (c *compiler) secretVariables(names []string) []any {
	var out []any
	for _, name := range names {
		if s, _ := c.p.Secrets.Get(name); s.KubernetesSecret != nil {
			out = append(out, secretVariable(name, s.KubernetesSecret))
		}
	}
	return out
}

// dollars escapes a string for Kubernetes, which expands $(NAME) and replaces $$ with $ in commands, arguments and the environment.
func dollars(text query.Expr) query.Expr {
	return query.Call("join", query.Call("split", text, query.Str("$")), query.Str("$$"))
}

// argumentSize is the maximum number of characters in one argument: Linux allows 128 KiB, and a character has up to four bytes.
const argumentSize = 30000

var runLabels = query.Var("labels") // labels of all objects of a run

// metadata returns an object's metadata: its name, and the labels and annotations of the run, the step and the attempt.
func (a *attempts) metadata(name query.Expr) *value.Object {
	notes := value.Obj("rayorch.dev/step", a.sub.step, "rayorch.dev/attempt", a.sub.attempt().Value())
	if a.sub.kind == kindJob { // the metadata of a Ray job goes to Ray
		merge(notes, a.sub.metadata)
	}
	return value.Obj("name", name.Value(),
		"labels", extended(runLabels, query.Object(query.Bind("rayorch.dev/step", query.Str(a.sub.step)))).Value(),
		"annotations", extended(query.Var("annotations"), query.Inline(notes)).Value())
}

// extended returns an object with additional fields, which take precedence.
func extended(object, more query.Expr) query.Expr {
	return query.Call("merge", query.Array(object, more))
}

// submitterJob returns a Job that runs the submitter's script. deadline is in seconds.
func (a *attempts) submitterJob(name, args query.Expr, deadline int64, env []any) *value.Object {
	container := []query.Binding{query.Bind("args", args)}
	if len(env) > 0 {
		all := append([]query.Expr{submitterPart("container").Get("env")}, inlined(env)...)
		container = append(container, query.Bind("env", query.Array(all...)))
	}
	return value.Obj("apiVersion", "batch/v1", "kind", "Job", "metadata", a.metadata(name),
		"spec", submitterSpec(deadline, query.Object(container...)).Value())
}

// submitterPart returns the common fields of a Job's spec ("job"), of a pod or of a container that run the submitter's script.
func submitterPart(of string) query.Expr { return query.Var("submitter").Get(of) }

// submitterSpec returns the spec of a Job that runs the submitter's script, with additional fields of its container and its pod.
func submitterSpec(deadline int64, container query.Expr, pod ...query.Binding) query.Expr {
	containers := query.Array(extended(submitterPart("container"), container))
	spec := extended(submitterPart("pod"), query.Object(append(pod, query.Bind("containers", containers))...))
	template := query.Object(query.Bind("metadata", query.Object(query.Bind("labels", runLabels))), query.Bind("spec", spec))
	return extended(submitterPart("job"), query.Object(query.Bind("activeDeadlineSeconds", query.Int(deadline)), query.Bind("template", template)))
}

// inlined returns field values as expressions.
func inlined(items []any) []query.Expr {
	out := make([]query.Expr, len(items))
	for i, item := range items {
		out[i] = query.Inline(item)
	}
	return out
}
