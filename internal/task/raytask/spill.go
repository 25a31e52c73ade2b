package raytask

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rayorch/rayorch/internal/task/jobenv"
)

// Maximum sizes in bytes. Ray passes a job's runtime environment as JSON to its processes: in a command-line argument, and together with
// the metadata in an environment variable. If either exceeds the limit of Linux, the worker exits as it starts and the job stays pending.
// Ray passes the entrypoint as an argument of a shell. The sizes leave some space for what Ray adds.
const (
	runtimeEnvBytes = jobenv.MaxVariable - 12<<10
	entrypointBytes = jobenv.MaxVariable - 4<<10
)

// spill contains variables, and the entrypoint, that exceed these sizes. rayorch uploads them as a package in py_modules, so that they are
// in a directory of PYTHONPATH, and the entrypoint reads them from there.
type spill struct {
	files map[string]string // content by file name
	name  string            // of the directory in the package
}

// fit sets the entrypoint and the variables to submit, so that Ray can pass them to its processes: it moves variables from the runtime
// environment to the spill, largest first. Secrets are never moved, because the package would contain them.
func (a *attempt) fit() error {
	vars := map[string]string{}
	given, _ := a.env["env_vars"].(map[string]any)
	for name, v := range given {
		vars[name], _ = v.(string) // environment has checked the type
	}
	private := a.private(vars)
	if a.intent.EnvFile == "" {
		maps.Copy(vars, private)
	} else if err := a.passByFile(vars, private); err != nil {
		return err
	}
	if err := jobenv.AddParams(vars, a.args.Params); err != nil {
		return err
	}
	long, err := jobenv.RemoveLong(vars)
	if err != nil {
		return err
	}
	moved, err := a.moveLargest(vars)
	if err != nil {
		return err
	}
	delete(a.env, "env_vars")
	if len(vars) > 0 {
		a.env["env_vars"] = anyMap(vars)
	}
	a.entrypoint = a.args.Entrypoint
	a.spill = newSpill(moved, long, a.entrypoint)
	if s := a.spill; s != nil {
		a.entrypoint = s.entrypoint(a.entrypoint)
	}
	if a.intent.EnvFile != "" {
		a.entrypoint = fmt.Sprintf(readEnvFile, shellWord(a.intent.EnvFile)) + a.entrypoint
	}
	return nil
}

// moveLargest removes the largest variables from vars until the rest fits into runtimeEnvBytes, and returns them.
func (a *attempt) moveLargest(vars map[string]string) (moved map[string]string, err error) {
	rest := jsonSize(a.metadata()) + jsonSize(envWithout(a.env, "env_vars"))
	size := rest
	for name, v := range vars {
		size += variableSize(name, v)
	}
	byName := slices.Sorted(maps.Keys(vars))
	slices.SortStableFunc(byName, func(x, y string) int { return variableSize(y, vars[y]) - variableSize(x, vars[x]) })
	moved = map[string]string{}
	for _, name := range byName {
		if size <= runtimeEnvBytes {
			break
		}
		if _, secret := a.args.SecretEnv[name]; secret {
			continue
		}
		size -= variableSize(name, vars[name])
		moved[name] = vars[name]
		delete(vars, name)
	}
	if size > runtimeEnvBytes {
		return nil, fmt.Errorf("the runtime environment, secrets and metadata have %d bytes as JSON, more than the %d that Ray can pass to "+
			"a process", size, runtimeEnvBytes)
	}
	return moved, nil
}

// newSpill returns a spill with the moved and long variables, and the entrypoint if it is too long. It returns nil if nothing has to be
// spilled. The entrypoint sets the moved variables. The long ones do not fit into a variable: the entrypoint sets NAME_FILE to the path
// of their file.
func newSpill(moved, long map[string]string, entrypoint string) *spill {
	s := &spill{files: map[string]string{}}
	var script strings.Builder
	for _, name := range slices.Sorted(maps.Keys(moved)) {
		fmt.Fprintf(&script, "export %s=%s\n", name, shellWord(moved[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(long)) {
		fmt.Fprintf(&script, "export %s%s=\"$rayorch_dir/%s\"\n", name, jobenv.FileSuffix, name)
		s.files[name] = long[name]
	}
	if len(entrypoint) > entrypointBytes {
		s.files["entrypoint.sh"] = entrypoint
	}
	if script.Len() == 0 && len(s.files) == 0 {
		return nil
	}
	s.files["env.sh"] = script.String()
	hash := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		fmt.Fprintf(hash, "%q %d\n%s", name, len(s.files[name]), s.files[name])
	}
	s.name = "rayorch-" + hex.EncodeToString(hash.Sum(nil))[:16]
	return s
}

// entrypoint returns an entrypoint that reads the files of the spill before it runs the given one.
func (s *spill) entrypoint(entrypoint string) string {
	start := `IFS=:; for rayorch_dir in $PYTHONPATH; do rayorch_dir="$rayorch_dir/` + s.name + `"; [ -d "$rayorch_dir" ] && break; done; unset IFS
. "$rayorch_dir/env.sh" || exit 120
`
	if _, ok := s.files["entrypoint.sh"]; ok {
		return start + `. "$rayorch_dir/entrypoint.sh"`
	}
	return start + entrypoint
}

// shellWord quotes a text for sh.
func shellWord(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

func anyMap(m map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

func envWithout(env map[string]any, key string) map[string]any {
	out := maps.Clone(env)
	delete(out, key)
	return out
}

func (a *attempt) metadata() map[string]any { return anyMap(a.args.Metadata) }

// variableSize returns the size of a variable in the JSON of a runtime environment, in bytes.
func variableSize(name, v string) int { return jsonSize(name) + jsonSize(v) + 4 }

// jsonSize returns the size of a value in bytes as Python's json.dumps encodes it: in ASCII, with spaces after separators.
func jsonSize(v any) int {
	switch v := v.(type) {
	case string:
		n := 2
		for _, r := range v {
			switch {
			case r == '"' || r == '\\' || r == '\n' || r == '\r' || r == '\t' || r == '\b' || r == '\f':
				n += 2
			case r >= 0x20 && r < 0x7f:
				n++
			case r > 0xffff:
				n += 12
			default:
				n += 6
			}
		}
		return n
	case []any:
		n := 2
		for _, item := range v {
			n += jsonSize(item) + 2
		}
		return n
	case map[string]any:
		n := 2
		for k, item := range v {
			n += jsonSize(k) + jsonSize(item) + 4
		}
		return n
	}
	return len(fmt.Sprint(v))
}
