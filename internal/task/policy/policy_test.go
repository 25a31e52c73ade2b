package policy_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/policy"
)

// network are the labels of an execution whose definition came over the network.
var network = map[string]string{task.OriginLabel: task.NetworkDefinition}

// input returns the labels of an execution of the owner's definition whose input came over the network.
func input(definition string) map[string]string {
	return map[string]string{task.OriginLabel: task.NetworkInput, task.OwnLabel: policy.OwnValues([]byte(definition))}
}

// allowed fails the test unless err is as expected: nil if flag is empty, otherwise a RefusedError that names the flag.
func allowed(t *testing.T, what string, err error, flag string) {
	t.Helper()
	refused := (*task.RefusedError)(nil)
	switch {
	case flag == "" && err != nil:
		t.Errorf("%s: %v", what, err)
	case flag != "" && (!errors.As(err, &refused) || !strings.Contains(err.Error(), flag)):
		t.Errorf("%s: got error %v, want a RefusedError that names %s", what, err, flag)
	}
}

func TestOwnExecutionsMayUseEverything(t *testing.T) {
	var p policy.Policy
	allowed(t, "ray", p.Ray(nil, "http://ray.example:8265"), "")
	allowed(t, "context", p.Context(nil, "prod"), "")
	allowed(t, "endpoint", p.Endpoint(nil, "c", "https://c.example", ""), "")
	allowed(t, "variable", p.Env(nil, "TOKEN"), "")
	allowed(t, "directory", p.Dir(nil, "/"), "")
	allowed(t, "process", p.Process(), "")
	p.NoProcess = true
	allowed(t, "no process", p.Process(), "--no-process")
	allowed(t, "no process in a directory", p.ProcessDir(nil, "/"), "--no-process")
}

func TestNetworkDefinitionMayUseOnlyAllowedValues(t *testing.T) {
	p := policy.Policy{Rays: []string{"http://Ray.example:8265/", "auto"}, Contexts: []string{"dev"}, Variables: []string{"HF_TOKEN"}}
	for _, c := range []struct {
		what string
		err  error
		flag string
	}{
		{"the owner's Ray", p.Ray(network, ""), ""},
		{"an allowed Ray", p.Ray(network, "http://ray.example:8265"), ""},
		{"auto", p.Ray(network, "auto"), ""},
		{"another port", p.Ray(network, "http://ray.example:8266"), "--allow-ray"},
		{"another scheme", p.Ray(network, "https://ray.example:8265"), "--allow-ray"},
		{"a user in the address", p.Ray(network, "http://ray.example:8265@evil.example"), "--allow-ray"},
		{"a host name with the same prefix", p.Ray(network, "http://ray.example.evil.example:8265"), "--allow-ray"},
		{"a path", p.Ray(network, "http://ray.example:8265/../x"), "--allow-ray"},
		{"an allowed context", p.Context(network, "dev"), ""},
		{"another context", p.Context(network, "prod"), "--allow-context"},
		{"an endpoint", p.Endpoint(network, "dev", "https://evil.example", ""), "--eks-cluster"},
		{"an allowed variable", p.Env(network, "HF_TOKEN"), ""},
		{"another variable", p.Env(network, "AWS_SECRET_ACCESS_KEY"), "--allow-env"},
	} {
		allowed(t, c.what, c.err, c.flag)
	}
}

