// Package policy decides which Ray addresses, kubeconfig contexts, environment variables and directories of the engine's owner the tasks
// of an execution may use. The owner's own executions may use all of them. An execution that came over the network may use only those
// that the owner allows, so that a caller cannot use the owner's credentials and files. The task runners check each attempt, because an
// expression can compute any argument. The command `rayorch serve` sets the Policy from its flags.
package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/backend/hostenv"
	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/task"
)

// Policy lists what the owner allows executions that came over the network to use. With the zero value, such an execution may use only
// the Ray that the owner uses, and processes.
type Policy struct {
	Rays      []string // addresses of Rays, in the forms that --ray-address accepts
	Contexts  []string // contexts of the kubeconfig
	Variables []string // names of environment variables, or patterns such as AWS_*
	Dirs      []string // absolute paths of directories; includes everything below them
	// NoProcess forbids processes for all executions, including the owner's own.
	NoProcess bool
}

// The methods below return nil if the execution with these labels may use the value, and a task.RefusedError otherwise.

// Ray checks the address of a Ray. "" is the Ray that the owner uses.
func (p *Policy) Ray(labels map[string]string, address string) error {
	same := func(allowed string) bool { return canonical(allowed) == canonical(address) }
	if address == "" || free(labels, address) || slices.ContainsFunc(p.Rays, same) {
		return nil
	}
	return refused(labels, "the Ray address", address, "--allow-ray")
}

// canonical returns the same text for all spellings of an address. It returns an invalid address unchanged: the runner reports it.
func canonical(address string) string {
	form, base, err := ray.ParseAddress(address)
	if err != nil {
		return address
	}
	if u, err := url.Parse(base); form == ray.FormHTTP && err == nil {
		u.Host = strings.ToLower(u.Host)
		base = u.String()
	}
	return fmt.Sprint(form, " ", base)
}

// Context checks a context of the kubeconfig.
func (p *Policy) Context(labels map[string]string, name string) error {
	if free(labels, name) || slices.Contains(p.Contexts, name) {
		return nil
	}
	return refused(labels, "the kubeconfig context", name, "--allow-context")
}

// Endpoint checks the three fields that identify an EKS cluster in a task. The endpoint receives a token of the owner.
func (p *Policy) Endpoint(labels map[string]string, cluster, endpoint, authority string) error {
	if free(labels, endpoint) && free(labels, cluster) && free(labels, authority) {
		return nil
	}
	return &task.RefusedError{Text: fmt.Sprintf("the endpoint %q of the cluster %q is not allowed: %s; allow the cluster with "+
		"rayorch serve --eks-cluster %s=CONTEXT", endpoint, cluster, why(labels), cluster)}
}

// Env checks the name of a variable of the owner's environment.
func (p *Policy) Env(labels map[string]string, name string) error {
	if free(labels, name) || hostenv.Matches(p.Variables, name) {
		return nil
	}
	return refused(labels, "the environment variable", name, "--allow-env")
}

// Inherit checks the variables that a job inherits from the owner's environment. The name * stands for all variables.
func (p *Policy) Inherit(labels map[string]string, inherit hostenv.Inherit) error {
	var errs []error
	for _, name := range inherit.Names {
		errs = append(errs, p.Env(labels, name))
	}
	if inherit.All {
		errs = append(errs, p.Env(labels, "*"))
	}
	return errors.Join(errs...)
}

// Dir checks the path of a directory or a file, after it has resolved symbolic links.
func (p *Policy) Dir(labels map[string]string, path string) error {
	if path == "" || free(labels, path) {
		return nil
	}
	if target, err := resolve(path); err == nil {
		for _, root := range slices.Concat(p.Dirs, own(labels)) {
			if filepath.IsAbs(root) && within(root, target) {
				return nil
			}
		}
	}
	return refused(labels, "the directory", path, "--allow-dir")
}

