package compile_test

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/rayorch/rayorch/internal/asl/check"
	"github.com/rayorch/rayorch/internal/pipeline"
	"github.com/rayorch/rayorch/internal/pipeline/compile"
	"github.com/rayorch/rayorch/internal/value"
)

// onDisk reads files of a test directory. Its packages of modules contain only the module's name.
type onDisk struct{ t *testing.T }

func (onDisk) Stat(path string) (fs.FileInfo, error) { return os.Stat(path) }
func (onDisk) ReadFile(path string) ([]byte, error)  { return os.ReadFile(path) }
func (d onDisk) PackModule(path string, _ []string) (string, []byte, error) {
	if strings.HasSuffix(path, ".whl") {
		return "w-1.0-0xab-py3-none-any.whl", []byte("wheel"), nil
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	if _, err := w.Create(filepath.Base(path) + "/__init__.py"); err != nil {
		d.t.Fatal(err)
	}
	err := w.Close()
	return "_ray_pkg_ab.zip", b.Bytes(), err
}

// tree writes files to a temporary directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), []byte(text))
	}
	return dir
}

var envTree = map[string]string{
	"code/tools/__init__.py": "", "code/requirements.txt": "# ours\n\na==1\nb \\\n  --hash=sha256:00\n-r more/extra.txt\n",
	"code/more/extra.txt": "c\n--requirement ../last.txt\n-c ${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}/c.txt\n", "code/last.txt": "d @ https://x/d.whl\n",
	"beside.txt": "e\n", "environment.yaml": "name: x\ndependencies:\n- python=3.11\n- pip: [-r beside.txt, f]\n",
	"one.py": "", "w-1.0-py3-none-any.whl": "", "data.csv": "", "bad.txt": "-e .\n./w.whl\n", "cycle.txt": "-r cycle.txt\n", "list.yaml": "- a\n", "broken.yaml": "{",
}

const envSteps = head + `
targets: {here: {kind: local}, c: {kind: kubernetes, submit: SUBMIT, jobImage: x, workingDir: {uri: "URI"}}}
steps: [{name: a, ray: {entrypoint: x, workingDir: code, runtimeEnv: ENV}}]
`

// TestEnvFiles checks that runtime environments contain the contents of the files that they name, on all targets.
func TestEnvFiles(t *testing.T) {
	dir := tree(t, envTree)
	for name, c := range map[string]struct{ env, want string }{
		"pip file":   {"{pip: requirements.txt}", `{"pip": ["a==1", "b --hash=sha256:00", "c", "d @ https://x/d.whl", "-c ${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}/c.txt"]}`},
		"beside":     {"{uv: ./beside.txt}", `{"uv": ["e"]}`},
		"packages":   {"{pip: {packages: beside.txt, pip_check: true}}", `{"pip": {"pip_check": true, "packages": ["e"]}}`},
		"in a list":  {"{pip: [-r beside.txt, numpy, x @ https://x/x.whl]}", `{"pip": ["e", "numpy", "x @ https://x/x.whl"]}`},
		"conda file": {"{conda: environment.yaml}", `{"conda": {"name": "x", "dependencies": ["python=3.11", {"pip": ["e", "f"]}]}}`},
		"conda name": {"{conda: base}", `{"conda": "base"}`},
		"address":    {"{py_modules: [\"https://x/m.zip\"]}", `{"py_modules": ["https://x/m.zip"]}`},
		"other keys": {"{config: {setup_timeout_seconds: 9}}", `{"config": {"setup_timeout_seconds": 9}}`},
	} {
		for _, submit := range []string{"", "job", "proxy"} {
			text := strings.NewReplacer("ENV", c.env, "SUBMIT", "job", "URI", "s3://b/p").Replace(envSteps)
			o := compile.Options{BaseDir: dir, Files: onDisk{t}, Pack: packed}
			if submit != "" {
				o.Target, o.Submit = "c", submit
			}
			r, err := compile.Compile(decode(t, text), o)
			if err != nil {
				t.Errorf("%s, %s: %v", name, submit, err)
				continue
			}
			want, err := value.ParseObject([]byte(c.want))
			if err != nil {
				t.Fatal(err)
			}
			definition, err := value.ParseObject(r.Definition)
			if err != nil {
				t.Fatal(err)
			}
			if submit == "job" { // part of an expression
				continue
			}
			got := envOf(t, definition)
			if !value.Equal(got, want) {
				t.Errorf("%s, %s: the runtime environment is %s", name, submit, value.Text(got))
			}
		}
	}
}

