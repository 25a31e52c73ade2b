package aws_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/rayorch/rayorch/e2e/awstest"
	"github.com/rayorch/rayorch/e2e/command"
)

// module is the Seed-Farmer module in the layout that CodeBuild uses: bundle/module and bundle/seedfarmer.yaml.
type module struct {
	dir string
	env []string
}

// newModule copies the module to a new bundle, with a binary of this checkout, as make module builds it. more contains additional
// environment variables.
func newModule(t *testing.T, p *fixture, more ...string) *module {
	t.Helper()
	bundle := t.TempDir()
	m := &module{dir: filepath.Join(bundle, "module")}
	source, err := filepath.Abs("../../modules/eks/ray-orchestrator")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"deployspec.yaml", "modulestack.yaml", "README.md", "VERSION", "scripts/install"} {
		copyFile(t, filepath.Join(m.dir, name), filepath.Join(source, name))
	}
	copyFile(t, filepath.Join(m.dir, "bin/rayorch-linux-"+runtime.GOARCH), command.Build(t))
	copyFile(t, filepath.Join(bundle, "seedfarmer.yaml"), "testdata/seedfarmer.yaml")
	m.sum(t)
	m.env = append(append(seedfarmer(p), p.e.Env()...), "AWS_ENDPOINT_URL_EKS="+p.eks.URL, "RAYORCH_AWS_PAUSE=50ms")
	m.env = append(m.env, more...)
	return m
}

// sum writes SHA256SUMS like make module.
func (m *module) sum(t *testing.T) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "cd bin && sha256sum rayorch-linux-* >../SHA256SUMS")
	cmd.Dir = m.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sha256sum: %v: %s", err, out)
	}
}

func copyFile(t *testing.T, to, from string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
}

const seedModule = "ray-ray-orchestrator"

// seedfarmer returns the environment variables that Seed-Farmer 8 sets in a build, with the parameters of the published sample manifest.
func seedfarmer(p *fixture) []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + os.TempDir(), "LANG=C.UTF-8",
		"SEEDFARMER_PROJECT_NAME=p", "SEEDFARMER_DEPLOYMENT_NAME=d", "SEEDFARMER_MODULE_NAME=" + seedModule,
		"SEEDFARMER_MODULE_METADATA=", "SEEDFARMER_HASH=abcdef", "SEEDFARMER_MODULE_MD5=0", "SEEDFARMER_VERSION=8.0.9", "AWS_PARTITION=aws",
		"SEEDFARMER_DOCKER_SECRET=NONE", "SEEDFARMER_PYPI_MIRROR_SECRET=NONE", "AWS_ACCOUNT_ID=" + p.e.Account, "AWS_CODESEEDER_NAME=x"}
	for name, v := range p.values(map[string]any{"data_bucket_name": "artifacts"}) {
		env = append(env, "SEEDFARMER_PARAMETER_"+strings.ToUpper(name)+"="+v.(string))
	}
	return env
}

// phases runs the commands of the deployspec like CodeBuild: each phase in bash, in the directory of the module, with only the environment
// of the module. which is deploy or destroy.
func (m *module) phases(t *testing.T, which string) (string, error) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(m.dir, "deployspec.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var spec map[string]struct {
		Phases map[string]struct{ Commands []string }
	}
	var doc map[string]yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	delete(doc, "publishGenericEnvVariables")
	again, _ := yaml.Marshal(doc)
	if err := yaml.Unmarshal(again, &spec); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	for _, phase := range []string{"install", "pre_build", "build", "post_build"} {
		commands := spec[which].Phases[phase].Commands
		if len(commands) == 0 {
			continue
		}
		cmd := exec.CommandContext(t.Context(), "bash", "-e", "-c", strings.Join(commands, "\n"))
		cmd.Dir, cmd.Env = m.dir, m.env
		cmd.Stdout, cmd.Stderr = &log, &log
		if err := cmd.Run(); err != nil {
			return log.String(), err
		}
	}
	return log.String(), nil
}

// metadata returns the contents of the file that Seed-Farmer reads after a build.
func (m *module) metadata(t *testing.T) map[string]string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(m.dir, "SEEDFARMER_MODULE_METADATA"))
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]string
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestModule runs the phases of the module like CodeBuild: deploy, deploy again, destroy, destroy again.
func TestModule(t *testing.T) {
	p := newFixture(t, awstest.Moto(t))
	m := newModule(t, p)
	for range 2 {
		if out, err := m.phases(t, "deploy"); err != nil {
			t.Fatalf("deploy: %v\n%s", err, out)
		}
	}
	all := m.metadata(t)
	if len(all) != 4 {
		t.Errorf("the metadata is %v, want 4 entries", all)
	}
	for name, want := range map[string]string{"EksServiceAccountName": seedModule, "EksServiceAccountRoleArn": ":role/p-d-" + seedModule + "-pods-",
		"StateMachineArn": ":stateMachine:TrainingOnEks-p-d-" + seedModule, "LogGroupArn": ":log-group:/aws/vendedlogs/states/p-d-" + seedModule} {
		if !strings.Contains(all[name], want) {
			t.Errorf("%s is %q, want %s in it", name, all[name], want)
		}
	}
	if got := p.object(t, "rbac.authorization.k8s.io/v1", "RoleBinding", seedModule); got == nil {
		t.Error("the RoleBinding does not exist in the cluster")
	}
	m.unchanged(t)
	m.storeMetadata(t, p, all)
	// destroy uses the record in the stack, so that it finds all resources even if the parameters have changed.
	m.env = slices.DeleteFunc(m.env, func(v string) bool { return strings.HasPrefix(v, "SEEDFARMER_PARAMETER_") })
	for range 2 {
		if out, err := m.phases(t, "destroy"); err != nil {
			t.Fatalf("destroy: %v\n%s", err, out)
		}
	}
	if got := p.status(t, "p-d-"+seedModule); got != "" && got != "DELETE_COMPLETE" {
		t.Errorf("the stack is %s after destroy", got)
	}
	if got := p.object(t, "v1", "ServiceAccount", seedModule); got != nil {
		t.Error("the service account was not deleted")
	}
}