func within(root, path string) bool {
	root, err := resolve(root)
	if err != nil {
		return false
	}
	rel, err := filepath.Rel(root, path)
	return err == nil && filepath.IsLocal(rel)
}

// resolve returns the path without symbolic links. The last elements of the path need not exist: a directory may have been deleted after
// a snapshot of it was taken.
func resolve(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	target, err := filepath.EvalSymlinks(path)
	if err == nil {
		return target, nil
	}
	if _, here := os.Lstat(path); !os.IsNotExist(here) || path == filepath.Dir(path) { // the target of a dangling link may be created later
		return "", &fs.PathError{Op: "resolve", Path: path, Err: err}
	}
	dir, err := resolve(filepath.Dir(path))
	return filepath.Join(dir, filepath.Base(path)), err
}

// Process checks whether processes may be started.
func (p *Policy) Process() error {
	if !p.NoProcess {
		return nil
	}
	return &task.RefusedError{Text: "processes are not allowed: the server was started with --no-process, or its access keys have different roles; " +
		"allow them with rayorch serve --no-process=false"}
}

// ProcessDir checks the working directory of a process. A definition that came over the network may name any directory: it also chooses
// the command, which can read every directory of the owner anyway.
func (p *Policy) ProcessDir(labels map[string]string, path string) error {
	if err := p.Process(); err != nil || labels[task.OriginLabel] == task.NetworkDefinition {
		return err
	}
	return p.Dir(labels, path)
}

// free reports whether an execution may use a value that no flag allows: the execution is the owner's own, or the owner's definition
// contains the value.
func free(labels map[string]string, value string) bool {
	return !task.FromNetwork(labels) || slices.Contains(own(labels), value)
}

// own returns the values that the owner's definition contains. If the definition came over the network, there are none.
func own(labels map[string]string) (values []string) {
	if labels[task.OriginLabel] == task.NetworkInput {
		_ = json.Unmarshal([]byte(labels[task.OwnLabel]), &values) // written by OwnValues; if the label is missing, there are no values
	}
	return values
}

func refused(labels map[string]string, what, value, flag string) error {
	return &task.RefusedError{Text: fmt.Sprintf("%s %q is not allowed: %s; allow it with rayorch serve %s %s",
		what, value, why(labels), flag, value)}
}

func why(labels map[string]string) string {
	if labels[task.OriginLabel] == task.NetworkInput {
		return "the execution was started over the network, and its definition does not contain the value as a plain string"
	}
	return "the definition was registered over the network"
}

// named contains the fields of a definition whose values Policy checks.
var named = map[string]bool{
	"Address": true, "ClusterName": true, "Endpoint": true, "CertificateAuthority": true, "Env": true,
	"InheritEnv": true, "Dir": true, "WorkingDir": true, "working_dir": true, "py_modules": true, "pip": true, "uv": true,
}

// OwnValues returns the value of OwnLabel for a definition: the plain strings in the fields that Policy checks. It does not include values
// that expressions compute.
func OwnValues(definition []byte) string {
	var all any
	_ = json.Unmarshal(definition, &all) // the engine also parses it, and reports errors
	found := map[string]bool{}
	collect(all, found)
	text, _ := json.Marshal(slices.Sorted(maps.Keys(found))) // cannot fail for strings
	return string(text)
}

// collect adds the values of all named fields in v, at any depth, to found.
func collect(v any, found map[string]bool) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			collect(item, found)
		}
	case map[string]any:
		for key, item := range v {
			if named[key] {
				addText(item, found)
			}
			if key == "InheritEnv" && item == true {
				found["*"] = true
			}
			collect(item, found)
		}
	}
}

// addText adds a string, or the strings of a list, to found.
func addText(v any, found map[string]bool) {
	switch v := v.(type) {
	case string:
		if !strings.HasPrefix(v, "{%") { // an expression
			found[v] = true
		}
	case []any:
		for _, item := range v {
			if text, ok := item.(string); ok {
				found[text] = true
			}
		}
	}
}
