package compile_test

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
)

// The effect of a step's field in a submission mode.
const (
	carried = ""        // the field's value, which is unique, appears in the definition or in the files that are deployed with it
	refused = "refused" // the compilation fails with an error that names the field
	ignored = "ignored" // a note names the field
	prose   = "prose"   // text for readers of the file, which is not compiled
)

// fieldCase is a field with a value that appears nowhere else.
type fieldCase struct {
	yaml    string            // the field with its value, or the whole step if the field is required
	shows   string            // pattern that matches the result only if the field is present; if "", the result must just differ
	without string            // replacement of the field in the comparison
	in      map[string]string // the effect by mode; by default, the field is carried
	note    string            // name of the field in the note or error; defaults to the field's name
}

// stepFields has every field of every type below pipeline.Step. If a new field has no case here, TestEveryFieldHasACase fails. If a
// mode drops the field silently, TestEveryFieldIsCarried fails: a mode must reject a field, or add a note that it ignores the field.
var stepFields = map[string]map[string]fieldCase{
	"Step": {
		"name":           {yaml: "{name: marker, ray: {entrypoint: x}}", shows: "marker"},
		"description":    {yaml: ", description: marker", in: all(prose)},
		"after":          {yaml: ", after: []", shows: "Parallel 1"},
		"when":           {yaml: `, when: "1 < 98765"`, shows: "98765"},
		"ray":            {yaml: "{name: a, ray: {entrypoint: marker}}", shows: "marker"},
		"job":            {yaml: "{name: a, job: {shell: marker}}", shows: "marker"},
		"parallel":       {yaml: "{name: a, parallel: {steps: [{name: marker, ray: {entrypoint: x}}]}}", shows: "marker"},
		"forEach":        {yaml: "{name: a, forEach: {items: [98765], steps: [{name: b, ray: {entrypoint: x}}]}}", shows: "98765"},
		"context":        {yaml: ", context: marker", shows: "marker", in: map[string]string{"local": ignored, "aws": refused}},
		"timeout":        {yaml: ", timeout: 98765s", shows: "98765"},
		"pendingTimeout": {yaml: ", pendingTimeout: 98765s", shows: "98765"},
		"retry":          {yaml: ", retry: {attempts: 98}", shows: `\b9[78]\b`},
		"output":         {yaml: ", output: {marker: string}", shows: "marker"},
		"onFailure":      {yaml: ", onFailure: {ray: {entrypoint: marker}}", shows: "marker"},
	},
	"RayJob": {
		"entrypoint": {yaml: "entrypoint: marker", without: "entrypoint: y", shows: "marker"},
		"workingDir": {yaml: "entrypoint: y, workingDir: marker", shows: "marker|" + base64.StdEncoding.EncodeToString([]byte("zip of marker"))},
		"runtimeEnv": {yaml: "entrypoint: y, runtimeEnv: {pip: [marker]}", shows: "marker"},
		"cpus":       {yaml: "entrypoint: y, cpus: 98.75", shows: `98\.75`},
		"gpus":       {yaml: "entrypoint: y, gpus: 98.75", shows: `98\.75`},
		"memory":     {yaml: "entrypoint: y, memory: 9876543", shows: "9876543", in: map[string]string{"rayjob": refused}},
		"resources":  {yaml: "entrypoint: y, resources: {marker: 98.75}", shows: `marker[^,]*98\.75`},
		"env":        {yaml: "entrypoint: y, env: {MARKER: marked}", shows: "MARKER': 'marked"},
		"secrets":    {yaml: "entrypoint: y, secrets: [TOKEN]", shows: "SecretEnv|RAYORCH_SECRET_TOKEN", in: map[string]string{"proxy": refused, "rayjob": refused}},
		"metadata":   {yaml: "entrypoint: y, metadata: {mark: marked}", shows: `mark.*marked`},
	},
	"Job": {
		"image":                        {yaml: "shell: y, image: marker", shows: "marker", in: here(ignored)},
		"command":                      {yaml: "command: [marker]", without: "shell: y", shows: "marker"},
		"shell":                        {yaml: "shell: marker", without: "shell: y", shows: "marker"},
		"workingDir":                   {yaml: "shell: y, workingDir: marker", shows: "marker"},
		"inPlace":                      {yaml: "shell: y, workingDir: work, inPlace: true", without: "shell: y, workingDir: work", in: elsewhere(ignored)},
		"cpus":                         {yaml: "shell: y, cpus: 98.75", shows: `98\.75`, in: here(ignored)},
		"gpus":                         {yaml: "shell: y, gpus: 98.75", shows: `98\.75`, in: here(ignored)},
		"memory":                       {yaml: "shell: y, memory: 9876543", shows: "9876543", in: here(ignored)},
		"ephemeralStorage":             {yaml: "shell: y, ephemeralStorage: 9876543", shows: "9876543", in: here(ignored)},
		"nodeSelector":                 {yaml: "shell: y, nodeSelector: {mark: marked}", shows: `mark.*marked`, in: here(ignored)},
		"tolerations":                  {yaml: "shell: y, tolerations: [{key: marker}]", shows: "marker", in: here(ignored)},
		"mounts":                       {yaml: "shell: y, mounts: [{claim: marker, path: /m}]", shows: "marker", in: here(ignored)},
		"serviceAccount":               {yaml: "shell: y, serviceAccount: marker", shows: "marker", in: here(ignored)},
		"securityContext":              {yaml: "shell: y, securityContext: {runAsUser: 98765}", shows: "98765", in: here(ignored)},
		"automountServiceAccountToken": {yaml: "shell: y, automountServiceAccountToken: true", shows: `"automountServiceAccountToken": true`, in: here(ignored)},
		"env":                          {yaml: "shell: y, env: {MARKER: marked}", shows: "MARKER': 'marked"},
		"secrets":                      {yaml: "shell: y, secrets: [TOKEN]", shows: `SecretEnv|'name': 'TOKEN'`},
		"metadata":                     {yaml: "shell: y, metadata: {mark: marked}", shows: `mark.*marked`},
	},
	"Toleration": {
		"key":               {yaml: "key: marker", without: "key: other", shows: "marker", in: here(ignored), note: "tolerations"},
		"operator":          {yaml: "key: k, operator: Exists", without: "key: k", shows: "Exists", in: here(ignored), note: "tolerations"},
		"value":             {yaml: "key: k, value: marker", shows: "marker", without: "key: k", in: here(ignored), note: "tolerations"},
		"effect":            {yaml: "key: k, effect: NoExecute", without: "key: k", shows: "NoExecute", in: here(ignored), note: "tolerations"},
		"tolerationSeconds": {yaml: "key: k, tolerationSeconds: 98765", without: "key: k", shows: "98765", in: here(ignored), note: "tolerations"},
	},
	"Mount": {
		"claim":    {yaml: "claim: marker, path: /m", without: "claim: c, path: /m", shows: "marker", in: here(ignored), note: "mounts"},
		"path":     {yaml: "claim: c, path: /marker", without: "claim: c, path: /m", shows: "marker", in: here(ignored), note: "mounts"},
		"subPath":  {yaml: "claim: c, path: /m, subPath: marker", without: "claim: c, path: /m", shows: "marker", in: here(ignored), note: "mounts"},
		"readOnly": {yaml: "claim: c, path: /m, readOnly: true", without: "claim: c, path: /m", in: here(ignored), note: "mounts"},
	},
	"Retry": {
		"attempts":    {yaml: "attempts: 98", without: "attempts: 3", shows: `\b9[78]\b`},
		"interval":    {yaml: "interval: 98765s", shows: "98765"},
		"backoff":     {yaml: "backoff: 98.75", shows: `98\.75`},
		"maxInterval": {yaml: "maxInterval: 98765s", shows: "98765"},
		"jitter":      {yaml: "jitter: true", shows: `"FULL"|\$random`},
		"errors":      {yaml: "errors: [Ray.JobStopped, Ray.Unauthorized]", shows: `Ray.JobStopped['"],\s*['"]Ray.Unauthorized`},
	},
	"Parallel": {
		"steps":             {yaml: "steps: [{name: marker, ray: {entrypoint: x}}]", shows: "marker"},
		"maxConcurrency":    {yaml: "steps: [{name: b, ray: {entrypoint: x}}], maxConcurrency: 98765", shows: "98765"},
		"toleratedFailures": {yaml: "steps: [{name: b, ray: {entrypoint: x}}], toleratedFailures: 98765", shows: "98765"},
	},
	"ForEach": {
		"items":             {yaml: "items: [98765], steps: [{name: b, ray: {entrypoint: x}}]", shows: "98765"},
		"as":                {yaml: "items: [1], as: v, steps: [{name: b, ray: {entrypoint: 'x ${{ v }} marker'}}]", shows: "marker"},
		"steps":             {yaml: "items: [1], steps: [{name: marker, ray: {entrypoint: x}}]", shows: "marker"},
		"maxConcurrency":    {yaml: "items: [1], maxConcurrency: 98765, steps: [{name: b, ray: {entrypoint: x}}]", shows: "98765"},
		"toleratedFailures": {yaml: "items: [1], toleratedFailures: 98765, steps: [{name: b, ray: {entrypoint: x}}]", shows: "98765"},
	},
	"Cleanup": {
		"ray":     {yaml: "ray: {entrypoint: marker}", without: "ray: {entrypoint: y}", shows: "marker"},
		"job":     {yaml: "job: {shell: marker}", without: "job: {shell: y}", shows: "marker"},
		"timeout": {yaml: "ray: {entrypoint: y}, timeout: 98765s", without: "ray: {entrypoint: y}", shows: "98765"},
	},
	"Param": { // the declaration of an output
		"type":        {yaml: "type: integer", without: "type: string", shows: "integer"},
		"description": {yaml: "description: marker", in: all(prose)},
		"default":     {yaml: "default: marker", shows: "marker"},
		"choices":     {yaml: "choices: [marker]", shows: "marker"},
		"min":         {yaml: "type: integer, min: 98765", without: "type: integer", shows: "98765"},
		"max":         {yaml: "type: integer, max: 98765", without: "type: integer", shows: "98765"},
		"minLength":   {yaml: "minLength: 98765", shows: "98765"},
		"maxLength":   {yaml: "maxLength: 98765", shows: "98765"},
		"pattern":     {yaml: "pattern: marker", shows: "marker"},
		"items":       {yaml: "type: list, items: {choices: [marker]}", without: "type: list", shows: "marker"},
		"properties":  {yaml: "type: object, properties: {marker: {type: string}}", without: "type: object", shows: "marker"},
	},
}

