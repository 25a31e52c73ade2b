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

// allowOptions say what definitions and inputs that come over the network may name.
type allowOptions struct {
	rays, contexts, variables, dirs []string
	noProcess                       bool
	decided                         func() bool // --no-process was given
}

func (o *allowOptions) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&o.rays, "allow-ray", nil, "address of another Ray that tasks registered over the network may use; may be repeated")
	f.StringArrayVar(&o.contexts, "allow-context", nil, "kubeconfig context that tasks registered over the network may use; may be repeated")
	f.StringArrayVar(&o.variables, "allow-env", nil, "environment variable of the server, or pattern such as AWS_*, that tasks registered over the network may read; may be repeated")
	f.StringArrayVar(&o.dirs, "allow-dir", nil, "directory that tasks registered over the network may read; may be repeated")
	f.BoolVar(&o.noProcess, "no-process", false, "switch process tasks off (default: true if the access keys have different roles)")
	o.decided = func() bool { return f.Changed("no-process") }
}

var envName = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*)?\*?$`)

// policy checks the flags. severalRoles says that not every caller may do everything.
func (o *allowOptions) policy(severalRoles bool) (p policy.Policy, err error) {
	for _, address := range o.rays {
		if _, _, err := ray.ParseAddress(address); err != nil {
			return p, fail(exitUsage, "", "--allow-ray: %w", err)
		}
	}
	for _, name := range o.variables {
		if name == "" || !envName.MatchString(name) {
			return p, fail(exitUsage, "", "--allow-env %q is not the name of an environment variable, nor a pattern such as AWS_*", name)
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

// namedRays are the addresses by which the owner itself says which Ray it uses.
func (o *rayOptions) namedRays(getenv func(string) string) []string {
	all := []string{o.address, getenv("RAY_API_SERVER_ADDRESS"), getenv("RAY_ADDRESS")}
	return slices.DeleteFunc(all, func(address string) bool { return address == "" })
}
