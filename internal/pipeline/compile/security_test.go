package compile_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/value"
)

// podSpecs returns the specs of the pods that a compiled pipeline creates, by the names of their objects: those of a successful run, of a
// run whose jobs all fail, and of the cleanup.
func podSpecs(t *testing.T, r *compile.Result) map[string]*value.Object {
	t.Helper()
	out := map[string]*value.Object{}
	keep := func(spec any, name any) {
		if o, ok := spec.(*value.Object); ok {
			out[name.(string)] = o
		}
	}
	play := func(end answer) func(s *simulation, call string, in *value.Object) (answer, bool) {
		return func(s *simulation, call string, in *value.Object) (answer, bool) {
			keep(get(in, "Job", "spec", "template", "spec"), orNone(get(in, "Job", "metadata", "name")))
			keep(get(in, "RequestBody", "spec", "submitterPodTemplate", "spec"), orNone(get(in, "RequestBody", "metadata", "name")))
			switch {
			case strings.HasPrefix(call, "Job "):
				return end, true
			case strings.HasPrefix(call, "GET") && strings.HasSuffix(call, "/pods"):
				return answer{body: podRuns}, true
			}
			return answer{failure: "EKS.400", cause: "not here"}, true
		}
	}
	done := answer{body: strings.Replace(jobDone, "[7]", `{\"parts\": [1], \"model\": \"m\", \"loss\": 1}`, 1)}
	simulate(t, r.Definition, play(done))
	simulate(t, r.Definition, play(answer{failure: "States.TaskFailed", cause: "failed"}))
	event := `{"detail": {"executionArn": "arn:execution", "name": "run1"}}`
	simulateInput(t, r.Cleanup, event, 0, func(s *simulation, call string, in *value.Object) (answer, bool) {
		if strings.HasPrefix(call, "GET") {
			return answer{body: `{"ResponseBody": {"items": [], "data": {"result": {"result": []}}}}`}, true
		}
		return play(done)(s, call, in)
	})
	return out
}

func orNone(v any) any {
	if v == nil {
		return "none"
	}
	return v
}

// shipped compiles the pipelines that the project ships, and the golden pipeline, for clusters in all submission modes.
func shipped(t *testing.T) map[string]*compile.Result {
	t.Helper()
	out := map[string]*compile.Result{}
	for _, file := range []string{"testdata/cluster.yaml", "../../../examples/shakespeare/pipeline.yaml", "../../../examples/gptj/pipeline.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		add := func(name string, text string, o compile.Options) {
			r, err := inCluster(t, text, o)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			out[name] = r
		}
		targets := decode(t, string(text)).Targets
		for _, e := range targets.Entries {
			if e.Value.Kind == "local" {
				continue
			}
			for _, mode := range []string{"job", "proxy", "rayjob"} {
				add(strings.Join([]string{filepath.Dir(file), e.Key, mode}, " "), string(text), compile.Options{Target: e.Key, Submit: mode,
					Claim: "data", JobImage: "busybox", Cluster: compile.Cluster{Name: "c", Endpoint: "https://e", CertificateAuthority: "Q0E="}})
			}
		}
	}
	const token = head + "\ntargets: {c: {kind: kubernetes, ray: {cluster: r, token: {name: r, key: auth_token}}}}\nsteps: [{name: a, ray: {entrypoint: x}}]\n"
	const placing = head + "\nstorage: {claim: data}\ntargets: {c: {kind: kubernetes, workingDir: {via: claim}}}\nsteps: [{name: a, ray: {entrypoint: x, workingDir: w}}]\n"
	for name, c := range map[string]struct{ text, mode string }{"token": {token, "rayjob"}, "placing": {placing, "proxy"}} {
		r, err := inCluster(t, c.text, compile.Options{Target: "c", Submit: c.mode})
		if err != nil {
			t.Fatal(err)
		}
		out[name] = r
	}
	return out
}

// TestPodsAreRestricted checks that each pod that a run or its cleanup creates complies with the Pod Security Standard "restricted" and has
// no token. TestRestricted uses a real API server.
func TestPodsAreRestricted(t *testing.T) {
	const pod = `{"runAsNonRoot":true,"runAsUser":1000,"fsGroup":1000,"fsGroupChangePolicy":"OnRootMismatch","seccompProfile":{"type":"RuntimeDefault"}}`
	const container = `{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}`
	all := shipped(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		specs := podSpecs(t, all[name])
		if (len(specs) == 0) != (len(all[name].Pods) == 0) {
			t.Errorf("%s: a run creates %d kinds of pods, and the result has %d", name, len(specs), len(all[name].Pods))
		}
		for of, spec := range specs {
			containers, _ := get(spec, "containers").([]any)
			if got := value.Text(get(spec, "securityContext")); got != pod {
				t.Errorf("%s: the pod of %s has %s", name, of, got)
			}
			if got := value.Text(get(containers[0], "securityContext")); got != container || len(containers) != 1 {
				t.Errorf("%s: the container of %s has %s", name, of, got)
			}
			if get(spec, "automountServiceAccountToken") != false {
				t.Errorf("%s: the pod of %s gets a token", name, of)
			}
		}
		for _, p := range all[name].Pods {
			if why := p.Refused("restricted"); why != nil {
				t.Errorf("%s: restricted rejects the pods of %s: %s", name, p.Of, why)
			}
		}
	}
}

