package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/backend/hostenv"
	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/engine/home"
	"github.com/rayorch/rayorch/internal/view/terminal"
)

// rayOptions say which Ray the local targets use, and where tasks of EKS go.
type rayOptions struct {
	address  string
	caFile   string
	clusters []string
	// overHTTP sends Ray's token also over plain http.
	overHTTP bool
}

func (o *rayOptions) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.address, "ray-address", "", "Ray's dashboard, http://HOST:8265 (default: see the order below)")
	c.Flags().StringVar(&o.caFile, "ray-ca", "", "PEM file with the certificates that sign an https Ray address")
	c.Flags().BoolVar(&o.overHTTP, "ray-token-over-http", false, "send Ray's token over plain http even if the address is not loopback")
	c.Flags().StringArrayVar(&o.clusters, "eks-cluster", nil, "NAME=CONTEXT: tasks whose ClusterName is NAME go to that kubeconfig context; may be repeated")
}

// head is the Ray that rayorch starts and stops; one per state directory.
func (a *app) head(progress func(string)) (*ray.Head, error) {
	dir, err := home.Dir(a.stateDir, os.Getenv)
	if err != nil {
		return nil, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = dir
	}
	return &ray.Head{
		Dir: filepath.Join(dir, "ray"), Progress: progress,
		Python: ray.PythonFinder{
			Getenv: os.Getenv, Venv: filepath.Join(cache, "rayorch", "ray-"+ray.Release), Progress: progress,
		},
	}, nil
}

func (a *app) resolver(o rayOptions, start bool, progress func(string)) (ray.Resolver, error) {
	head, err := a.head(progress)
	if err != nil {
		return ray.Resolver{}, err
	}
	user, _ := os.UserHomeDir() // without one there is no ~/.ray/auth_token to look for
	return ray.Resolver{Flag: o.address, Getenv: os.Getenv, Home: user, CAFile: o.caFile, Own: head, Start: start,
		TokenOverHTTP: o.overHTTP, UsedFile: filepath.Join(head.Dir, "used.json")}, nil
}

func (a *app) say(line string) { fmt.Fprintln(a.err, terminal.Clean(line)) }

func (a *app) rayCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "ray",
		Short:   "start, stop and show the Ray that rayorch runs on this machine",
		Example: "  rayorch ray start",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.rayStartCommand(), a.rayStopCommand(), a.rayStatusCommand())
	return c
}

func (a *app) rayStartCommand() *cobra.Command {
	var cpus int
	var noToken bool
	var inherit []string
	c := &cobra.Command{
		Use:   "start",
		Short: "start a Ray of rayorch's own; gets Ray from PyPI when no Python here has it",
		Long: "start runs a Ray head with ports, directories and processes of its own, so that it disturbs no other Ray. It\n" +
			"stays until rayorch ray stop. Jobs on it need a token, which rayorch finds by itself. Ray and its jobs inherit only\n" +
			"few environment variables (docs/pipeline.md lists them).",
		Example: "  rayorch ray start --cpus 4",
		RunE: func(c *cobra.Command, _ []string) error {
			h, err := a.head(a.say)
			if err != nil {
				return err
			}
			if err := makeStateDir(filepath.Dir(h.Dir)); err != nil {
				return err
			}
			h.CPUs, h.NoToken = cpus, noToken
			h.Env = hostenv.Inherit{Names: inherit}.Of(os.Environ())
			state, err := h.Start(c.Context())
			if err != nil {
				return err
			}
			if err := keepRay(h); err != nil {
				return err
			}
			return a.rayState(state)
		},
	}
	c.Flags().IntVar(&cpus, "cpus", 0, "CPUs that it offers to jobs (default: all)")
	c.Flags().StringArrayVar(&inherit, "inherit-env", nil, "environment variable that Ray and all its jobs inherit, or PREFIX_*; may be repeated")
	c.Flags().BoolVar(&noToken, "no-token", false, "leave token authentication off: any user of this machine may then run code as you")
	return c
}

func (a *app) rayStopCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "stop",
		Short:   "stop the Ray that rayorch started, and no other",
		Example: "  rayorch ray stop",
		RunE: func(c *cobra.Command, _ []string) error {
			h, err := a.head(a.say)
			if err != nil {
				return err
			}
			before, err := h.Status(c.Context())
			if err != nil {
				return err
			}
			if err := h.Stop(c.Context()); err != nil {
				return err
			}
			if !before.Running {
				return a.rayState(ray.State{})
			}
			_, err = fmt.Fprintf(a.out, "stopped the ray at %s\n", before.Address)
			return err
		},
	}
}

func (a *app) rayStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "show the Ray that rayorch started, and which one a run would use",
		Example: "  rayorch ray status",
		RunE:    func(c *cobra.Command, _ []string) error { return a.rayStatus(c.Context()) },
	}
}

func (a *app) rayStatus(ctx context.Context) error {
	r, err := a.resolver(rayOptions{}, false, a.say)
	if err != nil {
		return err
	}
	state, err := r.Own.Status(ctx)
	if err != nil {
		return err
	}
	if err := a.rayState(state); err != nil || a.json() {
		return err
	}
	found, err := r.Resolve(ctx)
	switch {
	case errors.Is(err, ray.ErrNoRay):
		_, err = fmt.Fprintln(a.out, "a run would start one")
	case err == nil:
		_, err = fmt.Fprintf(a.out, "a run would use %s\n", found)
	default: // the status was shown; that a run would fail is news, not a failure of this command
		_, err = fmt.Fprintf(a.out, "a run would fail: %s\n", terminal.Clean(err.Error()))
	}
	return err
}

func (a *app) rayState(s ray.State) error {
	if a.json() {
		return a.print(map[string]any{"running": s.Running, "state": s})
	}
	if !s.Running {
		_, err := fmt.Fprintln(a.out, "rayorch runs no ray here")
		return err
	}
	_, err := fmt.Fprintf(a.out, "ray %s runs since %s\naddress  %s\ntoken    %s\n",
		s.RayVersion, s.Started.Local().Format(time.DateTime), s.Address, orDash(s.TokenFile))
	return err
}