func TestNetworkInputMayUseOnlyValuesOfTheDefinition(t *testing.T) {
	labels := input(`{"StartAt": "A", "States": {"A": {"Type": "Task", "Assign": {"eks": {"ClusterName": "c", "Endpoint": "https://c.example",
		"CertificateAuthority": "Q0E="}}, "Arguments": {"Address": "http://ray.example:8265", "WorkingDir": "/srv/code",
		"Entrypoint": "https://evil.example", "RuntimeEnv": {"py_modules": ["/srv/modules/m.py"], "env_vars": {"X": "/etc"}},
		"SecretEnv": {"TOKEN": {"Env": "MINE"}, "OTHER": {"Env": "{% $states.input.env %}"}}}}}}`)
	var p policy.Policy
	for _, c := range []struct {
		what string
		err  error
		flag string
	}{
		{"the Ray", p.Ray(labels, "http://ray.example:8265"), ""},
		{"another Ray", p.Ray(labels, "http://evil.example:8265"), "--allow-ray"},
		{"a string of another field", p.Ray(labels, "https://evil.example"), "--allow-ray"},
		{"the cluster", p.Endpoint(labels, "c", "https://c.example", "Q0E="), ""},
		{"another endpoint", p.Endpoint(labels, "c", "https://evil.example", "Q0E="), "--eks-cluster"},
		{"another authority", p.Endpoint(labels, "c", "https://c.example", "RVZJTA=="), "--eks-cluster"},
		{"the variable", p.Env(labels, "MINE"), ""},
		{"another variable", p.Env(labels, "PATH"), "--allow-env"},
		{"the expression's text", p.Env(labels, "{% $states.input.env %}"), "--allow-env"},
		{"the directory", p.Dir(labels, "/srv/code"), ""},
		{"a file in it", p.Dir(labels, "/srv/code/requirements.txt"), ""},
		{"the module", p.Dir(labels, "/srv/modules/m.py"), ""},
		{"a file next to the module", p.Dir(labels, "/srv/modules/other.py"), "--allow-dir"},
		{"a parameter's directory", p.Dir(labels, "/etc"), "--allow-dir"},
	} {
		allowed(t, c.what, c.err, c.flag)
	}
}

func TestProcessDir(t *testing.T) {
	labels := input(`{"Dir": "/srv/code"}`)
	var p policy.Policy
	allowed(t, "a directory that the command can read anyway", p.ProcessDir(network, "/etc"), "")
	allowed(t, "a directory of the owner's definition", p.ProcessDir(labels, "/srv/code"), "")
	allowed(t, "a directory of the input, where the owner's command would use files of others", p.ProcessDir(labels, "/tmp"), "--allow-dir")
}

// TestOwnLabelOfANetworkDefinitionIsIgnored: the values in a definition that came over the network are not the owner's.
func TestOwnLabelOfANetworkDefinitionIsIgnored(t *testing.T) {
	labels := map[string]string{task.OriginLabel: task.NetworkDefinition, task.OwnLabel: `["PATH"]`}
	var p policy.Policy
	allowed(t, "a label of another origin", p.Env(labels, "PATH"), "--allow-env")
	allowed(t, "an unknown origin", p.Env(map[string]string{task.OriginLabel: "?", task.OwnLabel: `["PATH"]`}, "PATH"), "--allow-env")
}

func TestDirectories(t *testing.T) {
	base := t.TempDir()
	root, outside := filepath.Join(base, "code"), filepath.Join(base, "code-of-others")
	for _, dir := range []string{filepath.Join(root, "a"), outside} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{
		filepath.Join(root, "out"): outside, filepath.Join(root, "in"): filepath.Join(root, "a"),
		filepath.Join(root, "dangling"): filepath.Join(outside, "later"), filepath.Join(base, "link"): root,
	} {
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	p := policy.Policy{Dirs: []string{filepath.Join(base, "link")}} // the allowed directory may be a link itself
	for path, flag := range map[string]string{
		"": "", root: "", filepath.Join(root, "a"): "", filepath.Join(root, "in"): "", filepath.Join(root, "gone", "b"): "",
		filepath.Join(base, "link", "a"): "",
		base:                             "--allow-dir", "/": "--allow-dir", outside: "--allow-dir", root + "/../code-of-others": "--allow-dir",
		filepath.Join(root, "out"): "--allow-dir", filepath.Join(root, "out", "gone"): "--allow-dir",
		filepath.Join(root, "dangling"): "--allow-dir", filepath.Join(base, "gone"): "--allow-dir", "relative": "--allow-dir",
		"/dev/null": "--allow-dir", "/proc/self/root" + root + "/../..": "--allow-dir", "bad\x00": "--allow-dir",
	} {
		allowed(t, path, p.Dir(network, path), flag)
	}
}