const contexts = head + `
targets: {c: {kind: kubernetes, jobImage: x, ray: {token: {name: s, key: k}}, pods: {PODS}}}
steps:
- {name: ray, ray: {entrypoint: x}}
- {name: plain, job: {shell: x}}
- {name: own, job: {shell: x, JOB}, onFailure: {job: {shell: x}}}
`

// TestSecurityContext checks that each field is in the right security context, and that nothing of the default remains.
func TestSecurityContext(t *testing.T) {
	type security struct{ Pod, Container, Token string }
	const pod, container = `{"runAsNonRoot":true,"runAsUser":1000,"fsGroup":1000,"fsGroupChangePolicy":"OnRootMismatch","seccompProfile":{"type":"RuntimeDefault"}}`,
		`{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}`
	def := security{pod, container, "false"}
	for name, c := range map[string]struct {
		pods, job  string
		ray, plain security
		own        security
		refused    map[string][]string
	}{
		"default": {"", "", def, def, def, nil},
		"root":    {"", "securityContext: {}", def, def, security{"", "", "false"}, map[string][]string{"step own": {"allowPrivilegeEscalation != false", "unrestricted capabilities", "runAsNonRoot != true", "seccompProfile"}}},
		"split": {"", "securityContext: {runAsUser: 7, fsGroup: 8, capabilities: {add: ['{% x %}']}}, automountServiceAccountToken: true", def, def,
			security{`{"fsGroup":8}`, `{"runAsUser":7,"capabilities":{"add":["{% x %}"]}}`, "true"}, map[string][]string{"step own": {"allowPrivilegeEscalation != false", "unrestricted capabilities", "runAsNonRoot != true", "seccompProfile"}}},
		"target": {"securityContext: {runAsUser: 0}, automountServiceAccountToken: true", "automountServiceAccountToken: false",
			security{"", `{"runAsUser":0}`, "false"}, security{"", `{"runAsUser":0}`, "true"}, security{"", `{"runAsUser":0}`, "false"},
			map[string][]string{
				"the submitters":        {"allowPrivilegeEscalation != false", "unrestricted capabilities", "runAsNonRoot != true", "runAsUser=0", "seccompProfile"},
				"step plain":            {"allowPrivilegeEscalation != false", "unrestricted capabilities", "runAsNonRoot != true", "runAsUser=0", "seccompProfile"},
				"step own":              {"allowPrivilegeEscalation != false", "unrestricted capabilities", "runAsNonRoot != true", "runAsUser=0", "seccompProfile"},
				"onFailure of step own": {"allowPrivilegeEscalation != false", "unrestricted capabilities", "runAsNonRoot != true", "runAsUser=0", "seccompProfile"},
			}},
		"both": {"securityContext: {fsGroup: 5}", "securityContext: " + strings.NewReplacer(`"`, "", ":", ": ").Replace(pod[:len(pod)-1]+","+container[1:]),
			security{`{"fsGroup":5}`, "", "false"}, security{`{"fsGroup":5}`, "", "false"},
			security{`{"fsGroup":1000,"fsGroupChangePolicy":"OnRootMismatch"}`, `{"runAsNonRoot":true,"runAsUser":1000,"seccompProfile":{"type":"RuntimeDefault"},` + container[1:], "false"},
			map[string][]string{
				"the submitters":        {"allowPrivilegeEscalation != false", "unrestricted capabilities", "runAsNonRoot != true", "seccompProfile"},
				"step plain":            {"allowPrivilegeEscalation != false", "unrestricted capabilities", "runAsNonRoot != true", "seccompProfile"},
				"onFailure of step own": {"allowPrivilegeEscalation != false", "unrestricted capabilities", "runAsNonRoot != true", "seccompProfile"},
			}},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := inCluster(t, strings.NewReplacer("PODS", c.pods, ", JOB", strings.TrimSuffix(", "+c.job, ", ")).Replace(contexts), compile.Options{Target: "c"})
			if err != nil {
				t.Fatal(err)
			}
			found := map[string]security{}
			for of, spec := range podSpecs(t, r) {
				containers, _ := get(spec, "containers").([]any)
				for _, step := range []string{"-ray-", "-plain-", "-own-"} {
					if strings.Contains(of, step) {
						found[strings.Trim(step, "-")] = security{text(get(spec, "securityContext")), text(get(containers[0], "securityContext")),
							text(get(spec, "automountServiceAccountToken"))}
					}
				}
			}
			if diff := cmp.Diff(map[string]security{"ray": c.ray, "plain": c.plain, "own": c.own}, found); diff != "" {
				t.Error(diff)
			}
			refused := map[string][]string{}
			for _, p := range r.Pods {
				if why := p.Refused("restricted"); why != nil {
					refused[p.Of] = why
				}
			}
			if len(refused)+len(c.refused) > 0 && !cmp.Equal(c.refused, refused) {
				t.Error(cmp.Diff(c.refused, refused))
			}
		})
	}
}