// envOf returns the runtime environment of the only Ray job, without variables and the working directory.
func envOf(t *testing.T, definition *value.Object) any {
	t.Helper()
	env, ok := get(definition, "States", "a", "Arguments", "RuntimeEnv").(*value.Object)
	if !ok {
		branches, _ := get(definition, "States", "a", "Branches").([]any)
		env, ok = get(branches[0], "States", "Run a", "Arguments", "RequestBody", "runtime_env").(*value.Object)
	}
	if !ok {
		t.Fatalf("no runtime environment")
	}
	return env.Without("env_vars").Without("working_dir")
}

// TestModules checks how local modules reach Ray in each submission mode.
func TestModules(t *testing.T) {
	dir := tree(t, envTree)
	text := strings.Replace(envSteps, "ENV", "{py_modules: [tools, ./one.py, w-1.0-py3-none-any.whl]}", 1)
	build := func(target, submit, uri string) (*compile.Result, error) {
		return compile.Compile(decode(t, strings.NewReplacer("SUBMIT", submit, "URI", uri).Replace(text)),
			compile.Options{BaseDir: dir, Files: onDisk{t}, Pack: packed, Target: target})
	}
	r, err := build("here", "job", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{dir + "/code/tools", dir + "/one.py", dir + "/w-1.0-py3-none-any.whl"} {
		if !strings.Contains(string(r.Definition), `"`+want+`"`) {
			t.Errorf("the definition does not contain %s", want)
		}
	}
	if r, err = build("c", "job", ""); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"'py_modules': ['gcs://_ray_pkg_ab.zip', 'gcs://_ray_pkg_ab.zip', 'gcs://w-1.0-0xab-py3-none-any.whl']", "'modules': {'_ray_pkg_ab.zip': '"} {
		if !strings.Contains(string(r.Definition), want) {
			t.Errorf("the definition does not contain %s", want)
		}
	}
	if len(r.Files) < 4 {
		t.Errorf("%d ConfigMaps", len(r.Files))
	}
	for _, submit := range []string{"proxy", "rayjob"} {
		if r, err = build("c", submit, "s3://b/p"); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(r.Definition), "s3://b/p/p/_ray_pkg_ab.zip") || len(r.Uploads) != 2 {
			t.Errorf("%s: %d uploads", submit, len(r.Uploads))
		}
		_, err = build("c", submit, "")
		want := "pipeline.yaml:5:84: steps[0].ray.runtimeEnv.py_modules[0]: submission mode " + submit + " cannot upload a module"
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s without an object store: %v", submit, err)
		}
	}
}

