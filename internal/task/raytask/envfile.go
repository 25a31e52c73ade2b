package raytask

import (
	"bytes"
	"context"
	_ "embed" // the hook
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/task/jobenv"
)

// Ray stores a job's runtime environment in the job's record, which its API and dashboard show (ray-project/ray#28276, #39502). So
// rayorch passes secrets and inherited variables to a Ray on this machine in a file that only this user can read.
//
// The entrypoint opens the file, deletes it, and replaces it with a symbolic link to its own file descriptor (/proc/PID/fd/9). While the
// job runs, no file contains the secrets, but workers that Ray starts later can read them through the link. When the entrypoint
// ends, the content is gone. Systems other than Linux have no such descriptors: there, the file stays until the attempt ends.

// hook is the Python module that reads the file in worker processes.
//
//go:embed rayorch_env.py
var hook []byte

const (
	hookModule = "rayorch_env"
	keyHook    = "worker_process_setup_hook"
)

// readEnvFile is the shell code at the start of an entrypoint that reads the file. The argument is the path of the file, as a shell word.
const readEnvFile = `rayorch_env=%s
[ -r "$rayorch_env" ] || { echo "rayorch: error: cannot read the environment variables of this job from $rayorch_env" >&2; exit 120; }
. "$rayorch_env"
[ ! -d "/proc/$$/fd" ] || { exec 9<"$rayorch_env" && rm -f "$rayorch_env" && ln -s "/proc/$$/fd/9" "$rayorch_env"; }
unset rayorch_env
`

// notInherited matches variables that Ray or the shell sets for a job. A job does not inherit their values from rayorch.
var notInherited = regexp.MustCompile(`^(RAY_.*|PYTHONPATH|PYTHONHOME|PWD|OLDPWD|SHLVL|_)$`)

// envFilePath returns the path of the file with the private variables of this attempt.
func (a *attempt) envFilePath() string { return filepath.Join(a.r.cfg.EnvDir, a.args.SubmissionID) }

// chooseEnvFile decides whether a new job gets its private variables from a file. That requires a Ray on this machine that can read
// EnvDir. EnvDir becomes a part of PYTHONPATH, so it must not contain a colon.
func (a *attempt) chooseEnvFile(ctx context.Context) {
	a.intent.EnvFile = ""
	needed := len(a.args.SecretEnv) > 0 || a.args.InheritEnv.All || len(a.args.InheritEnv.Names) > 0
	if needed && a.r.cfg.EnvDir != "" && !strings.Contains(a.r.cfg.EnvDir, ":") && a.r.cfg.RunsHere(ctx, a.cluster.found) {
		a.intent.EnvFile = a.envFilePath()
	}
}

// inherited returns the variables that the job inherits. `InheritEnv: true` inherits all variables only on this machine. On another
// machine, the job inherits only variables that are listed by name, because most others describe this machine.
func (a *attempt) inherited() map[string]string {
	inherit := a.args.InheritEnv
	if a.intent.EnvFile == "" {
		inherit.All = false
	}
	vars := map[string]string{}
	for _, entry := range inherit.Of(a.r.cfg.Inheritable()) {
		if name, v, _ := strings.Cut(entry, "="); jobenv.IsVariable(name) && !notInherited.MatchString(name) {
			vars[name] = v
		}
	}
	return vars
}

// private returns the variables that Ray's records should not contain: secrets, and inherited variables that vars, the variables of the
// definition, do not override.
func (a *attempt) private(vars map[string]string) map[string]string {
	all := a.inherited()
	maps.DeleteFunc(all, func(name, _ string) bool { _, set := vars[name]; return set })
	maps.Copy(all, a.secrets)
	return all
}

// passByFile prepares the content of the file with the private variables, and removes them from vars, the variables in the runtime
// environment. It adds the hook for the workers. A hook of the user is passed on in RAYORCH_ENV_HOOK.
func (a *attempt) passByFile(vars, private map[string]string) error {
	if _, err := jobenv.RemoveLong(maps.Clone(private)); err != nil {
		return err
	}
	var script strings.Builder
	for _, name := range slices.Sorted(maps.Keys(private)) {
		delete(vars, name)
		fmt.Fprintf(&script, "export %s=%s\n", name, shellWord(private[name]))
	}
	a.envFile = script.String()
	if own, ok := a.env[keyHook].(string); ok {
		vars["RAYORCH_ENV_HOOK"] = own
	}
	a.env[keyHook] = hookModule + ".load"
	vars["RAYORCH_ENV_FILE"] = a.intent.EnvFile
	vars["PYTHONPATH"] = strings.TrimPrefix(vars["PYTHONPATH"]+":"+a.r.cfg.EnvDir, ":")
	return nil
}

// given returns the names of the variables that the arguments set.
func (a *attempt) given() map[string]bool {
	names := map[string]bool{}
	vars, _ := a.env["env_vars"].(map[string]any)
	for name := range vars {
		names[name] = true
	}
	for name := range a.secrets {
		names[name] = true
	}
	return names
}

// writeEnvFile writes the file with the private variables, and the hook. It must be called before the job is submitted.
func (a *attempt) writeEnvFile() error {
	if a.intent.EnvFile == "" {
		return nil
	}
	if err := os.MkdirAll(a.r.cfg.EnvDir, 0o700); err != nil {
		return err
	}
	return errors.Join(replaceFile(filepath.Join(a.r.cfg.EnvDir, hookModule+".py"), hook), replaceFile(a.intent.EnvFile, []byte(a.envFile)))
}

// replaceFile writes a file atomically, with mode 0600, unless it already has the content.
func replaceFile(path string, data []byte) error {
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, data) {
		return nil
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".new-*") // with mode 0600
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err := errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return os.Rename(file.Name(), path)
}

// removeEnvFile deletes the file of a job that never started, or the link of one that did.
func (a *attempt) removeEnvFile() {
	if a.args != nil && a.r.cfg.EnvDir != "" && submissionID.MatchString(a.args.SubmissionID) {
		_ = os.Remove(a.envFilePath()) // most attempts have no file
	}
}
