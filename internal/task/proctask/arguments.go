package proctask

import (
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
	"github.com/rayorch/rayorch/internal/task"
	"github.com/rayorch/rayorch/internal/task/jobenv"
	"github.com/rayorch/rayorch/internal/task/snapshot"
)

// Arguments are the arguments of process:run.sync. Either Command or Shell is set.
type Arguments struct {
	jobenv.Secrets
	ID             string            `json:"Id"`
	Command        []string          `json:"Command"`
	Shell          string            `json:"Shell"`
	Dir            string            `json:"Dir"`
	Snapshot       *Snapshot         `json:"Snapshot"` // if set, the process runs in a new copy of Dir as it was when the execution started
	Environment    map[string]string `json:"Environment"`
	Params         json.RawMessage   `json:"Params"` // the parameters as an object, if they are too large for Environment
	InheritEnv     hostenv.Inherit   `json:"InheritEnv"`
	TimeoutSeconds *float64          `json:"TimeoutSeconds"`
	Metadata       map[string]string `json:"Metadata"`
}

// Snapshot configures the copy of Dir.
type Snapshot struct {
	Excludes []string `json:"Excludes"` // patterns of files to exclude, in addition to those in .gitignore and .rayignore files
}

// Sources returns the directories that must be packed before an execution starts. arguments are the arguments of run.sync in the
// definition. Directories that an expression computes are not included: they are known, and packed, only when the state is entered.
func Sources(arguments json.RawMessage) []snapshot.Source {
	var a struct {
		Dir      any
		Snapshot *Snapshot
	}
	if json.Unmarshal(arguments, &a) != nil {
		return nil // the attempt reports the error
	}
	if dir, ok := a.Dir.(string); ok && filepath.IsAbs(dir) && a.Snapshot != nil {
		return []snapshot.Source{{Path: dir, Excludes: a.Snapshot.Excludes}}
	}
	return nil
}

// processID matches a DNS label. A process id is also the name of a directory.
var processID = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

func parseArguments(input []byte) (*Arguments, error) {
	var a Arguments
	if err := task.Decode(input, &a); err != nil {
		return nil, fmt.Errorf("the arguments of process:run.sync: %w", err)
	}
	return &a, a.check()
}

func (a *Arguments) check() error {
	switch {
	case !processID.MatchString(a.ID):
		return fmt.Errorf("the argument Id %q must be a DNS label of at most 63 characters", a.ID)
	case (len(a.Command) == 0) == (a.Shell == ""):
		return errors.New("exactly one of the arguments Command (a list) and Shell (a string) must be set")
	case a.Dir != "" && !filepath.IsAbs(a.Dir):
		return fmt.Errorf("the argument Dir %q must be an absolute path", a.Dir)
	case a.Dir == "" && a.Snapshot != nil:
		return errors.New("the argument Snapshot requires the argument Dir")
	case a.TimeoutSeconds != nil && (*a.TimeoutSeconds <= 0 || math.IsNaN(*a.TimeoutSeconds)):
		return fmt.Errorf("the argument TimeoutSeconds must be greater than 0, got %v", *a.TimeoutSeconds)
	case slices.ContainsFunc(append([]string{a.Shell, a.Dir}, a.Command...), func(s string) bool { return strings.Contains(s, "\x00") }):
		return errors.New("the arguments Command, Shell and Dir must not contain NUL characters")
	}
	return a.checkEnvironment()
}

func (a *Arguments) checkEnvironment() error {
	for name, v := range a.Environment {
		if !jobenv.IsVariable(name) || strings.Contains(v, "\x00") {
			return fmt.Errorf("the argument Environment %q must be the name of an environment variable, and its value must not contain NUL "+
				"characters", name)
		}
	}
	return a.Secrets.Check()
}

// timeout returns the maximum run time, or 0 if there is none. It is at most 100 years, so that it does not overflow a time.Duration.
func (a *Arguments) timeout() time.Duration {
	if a.TimeoutSeconds == nil {
		return 0
	}
	return time.Duration(min(*a.TimeoutSeconds, 100*365*24*3600) * float64(time.Second))
}

func (a *Arguments) argv() []string {
	if a.Shell != "" {
		return []string{"/bin/sh", "-c", a.Shell}
	}
	return a.Command
}

// given returns the names of the variables that the arguments set.
func (a *Arguments) given() map[string]bool {
	names := map[string]bool{}
	for name := range a.Environment {
		names[name] = true
	}
	for name := range a.SecretEnv {
		names[name] = true
	}
	return names
}

// environment returns the environment of the process as NAME=VALUE, and the values to redact. From lowest to highest precedence, the
// variables are those of hostenv.Base, inherited ones, those of the arguments, and secrets. files contains the values that are too long
// for a variable, by variable name; the caller writes them to dir, where the process finds them.
func (a *Arguments) environment(inheritable []string, valueOf func(string) (string, error), dir string) (env, secrets []string, files map[string]string, err error) {
	given := map[string]string{}
	maps.Copy(given, a.Environment)
	if err := jobenv.AddParams(given, a.Params); err != nil {
		return nil, nil, nil, err
	}
	if files, err = jobenv.RemoveLong(given); err != nil {
		return nil, nil, nil, err
	}
	for name := range files {
		given[name+jobenv.FileSuffix] = filepath.Join(dir, name)
	}
	env = append(hostenv.Base(os.Environ()), a.InheritEnv.Of(inheritable)...)
	for name, v := range given {
		env = append(env, name+"="+v)
	}
	values, secrets, err := a.Secrets.Read(valueOf)
	for name, secret := range values {
		env = append(env, name+"="+secret)
	}
	return env, secrets, files, err
}
