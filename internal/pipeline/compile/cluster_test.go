package compile_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/asl/check"
	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/stepfn"
)

// packed is an Options.Pack for tests in which the content of directories does not matter.
func packed(dir string, _ []string) ([]byte, error) {
	return []byte("zip of " + filepath.Base(dir)), nil
}

// inCluster compiles a pipeline's text for a target in a cluster.
func inCluster(t *testing.T, text string, o compile.Options) (*compile.Result, error) {
	t.Helper()
	if o.Pack == nil {
		o.Pack = packed
	}
	o.BaseDir = "/base"
	r, err := compile.Compile(decode(t, text), o)
	if err != nil {
		return nil, err
	}
	for _, definition := range [][]byte{r.Definition, r.Cleanup} {
		for _, d := range check.Definition(string(definition), false).Problems {
			t.Errorf("the definition is not valid: %+v", d)
		}
	}
	return r, nil
}

// clusterResults compiles testdata/cluster.yaml, and returns the results by kind of target and submission mode.
func clusterResults(t *testing.T) map[string]*compile.Result {
	t.Helper()
	text, err := os.ReadFile("testdata/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*compile.Result{}
	for target, kind := range map[string]string{"cluster": "kubernetes", "cloud": "aws"} {
		for _, mode := range []string{"job", "proxy", "rayjob"} {
			r, err := inCluster(t, string(text), compile.Options{Target: target, Submit: mode})
			if err != nil {
				t.Fatal(err)
			}
			out[kind+"-"+mode] = r
		}
	}
	return out
}

func TestClusterGolden(t *testing.T) {
	again := clusterResults(t)
	for name, r := range clusterResults(t) {
		golden(t, filepath.Join("testdata", name+".json"), r.Definition)
		golden(t, filepath.Join("testdata", name+".cleanup.json"), r.Cleanup)
		if !bytes.Equal(r.Definition, again[name].Definition) || !bytes.Equal(r.Cleanup, again[name].Cleanup) {
			t.Errorf("%s: two compilations differ", name)
		}
		if r.Bounds.Events > stepfn.MaxEvents || r.Bounds.Payload > stepfn.MaxPayload || r.Bounds.Seconds != 2*24*3600 {
			t.Errorf("%s: the bounds are %+v", name, r.Bounds)
		}
		if aws := strings.HasPrefix(name, "aws"); aws != (r.Bounds.Items > 0) {
			t.Errorf("%s: the limit on items is %d", name, r.Bounds.Items)
		}
	}
}

// TestStatesAreTheSame checks that the top-level states have the same names in all submission modes: progress, graphs and people see them.
func TestStatesAreTheSame(t *testing.T) {
	for name, r := range clusterResults(t) {
		for _, state := range []string{`"train": {`, `"each": {`, `"infer": {`, `"Clean up after train": {`, `"Fail train": {`} {
			if !strings.Contains(string(r.Definition), state) {
				t.Errorf("%s has no state %s", name, state)
			}
		}
	}
}

func TestAccess(t *testing.T) {
	results := clusterResults(t)
	rule := func(group, resource string, names []string, verbs ...string) compile.Rule {
		return compile.Rule{APIGroups: []string{group}, Resources: []string{resource}, Names: names, Verbs: verbs}
	}
	jobs := []compile.Rule{
		rule("batch", "jobs", nil, "create", "get", "list", "delete"),
		rule("", "pods", nil, "get", "list"),
		rule("", "pods/log", nil, "get"),
		rule("", "events", nil, "list"),
	}
	head := rule("", "services/proxy", []string{"kuberay-head-svc:8265"}, "create", "get")
	for name, want := range map[string][]compile.Rule{
		"aws-job":    jobs,
		"aws-proxy":  append(jobs[:4:4], head),
		"aws-rayjob": append(jobs[:4:4], rule("ray.io", "rayjobs", nil, "create", "get", "list", "delete"), head),
	} {
		if diff := cmp.Diff(want, results[name].Access); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	watching := results["kubernetes-job"].Access[0].Verbs
	if watching[len(watching)-1] != "watch" {
		t.Errorf("the engine watches Jobs, but its verbs are %v", watching)
	}
	for name, r := range results {
		for _, rule := range r.Access {
			if strings.Contains(strings.Join(append(append(rule.Resources, rule.Verbs...), rule.APIGroups...), " "), "*") {
				t.Errorf("%s has a wildcard: %+v", name, rule)
			}
		}
	}
}

func TestFiles(t *testing.T) {
	results := clusterResults(t)
	r := results["kubernetes-job"]
	if len(r.Files) != 2 || r.Files[0].Data["submit.py"] == "" || len(r.Files[1].Binary) != 1 {
		t.Fatalf("the files are %+v", r.Files)
	}
	for _, f := range r.Files {
		if !strings.Contains(string(r.Definition), f.Name) {
			t.Errorf("the definition does not mount the ConfigMap %s", f.Name)
		}
	}
	if n := len(results["kubernetes-proxy"].Files); n != 0 {
		t.Errorf("an inline directory has %d ConfigMaps", n)
	}
	if diff := cmp.Diff([]compile.SecretKey{{Name: "tokens", Key: "one"}}, r.Secrets); diff != "" {
		t.Error(diff)
	}
}

// TestWorkingDirsBySize checks how directories of various sizes reach the jobs.
func TestWorkingDirsBySize(t *testing.T) {
	const text = head + `
storage: {claim: data}
targets: {c: {kind: kubernetes}}
steps: [{name: a, ray: {entrypoint: x, workingDir: work}}]
`
	for name, c := range map[string]struct {
		mode  string
		size  int
		text  string
		want  string // in the definition
		fails string
	}{
		"job":              {"job", 1 << 19, text, "-dir-", ""},
		"job too large":    {"job", 1 << 20, text, "", "too large for this submission mode"},
		"inline":           {"proxy", 40 << 10, text, "$dirs.d", ""},
		"claim":            {"proxy", 60 << 10, text, "Place files", ""},
		"claim by rayjob":  {"rayjob", 60 << 10, text, "Place files", ""},
		"no claim":         {"proxy", 60 << 10, strings.Replace(text, "storage: {claim: data}\n", "", 1), "", "object store"},
		"object store":     {"proxy", 2 << 20, strings.Replace(text, "kind: kubernetes", "kind: kubernetes, workingDir: {uri: s3://b/p/}", 1), `"working_dir": "s3://b/p/p/`, ""},
		"named, not able":  {"proxy", 10, strings.Replace(text, "kind: kubernetes", "kind: kubernetes, workingDir: {via: configMap}", 1), "", "requires submit: job"},
		"named, too large": {"job", 60 << 10, strings.Replace(text, "kind: kubernetes", "kind: kubernetes, workingDir: {via: inline}", 1), "", "too large for this submission mode"},
	} {
		t.Run(name, func(t *testing.T) {
			pack := func(string, []string) ([]byte, error) { return stored(t, c.size), nil }
			r, err := inCluster(t, c.text, compile.Options{Target: "c", Submit: c.mode, Pack: pack})
			switch {
			case c.fails != "":
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("the error is %v, want %s", err, c.fails)
				}
			case err != nil:
				t.Error(err)
			case !strings.Contains(string(r.Definition), c.want):
				t.Errorf("the definition does not contain %s", c.want)
			}
		})
	}
}

// stored returns a package with one file in a directory. It is slightly larger than size bytes.
func stored(t *testing.T, size int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.CreateHeader(&zip.FileHeader{Name: "sub/file", Method: zip.Store})
	if err == nil {
		_, err = f.Write(make([]byte, size))
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestUpload checks that an uploaded package has a top-level directory that Ray can strip.
func TestUpload(t *testing.T) {
	text := head + "\ntargets: {c: {kind: kubernetes, workingDir: {via: objectStore, uri: s3://b/p}}}\nsteps: [{name: a, ray: {entrypoint: x, workingDir: w}}]\n"
	r, err := inCluster(t, text, compile.Options{Target: "c", Pack: func(string, []string) ([]byte, error) { return stored(t, 5), nil }})
	if err != nil || len(r.Uploads) != 1 {
		t.Fatalf("%d uploads, %v", len(r.Uploads), err)
	}
	z, err := zip.NewReader(bytes.NewReader(r.Uploads[0].Data), int64(len(r.Uploads[0].Data)))
	if err != nil || len(z.File) != 1 || z.File[0].Name != "dir/sub/file" {
		t.Errorf("the package contains %v, %v", z, err)
	}
}

// TestStorageWithoutAClaim checks that plain jobs get scratch space at the storage's path, unless they mount something there, and that Ray
// steps do not require a storage directory.
func TestStorageWithoutAClaim(t *testing.T) {
	for name, c := range map[string]struct {
		storage, mounts string
		scratch, demand bool
	}{
		"none":                 {"", "", true, false},
		"a mount elsewhere":    {"", "{claim: other, path: /mnt/rayorch2}", true, false},
		"a mount below":        {"", "{claim: other, path: /mnt/rayorch/models}", true, false},
		"a mount in its place": {"", "{claim: other, path: /mnt/rayorch}", false, false},
		"a mount above":        {"", "{claim: other, path: /mnt}", false, false},
		"a claim":              {"storage: {claim: data}\n", "", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			text := head + "\n" + c.storage + "targets: {c: {kind: kubernetes}}\nsteps: [{name: a, ray: {entrypoint: x}}, {name: b, job: {shell: y, image: z, mounts: [" + c.mounts + "]}}]\n"
			r, err := inCluster(t, text, compile.Options{Target: "c"})
			if err != nil {
				t.Fatal(err)
			}
			definition := string(r.Definition)
			if got := strings.Contains(definition, `"emptyDir": {}`) && strings.Contains(definition, `"mountPath": "/mnt/rayorch"`); got != c.scratch {
				t.Errorf("scratch space: %v, want %v:\n%s", got, c.scratch, definition)
			}
			if got := !strings.Contains(definition, "has no storage directory"); got != c.demand {
				t.Errorf("a step fails without a storage directory: %v, want %v", got, c.demand)
			}
		})
	}
}

// TestRaySecrets checks how a Ray step gets a secret: through Ray's record, or through the pods of its cluster.
func TestRaySecrets(t *testing.T) {
	const own = "submit: rayjob, ray: {clusterSpec: {headGroupSpec: {template: {spec: {containers: [{name: head, env: [{name: OTHER, value: mine}]}]}}}, " +
		"workerGroupSpecs: [{template: {spec: {containers: [{name: worker}, {name: sidecar}]}}}]}}"
	for name, c := range map[string]struct {
		target, secret, mode string
		want, not            []string
		note                 bool
	}{
		"passed on by a pod":   {"", "", "job", []string{"'secrets': ['S']", "'hidden': ['OTHER']", "'name': 'RAYORCH_SECRET_S'", "'optional': true"}, []string{"inRayPods requires"}, true},
		"in Ray's pods, job":   {"", ", inRayPods: true", "job", []string{"'hidden': ['S', 'OTHER']", "inRayPods requires", "{S+x}"}, []string{"'secrets': "}, false},
		"in Ray's pods, proxy": {"", ", inRayPods: true", "proxy", []string{"inRayPods requires"}, []string{"secretKeyRef"}, false},
		"in its own cluster":   {own, "", "rayjob", []string{`"name": "S"`, `"secretKeyRef"`}, []string{"inRayPods requires"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			text := head + "\nsecrets: {S: {kubernetesSecret: {name: s, key: k}" + c.secret + "}, OTHER: {kubernetesSecret: {name: o, key: k}" + c.secret + "}}\n" +
				"targets: {c: {kind: kubernetes, " + c.target + "}}\nsteps: [{name: a, ray: {entrypoint: x, secrets: [S]}}, {name: b, ray: {entrypoint: x, secrets: [OTHER]}}]\n"
			r, err := inCluster(t, text, compile.Options{Target: "c", Submit: c.mode})
			if err != nil {
				t.Fatal(err)
			}
			definition := string(r.Definition)
			for _, want := range c.want {
				if !strings.Contains(definition, want) {
					t.Errorf("the definition does not contain %s", want)
				}
			}
			for _, not := range c.not {
				if strings.Contains(definition, not) {
					t.Errorf("the definition contains %s", not)
				}
			}
			if noted := strings.Contains(strings.Join(r.Notes, "\n"), "Ray's API and dashboard show the values of S, OTHER in its job records"); noted != c.note {
				t.Errorf("the notes are %q", r.Notes)
			}
			if c.target == own && (strings.Count(definition, `"name": "S"`) != 2 || strings.Count(definition, `"name": "OTHER"`) != 3) {
				t.Errorf("the head and the worker do not have each variable once:\n%s", definition)
			}
		})
	}
}

func TestUnsupported(t *testing.T) {
	for name, c := range map[string]struct{ target, steps, mode, want string }{
		"token by proxy":   {"{kind: kubernetes, ray: {token: {name: s, key: k}}}", "{name: a, ray: {entrypoint: x}}", "proxy", "proxy cannot send a token"},
		"secrets by proxy": {"{kind: kubernetes}", "{name: a, ray: {entrypoint: x, secrets: [S]}}", "proxy", "steps[0].ray.secrets: submission mode proxy cannot pass the values of secrets to Ray; use submit: job, or set inRayPods: true"},
		"no image":         {"{kind: kubernetes}", "{name: a, job: {command: [x]}}", "job", "steps[0].job: must have an image"},
		"queue by job":     {"{kind: kubernetes, submit: rayjob, queue: q, ray: {clusterSpec: {a: 1}}}", "{name: a, ray: {entrypoint: x}}", "job", "clusterSpec and queue require submit: rayjob"},
		"unknown mode":     {"{kind: kubernetes}", "{name: a, ray: {entrypoint: x}}", "pigeon", "unknown submission mode"},
		"unknown cluster":  {"{kind: aws}", "{name: a, ray: {entrypoint: x}}", "job", "clusterEndpoint"},
		"namespace":        {"{kind: kubernetes, namespace: A_B}", "{name: a, ray: {entrypoint: x}}", "job", "not a valid namespace"},
		"memory":           {"{kind: kubernetes}", "{name: a, ray: {entrypoint: x, memory: 1Gi}}", "rayjob", "is not supported in submission mode rayjob"},
		"secret":           {"{kind: kubernetes}", "{name: a, ray: {entrypoint: x, secrets: [E]}}", "job", "must have kubernetesSecret"},
	} {
		t.Run(name, func(t *testing.T) {
			text := head + "\nsecrets: {S: {kubernetesSecret: {name: s, key: k}}, E: {env: E}}\ntargets: {c: " + c.target + "}\nsteps: [" + c.steps + "]\n"
			_, err := inCluster(t, text, compile.Options{Target: "c", Submit: c.mode})
			var problems pipeline.Problems
			if !errors.As(err, &problems) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, want %s", err, c.want)
			}
		})
	}
}

// TestServiceOption checks that a Service name in an option which would change Ray's URL path is an error.
func TestServiceOption(t *testing.T) {
	text := head + "\ntargets: {c: {kind: kubernetes}}\nsteps: [{name: a, ray: {entrypoint: x}}]\n"
	for _, service := range []string{"..", "a/../../secrets", "a:80/proxy/x?"} {
		_, err := inCluster(t, text, compile.Options{Target: "c", Submit: "proxy", RayService: service})
		if err == nil || !strings.Contains(err.Error(), "targets.c.ray.service: \""+service+"\" is not a valid Service name") {
			t.Errorf("%s: the error is %v", service, err)
		}
	}
}

// TestBounds checks that a run of a year fits into the history of Step Functions in a submission mode that polls.
func TestBounds(t *testing.T) {
	const text = head + `
targets: {c: {kind: aws, aws: {clusterName: c, clusterEndpoint: "https://e", clusterAuthData: Q0E=}}}
steps: [STEPS]
`
	step := "{name: NAME, ray: {entrypoint: x}}"
	year := strings.Replace(text, "STEPS", strings.Replace(step, "NAME", "a", 1), 1)
	r, err := inCluster(t, year, compile.Options{Target: "c", Submit: "proxy"})
	if err != nil || r.Bounds.Events < 10_000 || r.Bounds.Events > 14_000 || r.Bounds.Seconds != 0 {
		t.Errorf("the bounds of a year are %+v (%v)", r.Bounds, err)
	}
	loop := strings.Replace(text, "STEPS", "{name: l, forEach: {items: LIST, steps: [{name: a, ray: {entrypoint: x}, timeout: 1h}]}}", 1)
	list := strings.Replace(loop, "LIST", "["+strings.Repeat("x, ", 9)+"x]", 1)
	r, err = inCluster(t, list, compile.Options{Target: "c", Submit: "proxy"})
	if err != nil || r.Bounds.Items != 0 || r.Bounds.Events < 10*1000 {
		t.Errorf("the bounds of ten items are %+v (%v)", r.Bounds, err)
	}
}

// TestLoops checks that loops which do not fit into the history are errors on AWS, with the number of events, and notes elsewhere.
func TestLoops(t *testing.T) {
	const text = head + `

targets:
	aws: {kind: aws, aws: {clusterName: c, clusterEndpoint: "https://e", clusterAuthData: Q0E=}}
	kubernetes: {kind: kubernetes}
steps: [{name: first, ray: {entrypoint: x}, timeout: 1m}, {name: l, forEach: {items: ITEMS, steps: [{name: a, ray: {entrypoint: x}, retry: {attempts: ATTEMPTS}TIMEOUT}]}}]
`
	for name, c := range map[string]struct{ target, items, attempts, timeout, note, problem string }{
		"aws, unknown":             {"aws", `"${{ steps.first.output }}"`, "2", ", timeout: 1h", "items fit into the execution history; with more", ""},
		"aws, no room for one":     {"aws", `"${{ steps.first.output }}"`, "400", "", "", "a run with one item in each forEach may have 36"},
		"kubernetes, unknown":      {"kubernetes", `"${{ steps.first.output }}"`, "2", ", timeout: 1h", "items fit into the execution history (25000 events)", ""},
		"kubernetes, known, large": {"kubernetes", "[" + strings.Repeat("1,", 99) + "1]", "1", "", "has 12", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := inCluster(t, strings.NewReplacer("ITEMS", c.items, "ATTEMPTS", c.attempts, "TIMEOUT", c.timeout).Replace(text),
				compile.Options{Target: c.target, Submit: "proxy"})
			switch {
			case c.problem != "":
				if err == nil || !strings.Contains(err.Error(), c.problem) {
					t.Errorf("the error is %v, want %s", err, c.problem)
				}
			case err != nil:
				t.Error(err)
			case !strings.Contains(strings.Join(r.Notes, "\n"), c.note):
				t.Errorf("the notes are %q, want %s", r.Notes, c.note)
			}
		})
	}
}

// TestOtherClusters runs steps in other clusters than that of the target.
func TestOtherClusters(t *testing.T) {
	const text = head + `
targets: {c: {kind: kubernetes, context: main}, cloud: {kind: aws, aws: {clusterName: c, clusterEndpoint: "https://e", clusterAuthData: Q0E=}}}
steps:
- {name: a, ray: {entrypoint: x}}
- {name: b, context: other, ray: {entrypoint: x}}
`
	for _, mode := range []string{"job", "proxy", "rayjob"} {
		r, err := inCluster(t, text, compile.Options{Target: "c", Submit: mode})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"other"}, r.Contexts); diff != "" || r.Cluster != "main" {
			t.Error(diff)
		}
		for _, definition := range [][]byte{r.Definition, r.Cleanup} {
			mine, others := strings.Count(string(definition), `"ClusterName": "main"`), strings.Count(string(definition), `"ClusterName": "other"`)
			if mine == 0 || mine != others {
				t.Errorf("%s: %d calls of one cluster, %d of the other", mode, mine, others)
			}
		}
	}
	if _, err := inCluster(t, text, compile.Options{Target: "cloud"}); err == nil || !strings.Contains(err.Error(), "steps[1].context") {
		t.Errorf("the error is %v", err)
	}
}
