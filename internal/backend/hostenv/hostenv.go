// Package hostenv selects the environment variables that jobs on this machine, and the Ray that rayorch starts, inherit from the
// process that starts them. They inherit what a program needs to find its tools, libraries, certificates and caches, but not
// credentials: a pipeline has to list these by name (env, secrets, inheritEnv).
package hostenv

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// base has the patterns of variables that every job inherits. The table in docs/pipeline.md explains them.
var base = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR",
	"LANG", "LANGUAGE", "LC_*", "TZ",
	"http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
	"VIRTUAL_ENV", "CONDA_PREFIX", "PIP_*", "UV_*",
	"LD_LIBRARY_PATH", "CUDA_*", "NVIDIA_*", "NCCL_*", "HIP_*", "ROCR_*",
	"XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "HF_HOME", "TORCH_HOME",
}

// Base returns the entries (NAME=VALUE) of an environment that every job inherits.
func Base(environ []string) []string { return pick(environ, isBase) }

func isBase(name string) bool { return Matches(base, name) }

// pick returns the entries whose names take accepts.
func pick(environ []string, take func(name string) bool) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return !take(name)
	})
}

// Matches reports whether a name matches one of the patterns: PREFIX_* matches all names that start with PREFIX_, and * all
// names. The name can be a pattern itself; it then matches if a pattern includes all its names.
func Matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		prefix, open := strings.CutSuffix(pattern, "*")
		return open && strings.HasPrefix(name, prefix) || pattern == name
	})
}

// Inherit specifies which variables a job inherits in addition to the base. In a definition, it is true for all, or a list of
// names and patterns such as PREFIX_*.
type Inherit struct {
	All   bool
	Names []string
}

// Name matches a valid name or pattern in Inherit.
var Name = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*\*?$`)

// UnmarshalJSON reads true, false or a list of names.
func (i *Inherit) UnmarshalJSON(data []byte) error {
	into := any(&i.Names)
	if !bytes.HasPrefix(data, []byte("[")) {
		into = &i.All
	}
	if json.Unmarshal(data, into) != nil {
		return errors.New("the argument InheritEnv must be true or a list of names of environment variables")
	}
	for _, name := range i.Names {
		if !Name.MatchString(name) {
			return fmt.Errorf("the argument InheritEnv: %q is not the name of an environment variable or PREFIX_*", name)
		}
	}
	return nil
}

// Of returns the entries of an environment that a job inherits in addition to the base. These never include rayorch's own
// settings (RAYORCH_*).
func (i Inherit) Of(environ []string) []string {
	return pick(environ, func(name string) bool {
		return !isBase(name) && !strings.HasPrefix(name, "RAYORCH_") && (i.All || Matches(i.Names, name))
	})
}

var identifier = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)

// Advice returns a hint for a failed job if its cause mentions variables of the environment that the job did not inherit, or ""
// if there are none. given has the variables that the job got from other sources. A cause that mentions credentials stands
// for all AWS_* variables. A name without an underscore does not count as mentioned, because it could be any word.
func (i Inherit) Advice(environ []string, given map[string]bool, cause string) string {
	mentioned := map[string]bool{}
	for _, name := range identifier.FindAllString(cause, -1) {
		mentioned[name] = strings.Contains(name, "_")
	}
	credentials := strings.Contains(strings.ToLower(cause), "credentials") // the SDKs of AWS mention no variable
	var names []string
	for _, entry := range (Inherit{All: true}).Of(environ) {
		name, _, _ := strings.Cut(entry, "=")
		if (mentioned[name] || credentials && strings.HasPrefix(name, "AWS_")) && !given[name] && !Matches(i.Names, name) && !i.All {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "\nrayorch: hint: jobs do not inherit " + strings.Join(names, ", ") + " from the environment of rayorch: " +
		"to pass a variable to jobs, list it in inheritEnv of the target, or make it a secret of the step"
}
