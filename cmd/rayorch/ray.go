package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/backend/hostenv"
	"github.com/rayorch/rayorch/internal/backend/ray"
	"github.com/rayorch/rayorch/internal/engine/home"
	"github.com/rayorch/rayorch/internal/view/terminal"
)

// rayOptions select the Ray that targets of kind local use, and the clusters that EKS tasks use.
type rayOptions struct {
	address  string   // of the dashboard; "" selects the default: see the help of run
	caFile   string   // PEM
	clusters []string // --eks-cluster: NAME=CONTEXT
	// overHTTP allows sending Ray's token over plain http to another machine.
	overHTTP bool
}

func (o *rayOptions) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.address, "ray-address", "", "address of the Ray dashboard, such as http://HOST:8265 (default: see rayorch run --help)")
	c.Flags().StringVar(&o.caFile, "ray-ca", "", "PEM file with the CA certificates for a Ray address with https")
	c.Flags().BoolVar(&o.overHTTP, "ray-token-over-http", false, "send Ray's token over plain http, even to an address that is not loopback")
	c.Flags().StringArrayVar(&o.clusters, "eks-cluster", nil,
		"use the kubeconfig context CONTEXT for EKS tasks whose ClusterName is NAME; can be repeated")
}

// head returns the Ray that rayorch starts and stops: one for each state directory. progress receives lines about downloads and starts.
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

// resolver returns a resolver for the Ray to use. start allows it to start a Ray if there is none.
func (a *app) resolver(o rayOptions, start bool, progress func(string)) (ray.Resolver, error) {
	head, err := a.head(progress)
	if err != nil {
		return ray.Resolver{}, err
	}
	user, _ := os.UserHomeDir() // without a home directory there is no ~/.ray/auth_token to read
	return ray.Resolver{Flag: o.address, Getenv: os.Getenv, Home: user, CAFile: o.caFile, Own: head, Start: start,
		TokenOverHTTP: o.overHTTP, UsedFile: filepath.Join(head.Dir, "used.json")}, nil
}

func rayCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "ray",
		Short: "start, stop or show the Ray that rayorch manages on this machine",
		Long: "ray manages the Ray that rayorch starts for a state directory. rayorch run starts it if necessary, and stops it after the run. " +
			"A Ray that was started with rayorch ray start runs until rayorch ray stop.",
		Example: "  rayorch ray start",
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(rayStartCommand(a), rayStopCommand(a), rayStatusCommand(a))
	return c
}

func rayStartCommand(a *app) *cobra.Command {
	var cpus int
	var noToken bool
	var inherit []string
	c := &cobra.Command{
		Use:   "start",
		Short: "start a Ray on this machine; install Ray from PyPI if it is missing",
		Long: "start starts a Ray head with separate ports, directories and processes, so that it does not interfere with any other Ray. It " +
			"runs until rayorch ray stop. It requires a token, which rayorch finds automatically. Ray and its jobs inherit only a few " +
			"environment variables: see docs/pipeline.md.",
		Example: "  rayorch ray start --cpus 4",
		RunE: func(c *cobra.Command, _ []string) error {
			h, err := a.head(a.out.say)
			if err != nil {
				return err
			}
			if err := makeStateDir(filepath.Dir(h.Dir)); err != nil { // the parent of ray/
				return err
			}
			h.CPUs, h.NoToken = cpus, noToken
			h.Env = hostenv.Inherit{Names: inherit}.Of(os.Environ())
			state, err := h.Start(c.Context())
			if err != nil {
				return err
			}
			if err := keepRay(h); err != nil { // it may have been running for runs already
				return err
			}
			return printRay(a.out, state)
		},
	}
	c.Flags().IntVar(&cpus, "cpus", 0, "number of CPUs for jobs (default: all)")
	c.Flags().StringArrayVar(&inherit, "inherit-env", nil,
		"environment variable that Ray and all its jobs inherit, or a pattern such as PREFIX_*; can be repeated")
	c.Flags().BoolVar(&noToken, "no-token", false, "disable token authentication: every user of this machine can then run code as you")
	return c
}

func rayStopCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "stop",
		Short:   "stop the Ray that rayorch started",
		Long:    "stop stops the Ray that rayorch started for the state directory, and the jobs on it. It does not stop any other Ray.",
		Example: "  rayorch ray stop",
		RunE: func(c *cobra.Command, _ []string) error {
			h, err := a.head(a.out.say)
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
				return printRay(a.out, ray.State{})
			}
			a.out.printf("stopped Ray at %s\n", before.Address)
			return nil
		},
	}
}

func rayStatusCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "show the Ray that rayorch started, and the Ray that a run would use",
		Long: "status shows the version, the address and the token file of the Ray that rayorch started for the state directory, and which " +
			"Ray a run would use: see rayorch run --help.",
		Example: "  rayorch ray status",
		RunE:    func(c *cobra.Command, _ []string) error { return a.rayStatus(c.Context()) },
	}
}

// rayStatus prints the Ray that rayorch started and, as text, the Ray that a run would use, which may be another one.
func (a *app) rayStatus(ctx context.Context) error {
	r, err := a.resolver(rayOptions{}, false, a.out.say)
	if err != nil {
		return err
	}
	state, err := r.Own.Status(ctx)
	if err != nil {
		return err
	}
	if err := printRay(a.out, state); err != nil || a.out.json() {
		return err
	}
	found, err := r.Resolve(ctx)
	switch {
	case errors.Is(err, ray.ErrNoRay):
		a.out.printf("a run would start a Ray\n")
	case err == nil:
		a.out.printf("a run would use %s\n", found)
	default: // the command itself did not fail: it has shown the status
		a.out.printf("a run would fail: %s\n", terminal.Clean(err.Error()))
	}
	return nil
}

// printRay prints the state of the Ray that rayorch started.
func printRay(p *printer, s ray.State) error {
	return p.result(map[string]any{"running": s.Running, "state": s}, func() {
		if !s.Running {
			p.printf("rayorch has not started a Ray on this machine\n")
			return
		}
		p.printf("Ray %s has been running since %s\naddress  %s\ntoken    %s\n",
			s.RayVersion, s.Started.Local().Format(time.DateTime), s.Address, orDash(s.TokenFile))
	})
}