// around has, for each type, the steps in which the type can occur. %s is the field.
var around = map[string][]string{
	"Step":       {"{name: a, ray: {entrypoint: y}%s}"},
	"RayJob":     {"{name: a, ray: {%s}}", "{name: a, job: {shell: y}, onFailure: {ray: {%s}}}"},
	"Job":        {"{name: a, job: {%s}}", "{name: a, ray: {entrypoint: y}, onFailure: {job: {%s}}}"},
	"Toleration": {"{name: a, job: {shell: y, tolerations: [{%s}]}}"},
	"Mount":      {"{name: a, job: {shell: y, mounts: [{%s}]}}"},
	"Retry":      {"{name: a, ray: {entrypoint: y}, retry: {%s}}"},
	"Parallel":   {"{name: a, parallel: {%s}}"},
	"ForEach":    {"{name: a, forEach: {%s}}"},
	"Cleanup":    {"{name: a, ray: {entrypoint: y}, onFailure: {%s}}"},
	"Param":      {"{name: a, ray: {entrypoint: y}, output: {k: {%s}}}"},
}

// extraFields are fields that have another effect in another kind of step.
var extraFields = []struct {
	name, step, without string
	fieldCase
}{
	{"pendingTimeout", "{name: a, job: {shell: y}, pendingTimeout: 98765s}", "{name: a, job: {shell: y}}", fieldCase{shows: "98765", in: here(ignored)}},
	{"timeout", "{name: a, job: {shell: y}, timeout: 98765s}", "{name: a, job: {shell: y}}", fieldCase{shows: "98765"}},
	{"context", "{name: a, job: {shell: y}, context: marker}", "{name: a, job: {shell: y}}", fieldCase{shows: "marker", in: map[string]string{"local": ignored, "aws": refused}}},
	{"retry", "{name: a, job: {shell: y}, retry: {attempts: 98}}", "{name: a, job: {shell: y}}", fieldCase{shows: `\b9[78]\b`}},
	{"output", "{name: a, job: {shell: y}, output: {marker: string}}", "{name: a, job: {shell: y}}", fieldCase{shows: "marker"}},
}

