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

// Ray keeps a job's runtime environment in the job's record, which its API and its dashboard show (ray-project/ray#28276, #39502). So
// secrets, and variables that a job inherits, get to a Ray of this machine in a file that only this user can read. The entrypoint
// reads it and replaces it by a link to the open, deleted file, which is gone when the entrypoint ends: then nothing is on disk while
// the job runs, and workers that Ray starts later can still read it (on Linux; elsewhere the file stays until the attempt ends).

// hook is the module by which workers read the file.
//
//go:embed rayorch_env.py
var hook []byte

const (
	hookModule = "rayorch_env"
	keyHook    = "worker_process_setup_hook"
)

// readEnvFile starts an entrypoint. Its word is the file's path.
const readEnvFile = `rayorch_env=%s
[ -r "$rayorch_env" ] || { echo "rayorch: error: cannot read the environment variables of this job in $rayorch_env" >&2; exit 120; }
. "$rayorch_env"
[ ! -d "/proc/$$/fd" ] || { exec 9<"$rayorch_env" && rm -f "$rayorch_env" && ln -s "/proc/$$/fd/9" "$rayorch_env"; }
unset rayorch_env
`

// ofRay are variables that Ray sets for a job, or the shell: those of rayorch's environment mean something else.
var ofRay = regexp.MustCompile(`^(RAY_.*|PYTHONPATH|PYTHONHOME|PWD|OLDPWD|SHLVL|_)$`)

func (a *attempt) envFilePath() string { return filepath.Join(a.r.cfg.EnvDir, a.args.SubmissionID) }

// chooseEnvFile decides how secrets get to a job that is to be sent.
func (a *attempt) chooseEnvFile(ctx context.Context) {
	a.intent.EnvFile = ""
	wanted := len(a.args.SecretEnv) > 0 || a.args.InheritEnv.All || len(a.args.InheritEnv.Names) > 0
	if wanted && a.r.cfg.EnvDir != "" && !strings.Contains(a.r.cfg.EnvDir, ":") && a.r.cfg.Here(ctx, a.cluster.found) {
		a.intent.EnvFile = a.envFilePath()
	}
}

// inherited are the variables that the job inherits. To a Ray elsewhere only those go that are named: the rest describes this machine.
func (a *attempt) inherited() map[string]string {
	inherit := a.args.InheritEnv
	if a.intent.EnvFile == "" {
		inherit.All = false
	}
	vars := map[string]string{}
	for _, entry := range inherit.Of(a.r.cfg.Inheritable()) {
		if name, v, _ := strings.Cut(entry, "="); jobenv.IsVariable(name) && !ofRay.MatchString(name) {
			vars[name] = v
		}
	}
	return vars
}

// private are the variables that Ray's records do not contain where possible: secrets, and what the job inherits and the definition does not
// set.
func (a *attempt) private(vars map[string]string) map[string]string {
	all := a.inherited()
	maps.DeleteFunc(all, func(name, _ string) bool { _, set := vars[name]; return set })
	maps.Copy(all, a.secrets)
	return all
}

// passByFile makes the job read private variables from the file. vars are its others.
func (a *attempt) passByFile(vars, private map[string]string) error {
	if _, err := jobenv.TakeLong(maps.Clone(private)); err != nil {
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

// given are the names of variables that the job gets by the arguments.
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

// writeEnvFile writes the file before the job is sent.
func (a *attempt) writeEnvFile() error {
	if a.intent.EnvFile == "" {
		return nil
	}
	if err := os.MkdirAll(a.r.cfg.EnvDir, 0o700); err != nil {
		return err
	}
	return errors.Join(replaceFile(filepath.Join(a.r.cfg.EnvDir, hookModule+".py"), hook), replaceFile(a.intent.EnvFile, []byte(a.envFile)))
}

// replaceFile writes a file at once, unless it has the content.
func replaceFile(path string, data []byte) error {
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, data) {
		return nil
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".new-*") // of mode 0600
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err := errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return os.Rename(file.Name(), path)
}

// removeEnvFile removes what a job left that never started, and the link of one that did.
func (a *attempt) removeEnvFile() {
	if a.args != nil && a.r.cfg.EnvDir != "" && submissionID.MatchString(a.args.SubmissionID) {
		_ = os.Remove(a.envFilePath()) // most attempts have none
	}
}
