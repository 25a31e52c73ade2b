// Package hostenv says what jobs on this machine, and rayorch's own Ray, get of the environment of the process that starts them.
// What a program needs to find its tools, libraries, certificates and caches is passed on; what authenticates is not: it reaches a
// job only by name (env, secrets, inheritEnv). The runners and internal/backend/ray call it.
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

// base are the variables that every job gets. The table in docs/pipeline.md explains them.
var base = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR",
	"LANG", "LANGUAGE", "LC_*", "TZ",
	"http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
	"VIRTUAL_ENV", "CONDA_PREFIX", "PIP_*", "UV_*",
	"LD_LIBRARY_PATH", "CUDA_*", "NVIDIA_*", "NCCL_*", "HIP_*", "ROCR_*",
	"XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "HF_HOME", "TORCH_HOME",
}

// Base are the entries (NAME=VALUE) of an environment that every job gets.
func Base(environ []string) []string { return pick(environ, isBase) }

func isBase(name string) bool { return Matches(base, name) }

func pick(environ []string, take func(name string) bool) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return !take(name)
	})
}

// Matches tells whether a name, or a pattern of names, is one of the patterns or within one: PREFIX_* stands for all that start with
// PREFIX_, and * for all.
func Matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		prefix, open := strings.CutSuffix(pattern, "*")
		return open && strings.HasPrefix(name, prefix) || pattern == name
	})
}

// Inherit says what a job inherits besides. In a definition it is true, or a list of names, where PREFIX_* stands for all that start
// with PREFIX_.
type Inherit struct {
	All   bool
	Names []string
}

// Name is the pattern of a name in Inherit.
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
			return fmt.Errorf("the argument InheritEnv: %q must be the name of an environment variable, or PREFIX_*", name)
		}
	}
	return nil
}

// Of are the entries of an environment that a job inherits beyond the base. Settings of rayorch itself are never among them.
func (i Inherit) Of(environ []string) []string {
	return pick(environ, func(name string) bool {
		return !isBase(name) && !strings.HasPrefix(name, "RAYORCH_") && (i.All || Matches(i.Names, name))
	})
}

var identifier = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)

// Advice is for the cause of a failed job: it names the variables of an environment that the cause mentions and the job did not
// inherit. given are those that it got otherwise. It is empty where there are none.
func (i Inherit) Advice(environ []string, given map[string]bool, cause string) string {
	mentioned := map[string]bool{}
	for _, name := range identifier.FindAllString(cause, -1) {
		mentioned[name] = strings.Contains(name, "_")
	}
	credentials := strings.Contains(strings.ToLower(cause), "credentials") // what the SDKs of AWS say without any
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
	return "\nrayorch: hint: " + strings.Join(names, ", ") + " in the environment of rayorch: jobs do not inherit it. " +
		"To pass it to jobs, list it in inheritEnv of the target, or make it a secret of the step"
}