// TestMissingFiles checks the error for each missing file that a pipeline names, with its position.
func TestMissingFiles(t *testing.T) {
	dir := tree(t, envTree)
	for name, c := range map[string]struct{ step, want string }{
		"working directory": {"ray: {entrypoint: x, workingDir: cod}", "4:40: steps[0].ray.workingDir: the directory cod does not exist"},
		"a file":            {"ray: {entrypoint: x, workingDir: one.py}", "4:40: steps[0].ray.workingDir: one.py is not a directory"},
		"of a job":          {"job: {shell: x, workingDir: ../x}", "4:35: steps[0].job.workingDir: the directory ../x does not exist"},
		"of a cleanup":      {"job: {shell: x}, onFailure: {job: {shell: x, workingDir: no}}", "4:64: steps[0].onFailure.job.workingDir: the directory no does not exist"},
		"inside":            {"parallel: {steps: [{name: b, ray: {entrypoint: x, workingDir: no}}]}", "4:69: steps[0].parallel.steps[0].ray.workingDir: the directory no does not exist"},
		"requirements":      {"ray: {entrypoint: x, runtimeEnv: {pip: no.txt}}", "4:53: steps[0].ray.runtimeEnv.pip: the requirements file no.txt does not exist in the directory of the pipeline file"},
		"with a directory":  {"ray: {entrypoint: x, workingDir: code, runtimeEnv: {uv: no.txt}}", "4:71: steps[0].ray.runtimeEnv.uv: the requirements file no.txt does not exist in the working directory code or in the directory of the pipeline file"},
		"included":          {"ray: {entrypoint: x, runtimeEnv: {pip: [-r no.txt]}}", `4:59: steps[0].ray.runtimeEnv.pip[0]: the requirements file no.txt, which "-r no.txt" includes, does not exist`},
		"conda":             {"ray: {entrypoint: x, runtimeEnv: {conda: no.yml}}", "4:53: steps[0].ray.runtimeEnv.conda: the conda file no.yml does not exist in the directory of the pipeline file"},
		"no conda file":     {"ray: {entrypoint: x, runtimeEnv: {conda: list.yaml}}", "4:53: steps[0].ray.runtimeEnv.conda: the conda file list.yaml: expected a map with keys such as dependencies"},
		"broken conda file": {"ray: {entrypoint: x, runtimeEnv: {conda: broken.yaml}}", "4:53: steps[0].ray.runtimeEnv.conda: the conda file broken.yaml: yaml: line 1: did not find expected node content"},
		"module":            {"ray: {entrypoint: x, runtimeEnv: {py_modules: [no]}}", "4:66: steps[0].ray.runtimeEnv.py_modules[0]: the module no does not exist in the directory of the pipeline file"},
		"no module":         {"ray: {entrypoint: x, runtimeEnv: {py_modules: [data.csv]}}", "4:66: steps[0].ray.runtimeEnv.py_modules[0]: data.csv must be a directory, a .py file or a .whl file"},
		"not a list":        {"ray: {entrypoint: x, runtimeEnv: {py_modules: code}}", "4:53: steps[0].ray.runtimeEnv.py_modules: expected a list of directories, .py files, .whl files and URLs"},
		"wheel by pip": {"ray: {entrypoint: x, runtimeEnv: {pip: [dist/w.whl]}}", `4:59: steps[0].ray.runtimeEnv.pip[0]: "dist/w.whl" names a file on this machine, which Ray cannot read: ` +
			"add a wheel or a directory to py_modules, or put the file into the working directory and refer to it as ${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}/dist/w.whl"},
		"cycle": {"ray: {entrypoint: x, runtimeEnv: {pip: cycle.txt}}", "4:53: steps[0].ray.runtimeEnv.pip: requirements files include each other at more than 10 levels"},
	} {
		_, err := compile.Compile(decode(t, head+"\nsteps: [{name: a, "+c.step+"}]\n"), compile.Options{BaseDir: dir, Files: onDisk{t}})
		if err == nil {
			t.Errorf("%s: no error", name)
		} else if diff := cmp.Diff("pipeline.yaml:"+c.want, err.Error()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	_, err := compile.Compile(decode(t, head+"\nsteps: [{name: a, ray: {entrypoint: x, runtimeEnv: {pip: bad.txt}}}]\n"), compile.Options{BaseDir: dir, Files: onDisk{t}})
	if err == nil || strings.Count(err.Error(), "which Ray cannot read") != 2 {
		t.Errorf("not all errors of a file are reported: %v", err)
	}
}

func FuzzRequirements(f *testing.F) {
	f.Add("a==1\n-r other.txt\n")
	f.Add("-c x \\\n  y\n./w.whl ; python_version > '3'\n")
	f.Fuzz(func(t *testing.T, text string) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "r.txt"), []byte(text))
		p, err := pipeline.Decode("pipeline.yaml", []byte(head+"steps: [{name: a, ray: {entrypoint: x, runtimeEnv: {pip: r.txt}}}]\n"))
		if err != nil {
			t.Fatal(err)
		}
		r, err := compile.Compile(p, compile.Options{BaseDir: dir, StorageDir: dir, Files: onDisk{t}})
		if err != nil || !utf8.ValidString(text) {
			return // the error is reported
		}
		for _, problem := range check.Definition(string(r.Definition), false).Problems {
			t.Errorf("%q: %+v", text, problem)
		}
	})
}