// text returns a value as JSON, or "" for nil.
func text(v any) string {
	if v == nil {
		return ""
	}
	return value.Text(v)
}

// TestSecurityHints checks the hint in the cause of a step that fails because of the security context of its pod.
func TestSecurityHints(t *testing.T) {
	const plain = head + "\ntargets: {c: {kind: kubernetes, jobImage: x}}\nsteps: [{name: one, job: {shell: x, MORE}}]\n"
	pods := func(status string) answer {
		return answer{body: `{"ResponseBody": {"items": [{"metadata": {"creationTimestamp": "1"}, "status": ` + status + `}]}}`}
	}
	waits := func(message string) answer {
		return pods(`{"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "CreateContainerConfigError", "message": "` + message + `"}}}]}`)
	}
	ended := func(message string) answer {
		return pods(`{"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 120, "message": "` + message + `"}}}]}`)
	}
	const forbidden = `pods \"p\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true`
	refused := answer{body: `{"ResponseBody": {"items": [{"type": "Warning", "reason": "FailedCreate", "message": "` + forbidden + `", "metadata": {"creationTimestamp": "1"}}]}}`}
	for name, c := range map[string]struct {
		text         string
		pods, events answer
		fails        bool
		want         string
	}{
		"root":   {plain, waits("container has runAsNonRoot and image will run as root"), refused, false, "image will run as root: set securityContext"},
		"name":   {rayStep, waits("container has runAsNonRoot and image has non-numeric user (ray), cannot verify user is non-root"), refused, false, "user is non-root: set securityContext"},
		"policy": {plain, waits("container's runAsUser breaks non-root policy"), refused, false, "breaks non-root policy: set securityContext"},
		"admission": {plain, answer{body: noPods}, refused, false,
			`FailedCreate: pods "p" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true: set securityContext`},
		"submitter's": {rayStep, answer{body: noPods}, refused, false, `runAsNonRoot != true: set securityContext`},
		"other":       {plain, waits("secret missing"), refused, false, "CreateContainerConfigError: secret missing"},
		"denied":      {plain, ended("mkdir: /data: Permission denied"), refused, true, "exit code 120: mkdir: /data: Permission denied: the job runs as user 1000: set securityContext"},
		"own":         {strings.Replace(plain, "MORE", "securityContext: {}", 1), ended("Permission denied"), refused, true, "exit code 120: Permission denied"},
	} {
		t.Run(name, func(t *testing.T) {
			s := simulate(t, definition(t, strings.Replace(c.text, ", MORE", "", 1), "job"), func(_ *simulation, call string, _ *value.Object) (answer, bool) {
				switch {
				case strings.HasPrefix(call, "Job "):
					return answer{failure: "States.TaskFailed", cause: "failed"}, c.fails
				case strings.HasSuffix(call, "/events"):
					return c.events, true
				case strings.HasPrefix(call, "DELETE"):
					return answer{body: jobGone}, true
				}
				return c.pods, true
			})
			if !strings.HasSuffix(s.Cause, c.want) {
				t.Errorf("%s: %s: want %s", s.Error, s.Cause, c.want)
			}
		})
	}
}

// TestWritableHome checks that a command gets a writable HOME if the image has none for its user, and that a writable HOME is not changed.
func TestWritableHome(t *testing.T) {
	text := head + "\ntargets: {c: {kind: kubernetes, jobImage: x}}\nsteps: [{name: one, job: {shell: 'echo \"$HOME\"'}}]\n"
	var command string
	simulate(t, definition(t, text, "job"), func(_ *simulation, call string, in *value.Object) (answer, bool) {
		if strings.HasPrefix(call, "Job ") {
			containers, _ := get(in, "Job", "spec", "template", "spec", "containers").([]any)
			words, _ := get(containers[0], "command").([]any)
			command, _ = words[2].(string)
			return answer{body: jobDone}, true
		}
		return answer{body: podRuns}, true
	})
	command = strings.ReplaceAll(command, "$$", "$") // as the kubelet reads it
	for name, shell := range shells(t) {
		tmp, home := t.TempDir(), t.TempDir()
		for given, want := range map[string]string{"/nowhere": tmp, "": tmp, home: home} {
			cmd := exec.Command(shell[0], append(shell[1:], command)...)
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + tmp, "RAYORCH_STORAGE=" + t.TempDir(), "HOME=" + given}
			if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != want {
				t.Errorf("%s: HOME=%q became %q, want %q (%v)", name, given, out, want, err)
			}
		}
	}
}
