package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/api"
	"github.com/rayorch/rayorch/internal/console"
	"github.com/rayorch/rayorch/internal/lease"
)

type serveOptions struct {
	listen  string
	cert    string
	key     string
	keys    []string
	hosts   []string
	pprof   bool
	console bool
	buckets string
	lease   string
	reserve string
	ray     rayOptions
}

func (a *app) serveCommand() *cobra.Command {
	var o serveOptions
	c := &cobra.Command{
		Use:   "serve",
		Short: "own the state directory and serve the Step Functions API",
		Long: "serve runs executions and answers the Step Functions API (AWS JSON 1.0), so that the AWS CLI, boto3 and other\n" +
			"SDKs work against it with nothing but an endpoint URL. It goes on with every run that is open.\n\n" +
			"Without keys it listens on loopback only and takes any signature. Elsewhere it demands keys and TLS.",
		Example: "  rayorch serve --listen 127.0.0.1:8080\n" +
			"  aws stepfunctions list-state-machines --endpoint-url http://127.0.0.1:8080",
		RunE: func(c *cobra.Command, _ []string) error { return a.serve(c.Context(), o) },
	}
	f := c.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:8080", "address to serve the API on")
	f.StringVar(&o.cert, "tls-cert", "", "PEM file of the server's certificate")
	f.StringVar(&o.key, "tls-key", "", "PEM file of its private key")
	f.StringArrayVar(&o.keys, "access-key", nil, "file that holds ID:SECRET, an access key that may call; may be repeated")
	f.StringArrayVar(&o.hosts, "host", nil, "name under which the server may be called without keys, besides loopback's")
	f.StringVar(&o.buckets, "buckets", "", "where distributed Maps find buckets: a directory, or the URL of an S3 (default: buckets in the state directory)")
	f.StringVar(&o.lease, "lease", "", "NAMESPACE/NAME of a Kubernetes Lease to hold, so that of several servers one acts")
	f.StringVar(&o.reserve, "reserve", "64MiB", "free disk space (bytes, or a number with KiB, MiB or GiB) below which the server refuses new work")
	f.BoolVar(&o.console, "console", true, "serve the web console as well")
	f.BoolVar(&o.pprof, "pprof", false, "serve profiles under /debug/pprof/")
	o.ray.flags(c)
	return c
}

func (a *app) serve(ctx context.Context, o serveOptions) (err error) {
	keys, err := readKeys(o.keys)
	if err != nil {
		return err
	}
	reserve, err := parseSize("--reserve", o.reserve)
	if err != nil {
		return &failure{code: exitUsage, err: err}
	}
	if err := api.CheckListen(o.listen, len(keys) > 0, o.cert != ""); err != nil {
		return &failure{code: exitUsage, err: err}
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := a.stateDirectory()
	if err != nil {
		return err
	}
	a.verbose = true // a server's log is for whoever runs it
	ctx, give, err := a.takeLease(ctx, o.lease)
	if err != nil {
		return err
	}
	defer give()
	own, err := a.ownSoon(ctx, dir, ownerOptions{Resume: true, Run: true, Server: true, Ray: o.ray, Buckets: o.buckets, Reserve: reserve})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, own.close()) }()
	if err := a.listen(ctx, own, o, keys); err != nil {
		return err
	}
	if errors.Is(context.Cause(ctx), lease.ErrLost) {
		return silent(exitError) // said already
	}
	return nil
}

// drainTime is how long requests under way may take when the server ends.
const drainTime = 10 * time.Second

func (a *app) listen(ctx context.Context, own *owner, o serveOptions, keys map[string]string) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return fail(exitError, "another server may have the port: name another by --listen", "listen: %w", err)
	}
	scheme := "http"
	if o.cert != "" {
		scheme = "https"
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			return errors.Join(fmt.Errorf("load the certificate: %w", err), l.Close())
		}
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	}
	closing := make(chan struct{})
	c := api.Config{Keys: keys, Hosts: o.hosts, Pprof: o.pprof, Logger: a.logger(), Version: version, Closing: closing}
	fmt.Fprintf(a.out, "serving the Step Functions API on %s://%s\n", scheme, l.Addr())
	if o.console {
		con := console.New(console.Config{Keys: keys, Version: version})
		c.Console, c.Session = con, con.SignedIn
		fmt.Fprintf(a.out, "the console is at %s\n", consoleURL(scheme, l.Addr()))
	}
	srv := &http.Server{Handler: own.handler(c), ReadHeaderTimeout: time.Minute, IdleTimeout: 2 * time.Minute}
	srv.RegisterOnShutdown(func() { close(closing) })
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	if err := srv.Shutdown(drain); err != nil {
		_ = srv.Close() // whoever still follows a log is cut off
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// readKeys reads files of one access key each: a secret on the command line would be everybody's to read.
func readKeys(files []string) (map[string]string, error) {
	keys := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read an access key: %w", err)
		}
		id, secret, ok := strings.Cut(strings.TrimSpace(string(text)), ":")
		if !ok || id == "" || secret == "" {
			return nil, fmt.Errorf("the file %s must hold ID:SECRET, one access key", file)
		}
		keys[id] = secret
	}
	return keys, nil
}
