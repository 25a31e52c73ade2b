package jobenv

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
)

// SecretRef says where a secret's value is found at the last moment.
type SecretRef struct {
	Env string `json:"Env"` // a variable of the engine's own environment
}

// Secrets are the arguments of a task that name secrets.
type Secrets struct {
	SecretEnv map[string]SecretRef `json:"SecretEnv"` // by the job's variable
	Redact    []SecretRef          `json:"Redact"`    // secrets that the job does not get, and that must not show either
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// IsVariable reports whether a text can name an environment variable.
func IsVariable(name string) bool { return variable.MatchString(name) }

// Check reports arguments that do not name variables.
func (s *Secrets) Check() error {
	for name, ref := range s.SecretEnv {
		if !IsVariable(name) || ref.Env == "" {
			return fmt.Errorf("the argument SecretEnv %q must name a variable and be an object such as {\"Env\": \"HOST_VARIABLE\"}", name)
		}
	}
	if slices.ContainsFunc(s.Redact, func(ref SecretRef) bool { return ref.Env == "" }) {
		return errors.New(`the argument Redact must be a list of objects such as {"Env": "HOST_VARIABLE"}`)
	}
	return nil
}

// Read returns the job's secrets by its variables, and all values to hide. valueOf reads a variable of the engine's environment.
func (s *Secrets) Read(valueOf func(string) (string, error)) (given map[string]string, hidden []string, err error) {
	given = make(map[string]string, len(s.SecretEnv))
	for name, ref := range s.SecretEnv {
		if given[name], err = valueOf(ref.Env); err != nil {
			return nil, nil, err
		}
		if given[name] == "" {
			return nil, nil, fmt.Errorf("the secret %s: the variable %s is not set where the engine runs", name, ref.Env)
		}
		hidden = append(hidden, given[name])
	}
	for _, ref := range s.Redact {
		value, err := valueOf(ref.Env)
		if err != nil {
			return nil, nil, err
		}
		hidden = append(hidden, value)
	}
	return given, hidden, nil
}

// DropDenied removes from Redact what the execution may not read: a value that the job cannot get needs no hiding, and what is hidden
// would reveal it.
func (s *Secrets) DropDenied(may func(variable string) error) {
	s.Redact = slices.DeleteFunc(s.Redact, func(ref SecretRef) bool { return may(ref.Env) != nil })
}

// Denied are the errors of the job's secrets that the execution may not read, in the order of their names.
func (s *Secrets) Denied(may func(variable string) error) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(s.SecretEnv)) {
		errs = append(errs, may(s.SecretEnv[name].Env))
	}
	return errors.Join(errs...)
}
