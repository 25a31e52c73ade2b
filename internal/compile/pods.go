package compile

import (
	_ "embed" // the submitter's script
	"fmt"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

//go:embed submitter/submit.py
var submitScript string

// submitterErrors are what the submitter's exit codes say, from firstCode on.
var submitterErrors = []string{stepfn.RayJobFailed, stepfn.RayJobStopped, stepfn.RayHeadLost, stepfn.RaySubmitFailed, stepfn.RayPendingTimeout,
	stepfn.RayUnreachable, stepfn.RayUnauthorized, stepfn.StatesTimeout, stepfn.RayRuntimeEnvFailed}

const firstCode = 41

// filesPath is where pods find the submitter's script and working directories.
const filesPath = "/rayorch"

// submitter is what all pods with the submitter's script share: a Job's spec, a pod's and a container's.
func (c *compiler) submitter() *value.Object {
	codes := make([]any, len(submitterErrors))
	for i := range submitterErrors {
		codes[i] = value.Int(int64(firstCode + i))
	}
	// An indexed Job, for only its pods are told how many came before them: one that follows must not send a job again
	// that a lost head has forgotten. A pod that ends by one of our exit codes has done its work.
	job := value.Obj("completions", value.Int(1), "parallelism", value.Int(1), "completionMode", "Indexed",
		"backoffLimitPerIndex", value.Int(3), "ttlSecondsAfterFinished", value.Int(c.at.ttl()),
		"podFailurePolicy", value.Obj("rules", []any{
			value.Obj("action", "FailJob", "onExitCodes", value.Obj("containerName", "submit", "operator", "In", "values", codes)),
			value.Obj("action", "Ignore", "onPodConditions", []any{value.Obj("type", "DisruptionTarget", "status", "True")}),
		}))
	pod := c.podSpec(c.at.account)
	pod.Set("volumes", []any{c.filesVolume()})
	container := value.Obj("name", "submit", "image", plain(c.at.image), "command", []any{"python3", filesPath + "/submit.py"},
		"env", c.submitterEnv(),
		"resources", value.Obj("requests", value.Obj("cpu", "50m", "memory", "64Mi"), "limits", value.Obj("memory", "512Mi")),
		"terminationMessagePolicy", "FallbackToLogsOnError",
		"volumeMounts", []any{value.Obj("name", "files", "mountPath", filesPath, "readOnly", true)})
	secure(pod, container, c.at.pods.SecurityContext)
	return value.Obj("job", job, "pod", pod, "container", container)
}

// podSpec is what the target says of all pods. Nothing runs twice in one pod: a Job makes another. Only plain jobs may want a token for
// the API server.
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

func selector(labels ...pipeline.Map[string]) *value.Object {
	o := &value.Object{}
	for _, m := range labels {
		for _, e := range m.Entries {
			o.Set(e.Key, plain(e.Value))
		}
	}
	return o
}

func tolerations(lists ...[]pipeline.Toleration) []any {
	var out []any
	for _, list := range lists {
		for _, t := range list {
			o := value.Obj("operator", t.Operator)
			for _, f := range []struct{ name, text string }{{"key", t.Key}, {"value", t.Value}, {"effect", t.Effect}} {
				if f.text != "" {
					o.Set(f.name, plain(f.text))
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

// filesVolume has the submitter's script and all working directories of the pipeline.
func (c *compiler) filesVolume() *value.Object {
	sources := []any{value.Obj("configMap", value.Obj("name", c.at.scripts))}
	for _, key := range c.at.order {
		if d := c.at.dirs[key]; d.configMap != "" {
			sources = append(sources, value.Obj("configMap", value.Obj("name", d.configMap)))
		}
	}
	return value.Obj("name", "files", "projected", value.Obj("sources", sources))
}

// submitterEnv is where Ray is, the token, and what Kubernetes counts.
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

// secretVariable is an environment variable whose value the kubelet reads from a Secret.
func secretVariable(name string, key *pipeline.SecretKey) *value.Object {
	return value.Obj("name", name, "valueFrom", value.Obj("secretKeyRef", value.Obj("name", plain(key.Name), "key", plain(key.Key))))
}

// secretVariables are those of the secrets that a job gets.
func (c *compiler) secretVariables(names []string) []any {
	var out []any
	for _, name := range names {
		if s, _ := c.p.Secrets.Get(name); s.KubernetesSecret != nil {
			out = append(out, secretVariable(name, s.KubernetesSecret))
		}
	}
	return out
}

// dollars is the expression of a text that Kubernetes is to leave as it is: it takes $(NAME) for a variable and $$ for $
// in commands, arguments and the environment.
func dollars(expr string) string { return "$join($split(" + expr + ", '$'), '$$')" }

// argumentSize keeps one argument under what Linux takes, 128 KiB, also where each character has four bytes.
const argumentSize = "30000"

// chunks is the expression of a long text as several arguments, and whatever stands before them.
func chunks(text, before string) string {
	return "($s := " + text + "; [" + before + "$map([0..$floor(($length($s) - 1) / " + argumentSize + ")], function($i) { " +
		dollars("$substring($s, $i * "+argumentSize+", "+argumentSize+")") + " })])"
}

// object is a Kubernetes object's head with the labels and annotations of the run, the step and the attempt.
func (a *attempts) metadata(name string) *value.Object {
	own := a.t.job
	notes := value.Obj("rayorch.dev/step", a.t.step, "rayorch.dev/attempt", wrap("$string("+a.v("try")+")"))
	if own != nil {
		for _, e := range own.Metadata.Entries {
			notes.Set(e.Key, a.c.textField(e.Value, a.t.in))
		}
	}
	return value.Obj("name", wrap(name),
		"labels", wrap("$merge([$labels, {'rayorch.dev/step': "+str(a.t.step)+"}])"),
		"annotations", wrap("$merge([$annotations, "+inline(notes)+"])"))
}

// submitterJob is a Job that runs the submitter's script; deadline is in seconds.
func (a *attempts) submitterJob(name, args string, deadline int64, env []any) *value.Object {
	container := "'args': " + args
	if len(env) > 0 {
		container += ", 'env': [$submitter.container.env, " + inlineItems(env) + "]"
	}
	spec := fmt.Sprintf("$merge([$submitter.job, {'activeDeadlineSeconds': %d, 'template': {'metadata': {'labels': $labels}, "+
		"'spec': $merge([$submitter.pod, {'containers': [$merge([$submitter.container, {%s}])]}])}}])", deadline, container)
	return value.Obj("apiVersion", "batch/v1", "kind", "Job", "metadata", a.metadata(name), "spec", wrap(spec))
}

// inlineItems are a list's items as expressions, without the brackets.
func inlineItems(items []any) string {
	text := inline(items)
	return text[1 : len(text)-1]
}