// modes are the targets and submission modes to test. Fields have the same effect on aws as on kubernetes, unless a case says otherwise.
var modes = map[string]compile.Options{"local": {Target: "local"}, "job": {Target: "cluster", Submit: "job"},
	"proxy": {Target: "cluster", Submit: "proxy"}, "rayjob": {Target: "cluster", Submit: "rayjob"}, "aws": {Target: "cloud"}}

// all, here and elsewhere return the modes in which a field has this effect: all modes, this machine, or clusters.
func all(what string) map[string]string {
	out := elsewhere(what)
	out["local"] = what
	return out
}

func here(what string) map[string]string { return map[string]string{"local": what} }

func elsewhere(what string) map[string]string {
	return map[string]string{"job": what, "proxy": what, "rayjob": what, "aws": what}
}

func TestEveryFieldIsCarried(t *testing.T) {
	for kind, fields := range stepFields {
		for name, f := range fields {
			for i, step := range around[kind] {
				t.Run(fmt.Sprintf("%s.%s/%d", kind, name, i), func(t *testing.T) {
					with, without := fmt.Sprintf(step, f.yaml), fmt.Sprintf(step, plainField(kind, f))
					if strings.HasPrefix(f.yaml, "{") { // the case is a whole step
						with, without = f.yaml, "{name: a, ray: {entrypoint: y}}"
					}
					checkField(t, name, with, without, f)
				})
			}
		}
	}
	for _, f := range extraFields {
		t.Run("of another kind/"+f.name, func(t *testing.T) { checkField(t, f.name, f.step, f.without, f.fieldCase) })
	}
}

