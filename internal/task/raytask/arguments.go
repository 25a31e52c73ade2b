package raytask

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rayorch/rayorch/internal/backend/hostenv"
	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/jobenv"
)

// Arguments are the arguments of ray:submitJob.sync.
type Arguments struct {
	jobenv.Secrets
	SubmissionID          string                 `json:"SubmissionId"`
	Entrypoint            string                 `json:"Entrypoint"`
	Address               string                 `json:"Address"`
	WorkingDir            string                 `json:"WorkingDir"`
	RuntimeEnv            map[string]any         `json:"RuntimeEnv"`
	Params                json.RawMessage        `json:"Params"` // the parameters as an object, if they are too large for RuntimeEnv
	InheritEnv            hostenv.Inherit        `json:"InheritEnv"`
	NumCPUs               float64                `json:"NumCpus"`
	NumGPUs               float64                `json:"NumGpus"`
	Memory                float64                `json:"Memory"` // bytes
	Resources             map[string]json.Number `json:"Resources"`
	Metadata              map[string]string      `json:"Metadata"`
	PendingTimeoutSeconds *float64               `json:"PendingTimeoutSeconds"`
	TimeoutSeconds        *float64               `json:"TimeoutSeconds"`
}

// submissionID matches a DNS label of at most 47 characters: the same id can name a Kubernetes Job, whose pods add a suffix.
var submissionID = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,45}[a-z0-9])?$`)

func parseArguments(input []byte) (*Arguments, error) {
	var a Arguments
	if err := task.Decode(input, &a); err != nil {
		return nil, fmt.Errorf("the arguments of ray:submitJob.sync: %w", err)
	}
	return &a, a.check()
}

func (a *Arguments) check() error {
	switch {
	case !submissionID.MatchString(a.SubmissionID):
		return fmt.Errorf("the argument SubmissionId %q must be a DNS label of at most 47 characters", a.SubmissionID)
	case strings.TrimSpace(a.Entrypoint) == "":
		return errors.New("the argument Entrypoint must not be empty")
	case invalidAmount(a.NumCPUs) || invalidAmount(a.NumGPUs) || invalidAmount(a.Memory):
		return errors.New("the arguments NumCpus, NumGpus and Memory must be 0 or more")
	}
	if err := a.Secrets.Check(); err != nil {
		return err
	}
	for name, n := range a.Resources {
		if f, err := n.Float64(); err != nil || invalidAmount(f) {
			return fmt.Errorf("the argument Resources %q must be a number, 0 or more, got %s", name, n)
		}
	}
	if seconds(a.TimeoutSeconds, 0) < 0 || seconds(a.PendingTimeoutSeconds, 0) < 0 {
		return errors.New("the arguments TimeoutSeconds and PendingTimeoutSeconds must be greater than 0")
	}
	return nil
}

// invalidAmount reports whether f is not a valid amount of a resource: it must be an exact JSON number, 0 or more.
func invalidAmount(f float64) bool { return f < 0 || math.IsNaN(f) || f > 1<<53 }

// seconds returns the duration of a field, def if the field is not set, or a negative duration if its value is not valid. It is at most
// 100 years, so that it does not overflow a time.Duration.
func seconds(field *float64, def time.Duration) time.Duration {
	switch {
	case field == nil:
		return def
	case *field <= 0 || math.IsNaN(*field):
		return -1
	}
	return time.Duration(min(*field, 100*365*24*3600) * float64(time.Second))
}

// resources returns the custom resources as numbers.
func (a *Arguments) resources() map[string]float64 {
	if len(a.Resources) == 0 {
		return nil
	}
	all := make(map[string]float64, len(a.Resources))
	for name, n := range a.Resources {
		all[name], _ = n.Float64() // check has checked it
	}
	return all
}

// environment returns a copy of the runtime environment in the arguments. It returns an error if env_vars is not valid.
func (a *Arguments) environment() (map[string]any, error) {
	env := make(map[string]any, len(a.RuntimeEnv)+2)
	maps.Copy(env, a.RuntimeEnv)
	vars := map[string]any{}
	if given, ok := env["env_vars"]; ok {
		if vars, ok = given.(map[string]any); !ok {
			return nil, errors.New("RuntimeEnv.env_vars must be an object")
		}
	}
	for name, v := range vars {
		if _, ok := v.(string); !ok {
			return nil, fmt.Errorf("RuntimeEnv.env_vars.%s must be a string", name)
		}
	}
	return env, nil
}

// Sources returns the directories and modules on this machine that must be packed before an execution starts. arguments are the arguments
// of submitJob.sync in the definition. Paths that an expression computes are not included: they are known, and packed, only when the
// state is entered.
func Sources(arguments json.RawMessage) (all []ray.Source) {
	var a struct {
		WorkingDir any
		RuntimeEnv struct {
			WorkingDir any `json:"working_dir"`
			PyModules  any `json:"py_modules"`
			Excludes   any `json:"excludes"`
		}
	}
	if json.Unmarshal(arguments, &a) != nil {
		return nil // the attempt reports the error
	}
	patterns, err := excludes(map[string]any{"excludes": a.RuntimeEnv.Excludes})
	if err != nil && a.RuntimeEnv.Excludes != nil {
		return nil
	}
	add := func(v any, module bool) {
		if path, ok := v.(string); ok && filepath.IsAbs(path) {
			all = append(all, ray.Source{Path: path, Module: module, Excludes: patterns})
		}
	}
	add(cmp.Or(a.WorkingDir, a.RuntimeEnv.WorkingDir), false)
	list, _ := a.RuntimeEnv.PyModules.([]any)
	for _, v := range list {
		add(v, true)
	}
	return all
}

// paths returns the paths of the directories and files on this machine that rayorch reads for the job.
func (a *Arguments) paths() (all []string) {
	given, _ := a.RuntimeEnv["working_dir"].(string)
	dir := cmp.Or(a.WorkingDir, given)
	modules, _ := a.RuntimeEnv["py_modules"].([]any)
	for _, v := range append([]any{dir}, modules...) {
		if path, ok := v.(string); ok && !strings.Contains(path, "://") {
			all = append(all, path)
		}
	}
	for _, key := range []string{"pip", "uv"} {
		if name, ok := a.RuntimeEnv[key].(string); ok {
			all = append(all, requirements(dir, name))
		}
	}
	return all
}

// requirements returns the path of a requirements file. A relative name is relative to the working directory.
func requirements(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

// localDir returns the working directory if it is a path on this machine, which the caller uploads, and removes it from env. A URI
// stays in env: Ray downloads it.
func (a *Arguments) localDir(env map[string]any) (string, error) {
	dir := a.WorkingDir
	if given, ok := env["working_dir"].(string); ok && dir == "" {
		dir = given
	} else if ok && given != dir {
		return "", fmt.Errorf("WorkingDir %q and RuntimeEnv.working_dir %q differ: set only one of them", dir, given)
	}
	delete(env, "working_dir")
	switch {
	case dir == "":
		return "", nil
	case strings.Contains(dir, "://"):
		env["working_dir"] = dir
		return "", nil
	case !filepath.IsAbs(dir):
		return "", fmt.Errorf("the argument WorkingDir %q must be an absolute path or a URI", dir)
	}
	return dir, nil
}

// readRequirements replaces the paths of requirements files in env with the packages that they list, as Ray's own client does, because the
// cluster cannot read the files.
func readRequirements(env map[string]any, dir string) error {
	for _, key := range []string{"pip", "uv"} {
		name, ok := env[key].(string)
		if !ok {
			continue
		}
		text, err := os.ReadFile(requirements(dir, name))
		if err != nil {
			return fmt.Errorf("RuntimeEnv.%s: %w", key, err)
		}
		var packages []any
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				packages = append(packages, line)
			}
		}
		env[key] = packages
	}
	return nil
}

// localModules returns a list with an element for each element of py_modules: the path of a module on this machine, or "" for a URI, which
// Ray downloads. It replaces the list in env with a copy, so that the caller can modify it.
func localModules(env map[string]any) ([]string, error) {
	given, ok := env["py_modules"]
	if !ok {
		return nil, nil
	}
	list, ok := given.([]any)
	if !ok {
		return nil, errors.New("RuntimeEnv.py_modules must be a list")
	}
	paths := make([]string, len(list))
	for i, v := range list {
		name, ok := v.(string)
		switch {
		case ok && strings.Contains(name, "://"):
		case ok && filepath.IsAbs(name):
			paths[i] = name
		default:
			return nil, fmt.Errorf("RuntimeEnv.py_modules[%d] must be an absolute path or a URI, not %v", i, v)
		}
	}
	env["py_modules"] = slices.Clone(list)
	return paths, nil
}

// excludes returns the patterns of files to exclude from packages, and removes them from env: Ray does not need them, because rayorch
// packs the files.
func excludes(env map[string]any) ([]string, error) {
	given, ok := env["excludes"]
	if !ok {
		return nil, nil
	}
	delete(env, "excludes")
	list, ok := given.([]any)
	var patterns []string
	for _, v := range list {
		pattern, isText := v.(string)
		ok = ok && isText
		patterns = append(patterns, pattern)
	}
	if !ok {
		return nil, errors.New("RuntimeEnv.excludes must be a list of patterns")
	}
	return patterns, nil
}
