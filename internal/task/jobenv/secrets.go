package jobenv

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
)

// SecretRef refers to a secret. Its value is read when the job starts, so that neither the definition nor the history contains it.
type SecretRef struct {
	Env string `json:"Env"` // name of a variable in the environment of the process that starts the run
}

// Secrets are the arguments of a task that refer to secrets.
type Secrets struct {
	SecretEnv map[string]SecretRef `json:"SecretEnv"` // secrets for the job, by the name of the job's variable
	Redact    []SecretRef          `json:"Redact"`    // other secrets: the job does not get them, but they are redacted in its output
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// IsVariable reports whether name is valid as the name of an environment variable.
func IsVariable(name string) bool { return variable.MatchString(name) }

// Check returns an error if a secret or a reference is not valid.
func (s *Secrets) Check() error {
	for name, ref := range s.SecretEnv {
		if !IsVariable(name) || ref.Env == "" {
			return fmt.Errorf("the argument SecretEnv %q must be the name of an environment variable, and its value an object such as "+
				"{\"Env\": \"HOST_VARIABLE\"}", name)
		}
	}
	if slices.ContainsFunc(s.Redact, func(ref SecretRef) bool { return ref.Env == "" }) {
		return errors.New(`the argument Redact must be a list of objects such as {"Env": "HOST_VARIABLE"}`)
	}
	return nil
}

// Read returns the values of the job's secrets by variable, and all values to redact. valueOf returns the value of a host variable. A
// secret of the job that is not set is an error; one that only needs to be redacted may be unset.
func (s *Secrets) Read(valueOf func(string) (string, error)) (given map[string]string, hidden []string, err error) {
	given = make(map[string]string, len(s.SecretEnv))
	for name, ref := range s.SecretEnv {
		if given[name], err = valueOf(ref.Env); err != nil {
			return nil, nil, err
		}
		if given[name] == "" {
			return nil, nil, fmt.Errorf("the secret %s: the environment variable %s is not set: set it for the command that starts the run, "+
				"or for the server", name, ref.Env)
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

// DropDenied removes the variables that the execution is not allowed to read from Redact. The job cannot get their values, and a caller
// could guess a value by printing candidates and looking which one is redacted. may returns an error for a variable that is not allowed.
func (s *Secrets) DropDenied(may func(variable string) error) {
	s.Redact = slices.DeleteFunc(s.Redact, func(ref SecretRef) bool { return may(ref.Env) != nil })
}

// Denied returns the errors of may for the job's secrets, ordered by the names of the secrets. It returns nil if all are allowed.
func (s *Secrets) Denied(may func(variable string) error) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(s.SecretEnv)) {
		errs = append(errs, may(s.SecretEnv[name].Env))
	}
	return errors.Join(errs...)
}