// unchanged checks with rayorch diff, in the environment of the build, that another deploy would change nothing.
func (m *module) unchanged(t *testing.T) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(m.dir, "bin", "rayorch"), "diff")
	cmd.Dir, cmd.Env = m.dir, m.env
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "are up to date") {
		t.Errorf("diff after deploy: got %v, want no changes\n%s", err, out)
	}
}

// storeMetadata does what Seed-Farmer's build does with the outputs of the module after the last phase, with Seed-Farmer's own command: add
// entries, read the file, and store it in SSM. The environment of destroy then contains the metadata, but destroy does not need it.
func (m *module) storeMetadata(t *testing.T, p *fixture, outputs map[string]string) {
	t.Helper()
	cli, err := filepath.Abs("../../.tools/seedfarmer/bin/seedfarmer")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(cli); err != nil {
		t.Log("SKIPPED in part: .tools/seedfarmer not found: run make test-setup")
		return
	}
	run := func(in string, args ...string) {
		cmd := exec.CommandContext(t.Context(), cli, args...)
		cmd.Dir, cmd.Env, cmd.Stdin = m.dir, m.env, strings.NewReader(in)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("seedfarmer %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	run("", "metadata", "add", "-k", "SeedFarmerDeployed", "-v", "True")
	run("", "metadata", "add", "-j", `{"CodeBuildBuildUrl": "https://example.org"}`)
	merged := m.metadata(t)
	for name, want := range outputs {
		if merged[name] != want {
			t.Errorf("after seedfarmer metadata add, %s is %q, want %q", name, merged[name], want)
		}
	}
	if merged["SeedFarmerDeployed"] == "" || merged["CodeBuildBuildUrl"] == "" {
		t.Errorf("after seedfarmer metadata add, the metadata is %v, want SeedFarmerDeployed and CodeBuildBuildUrl", merged)
	}
	data, err := os.ReadFile(filepath.Join(m.dir, "SEEDFARMER_MODULE_METADATA"))
	if err != nil {
		t.Fatal(err)
	}
	run(string(data), "store", "moduledata", "-d", "d", "-g", "ray", "-m", "ray-orchestrator", "--region", awstest.Region, "--local")
	if got := p.awsCLI(t, "ssm", "get-parameter", "--name", "/p/d/ray/ray-orchestrator/metadata"); !strings.Contains(got, outputs["StateMachineArn"]) {
		t.Errorf("the SSM parameter is %s, want %s in it", got, outputs["StateMachineArn"])
	}
	m.env = append(m.env, "SEEDFARMER_MODULE_METADATA="+string(data))
	if err := os.Remove(filepath.Join(m.dir, "SEEDFARMER_MODULE_METADATA")); err != nil { // destroy is a separate build
		t.Fatal(err)
	}
}

// TestModuleErrors checks that a build with an error in its configuration fails before it creates anything, with a message about the error.
func TestModuleErrors(t *testing.T) {
	p := newFixture(t, awstest.Moto(t))
	for name, c := range map[string]struct {
		env     []string
		prepare func(m *module)
		want    string
	}{
		"parameters": {[]string{"SEEDFARMER_PARAMETER_NAMESPACE=Ray", "SEEDFARMER_PARAMETER_STEP_FUNCTION_TIMEOUT=6h"}, nil, "step_function_timeout: SEEDFARMER_PARAMETER_STEP_FUNCTION_TIMEOUT"},
		"checksum": {nil, func(m *module) {
			_ = os.WriteFile(filepath.Join(m.dir, "SHA256SUMS"), []byte(strings.Repeat("0", 64)+"  rayorch-linux-"+runtime.GOARCH+"\n"), 0o600)
		}, "the checksum does not match"},
		"no binary": {nil, func(m *module) { _ = os.RemoveAll(filepath.Join(m.dir, "bin")) }, "run make module"},
		"no sum":    {[]string{"SEEDFARMER_PARAMETER_RAYORCH_URL=https://example.org/rayorch"}, nil, "rayorch_sha256"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModule(t, p, c.env...)
			if c.prepare != nil {
				c.prepare(m)
			}
			if out, err := m.phases(t, "deploy"); err == nil || !strings.Contains(out, c.want) {
				t.Errorf("deploy: got %v\n%s\nwant a failure with %s", err, out, c.want)
			}
			if got := p.status(t, "p-d-"+seedModule); got != "" {
				t.Errorf("the stack is %s, want none", got)
			}
		})
	}
}

// TestSeedFarmer reads the deployspec and the manifest in the README with Seed-Farmer's own models (testdata/models.py).
func TestSeedFarmer(t *testing.T) {
	python, err := filepath.Abs("../../.tools/seedfarmer/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(python); err != nil {
		t.Skip("SKIPPED: .tools/seedfarmer not found: run make test-setup")
	}
	script, err := filepath.Abs("testdata/models.py")
	if err != nil {
		t.Fatal(err)
	}
	module, err := filepath.Abs("../../modules/eks/ray-orchestrator")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, script, module)
	cmd.Dir = t.TempDir()
	copyFile(t, filepath.Join(cmd.Dir, "seedfarmer.yaml"), "testdata/seedfarmer.yaml")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "models: ok") {
		t.Errorf("models.py: got %v, want \"models: ok\"\n%s", err, out)
	}
}