// plainField returns the replacement of a field in the comparison.
func plainField(kind string, f fieldCase) string {
	switch {
	case f.without != "":
		return f.without
	case kind == "RayJob":
		return "entrypoint: y"
	case kind == "Job":
		return "shell: y"
	case kind == "Parallel":
		return "steps: [{name: b, ray: {entrypoint: x}}]"
	case kind == "ForEach":
		return "items: [1], steps: [{name: b, ray: {entrypoint: x}}]"
	}
	return ""
}

// checkField compiles a step with and without a field in every mode, and checks the effect of the field.
func checkField(t *testing.T, name, with, without string, f fieldCase) {
	t.Helper()
	called := f.note
	if called == "" {
		called = name
	}
	named := regexp.MustCompile(`\b` + called + `\b`)
	for mode, o := range modes {
		r, err := compileStep(t, with, o)
		plain, plainErr := compileStep(t, without, o)
		if plainErr != nil {
			t.Fatalf("%s: %v", mode, plainErr)
		}
		if f.in[mode] == refused {
			if err == nil || !named.MatchString(err.Error()) {
				t.Errorf("%s: got %v, want an error that names %s", mode, err, called)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", mode, err)
			continue
		}
		noted := slices.ContainsFunc(r.Notes, func(n string) bool { return named.MatchString(n) && (f.note != "" || !slices.Contains(plain.Notes, n)) })
		switch shown, before := everything(r), everything(plain); f.in[mode] {
		case ignored:
			if !noted {
				t.Errorf("%s ignores %s without a note: %q", mode, called, r.Notes)
			}
		case prose:
			if shown != before {
				t.Errorf("%s carries %s: add a pattern to the case", mode, called)
			}
		default:
			pattern := regexp.MustCompile(f.shows)
			if shown == before || !pattern.MatchString(shown) || f.shows != "" && pattern.MatchString(before) {
				t.Errorf("%s does not carry %s", mode, called)
			}
		}
	}
}

// compileStep compiles a pipeline with the step, after another step.
func compileStep(t *testing.T, step string, o compile.Options) (*compile.Result, error) {
	t.Helper()
	p, err := pipeline.Decode("pipeline.yaml", []byte(`version: 1
name: p
storage: {claim: data}
secrets: {TOKEN: {env: TOKEN, kubernetesSecret: {name: tokens, key: one}}}
targets:
  local: {kind: local}
  cluster: {kind: kubernetes, jobImage: i, workingDir: {}}
  cloud: {kind: aws, jobImage: i, aws: {clusterName: c, clusterEndpoint: "https://e", clusterAuthData: Q0E=}}
steps:
  - {name: first, ray: {entrypoint: first}}
  - `+step+"\n"))
	if err != nil {
		t.Fatalf("%s: %v", step, err)
	}
	o.BaseDir, o.Pack = "/base", packed
	return compile.Compile(p, o)
}

// everything returns everything that a run depends on, as text.
func everything(r *compile.Result) string {
	files := ""
	for _, f := range r.Files {
		for _, data := range f.Binary {
			files += string(data)
		}
	}
	return fmt.Sprintf("%s%s%s%+v", r.Definition, r.Cleanup, files, r.Uploads)
}

// TestEveryFieldHasACase requires a case for each field that a step of a file can have.
func TestEveryFieldHasACase(t *testing.T) {
	found := map[string]bool{}
	fieldsBelow(reflect.TypeFor[pipeline.Step](), map[reflect.Type]bool{}, found)
	for name := range found {
		kind, field, _ := strings.Cut(name, ".")
		if _, ok := stepFields[kind][field]; !ok {
			t.Errorf("no case for %s: add its effect in each submission mode", name)
		}
	}
	for kind, fields := range stepFields {
		for field := range fields {
			if !found[kind+"."+field] {
				t.Errorf("no field %s.%s", kind, field)
			}
		}
	}
}

// fieldsBelow collects the fields of a type and of all types in it, as Type.field.
func fieldsBelow(t reflect.Type, seen map[reflect.Type]bool, found map[string]bool) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		fieldsBelow(t.Elem(), seen, found)
	case reflect.Struct:
		if seen[t] {
			return
		}
		seen[t] = true
		for i := range t.NumField() {
			f := t.Field(i)
			if name := f.Tag.Get("yaml"); name != "" {
				found[t.Name()+"."+name] = true
			}
			fieldsBelow(f.Type, seen, found)
		}
	}
}
