package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/task/policy"
)

// allowOptions are the flags of serve that say what definitions and inputs from the network may use: by default, nothing.
type allowOptions struct {
	rays, contexts, variables, dirs []string
	noProcess                       bool
	decided                         func() bool // reports whether --no-process was given
}

func (o *allowOptions) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&o.rays, "allow-ray", nil, "Ray address that tasks registered over the network may use; can be repeated")
	f.StringArrayVar(&o.contexts, "allow-context", nil, "kubeconfig context that tasks registered over the network may use; can be repeated")
	f.StringArrayVar(&o.variables, "allow-env", nil, "environment variable of the server, or a pattern such as AWS_*, that tasks registered over the network may read; "+
		"can be repeated")
	f.StringArrayVar(&o.dirs, "allow-dir", nil, "directory that tasks registered over the network may read; can be repeated")
	f.BoolVar(&o.noProcess, "no-process", false, "reject process tasks (default: true if the access keys have different roles)")
	o.decided = func() bool { return f.Changed("no-process") }
}

// envName matches the name of an environment variable, or a prefix of one and *.
var envName = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*)?\*?$`)

// policy checks the flags and returns the policy that they describe. severalRoles reports whether the access keys have different roles:
// then process tasks are rejected by default, because a process runs as the user of the server, whatever the role of the caller.
func (o *allowOptions) policy(severalRoles bool) (p policy.Policy, err error) {
	for _, address := range o.rays {
		if _, _, err := ray.ParseAddress(address); err != nil {
			return p, fail(exitUsage, "", "--allow-ray: %w", err)
		}
	}
	for _, name := range o.variables {
		if name == "" || !envName.MatchString(name) {
			return p, fail(exitUsage, "", "--allow-env %q is not the name of an environment variable or a pattern such as AWS_*", name)
		}
	}
	p = policy.Policy{Rays: o.rays, Contexts: o.contexts, Variables: o.variables, NoProcess: o.noProcess}
	if severalRoles && !o.decided() {
		p.NoProcess = true
	}
	for _, dir := range o.dirs {
		path, err := filepath.Abs(dir)
		if err != nil {
			return p, fmt.Errorf("--allow-dir: %w", err)
		}
		if info, err := os.Stat(path); err != nil || !info.IsDir() {
			return p, fail(exitUsage, "", "--allow-dir %s is not a directory", dir)
		}
		p.Dirs = append(p.Dirs, path)
	}
	return p, nil
}

// ownRays returns the addresses of the Ray that the owner itself is configured to use: executions from the network may use it, too.
func (o *rayOptions) ownRays(getenv func(string) string) []string {
	all := []string{o.address, getenv("RAY_API_SERVER_ADDRESS"), getenv("RAY_ADDRESS")}
	return slices.DeleteFunc(all, func(address string) bool { return address == "" })
}
