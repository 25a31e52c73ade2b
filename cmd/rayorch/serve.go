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
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/api"
	"github.com/rayorch/rayorch/internal/api/access"
	"github.com/rayorch/rayorch/internal/api/console"
	"github.com/rayorch/rayorch/internal/api/limit"
	"github.com/rayorch/rayorch/internal/backend/lease"
)

// serveOptions are the flags of serve.
type serveOptions struct {
	listen    string
	cert, key string   // PEM files for TLS
	keys      []string // files with access keys, FILE[=ROLE]
	hosts     []string // additional values of the Host header to accept without keys
	insecure  bool     // --insecure-no-auth
	pprof     bool
	console   bool
	buckets   string // "", a directory, or the URL of an S3-compatible store
	lease     string // NAMESPACE/NAME, or "" for none
	reserve   string // a size: see parseSize
	ray       rayOptions
	allow     allowOptions
}

func serveCommand(a *app) *cobra.Command {
	var o serveOptions
	c := &cobra.Command{
		Use:   "serve",
		Short: "run executions and serve the Step Functions API",
		Long: "serve owns the state directory, resumes all open runs, and serves the Step Functions API (AWS JSON 1.0). The AWS CLI, boto3 " +
			"and other SDKs work with its endpoint URL and an access key.\n\n" +
			"Callers need an access key. Without --access-key, serve creates a key with the role admin in the file access-key in the state " +
			"directory, which only its user can read. On a terminal, it prints the key, and a link that signs in one browser to the " +
			"console, once, and expires after 5 minutes. A listen address that is not loopback also requires TLS.\n\n" +
			"A key with the role read can list and show executions, histories, logs and metrics. The role run can also start, stop and " +
			"redrive executions of registered state machines. The role admin can do everything, including running any command as the user " +
			"of the server. Commands of this user on this machine need no key: they use a socket in the state directory.\n\n" +
			"State machines that were registered over the network can use only what the --allow-* flags permit: see \"What a definition " +
			"may use\" in docs/serve.md.",
		Example: "  rayorch serve --listen 127.0.0.1:8080\n" +
			"  rayorch serve --access-key admin.key --access-key prometheus.key=read",
		RunE: func(c *cobra.Command, _ []string) error { return a.serve(c.Context(), o) },
	}
	f := c.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:8080", "address to serve the API on")
	f.StringVar(&o.cert, "tls-cert", "", "PEM file with the server's certificate")
	f.StringVar(&o.key, "tls-key", "", "PEM file with the private key of the certificate")
	f.StringArrayVar(&o.keys, "access-key", nil, "file with an access key, and its role: FILE[=read|run|admin] (default: admin); "+accessKeyFile)
	f.BoolVar(&o.insecure, "insecure-no-auth", false, "accept requests without a key, on loopback only: every user of this machine can then run commands as you")
	f.StringArrayVar(&o.hosts, "host", nil, "additional host name to accept in requests with --insecure-no-auth; can be repeated")
	f.StringVar(&o.buckets, "buckets", "", "store for the buckets of distributed Maps: a directory, or the URL of an S3-compatible store (default: the directory buckets in the state directory)")
	f.StringVar(&o.lease, "lease", "", "Kubernetes Lease, NAMESPACE/NAME, to hold while serving, so that only one of several servers is active")
	f.StringVar(&o.reserve, "reserve", "64MiB", "reject new work if there is less free disk space: a number of bytes, KiB, MiB or GiB")
	f.BoolVar(&o.console, "console", true, "also serve the web console")
	f.BoolVar(&o.pprof, "pprof", false, "serve profiles at /debug/pprof/")
	o.ray.flags(c)
	o.allow.flags(c)
	return c
}

// serve checks all flags first, then acquires the lease, and only then opens the state directory: a standby server must not touch it.
func (a *app) serve(ctx context.Context, o serveOptions) (err error) {
	keys, err := readKeys(o.keys)
	if err != nil {
		return err
	}
	reserve, err := parseSize("--reserve", o.reserve)
	if err != nil {
		return &failure{code: exitUsage, err: err}
	}
	if err := o.checkAccess(); err != nil {
		return err
	}
	may, err := o.allow.policy(keys.SeveralRoles())
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := a.stateDirectory()
	if err != nil {
		return err
	}
	a.out.verbose = true                        // a server always writes a log
	ctx, give, err := a.takeLease(ctx, o.lease) // waits while another server holds the lease
	if err != nil {
		return err
	}
	defer give()
	own, err := a.ownWhenFree(ctx, dir, ownerOptions{
		Resume: true, Run: true, Server: true, Ray: o.ray, Buckets: o.buckets, Policy: may, Reserve: reserve,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, own.close()) }()
	if keys, err = serverKeys(&o, dir, keys); err != nil { // after the directory is ours: this may create a key there
		return err
	}
	if err := a.listen(ctx, own, dir, o, keys); err != nil {
		return err
	}
	if errors.Is(context.Cause(ctx), lease.ErrLost) {
		return silent(exitError) // takeLease has printed it
	}
	return nil
}

// drainTime is how long open requests may take when the server shuts down.
const drainTime = 10 * time.Second

// listen serves the API and the console until the context is canceled.
func (a *app) listen(ctx context.Context, own *owner, dir string, o serveOptions, keys access.Keys) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return fail(exitError, "if the port is in use, choose another one with --listen", "listen: %w", err)
	}
	limits := limit.New(limit.Config{Logger: a.out.logger()})
	l = limits.Listener(l)
	scheme := "http"
	if o.cert != "" {
		scheme = "https"
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			return errors.Join(fmt.Errorf("load the certificate: %w", err), l.Close())
		}
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	}
	// Requests that wait for an event, such as a followed log, end when closing is closed: otherwise Shutdown would wait for them.
	closing := make(chan struct{})
	c := api.Config{Keys: keys, Hosts: o.hosts, Pprof: o.pprof, Logger: a.out.logger(), Version: version, Closing: closing, Limits: limits}
	a.out.printf("serving the Step Functions API on %s://%s\n", scheme, l.Addr())
	var con *console.Console
	url := consoleURL(scheme, l.Addr())
	if o.console {
		con = console.New(console.Config{Keys: keys, Open: o.insecure, Version: version, Limits: limits})
		c.Console, c.Session = con, con.Caller
		// rayorch console requests a link over the socket, and needs no key.
		link := func() string { return url + con.Link("") }
		own.signIn.link.Store(&link)
		a.out.printf("the console is at %s\n", url)
	}
	a.printSignIn(&o, dir, keys, con, url)
	srv := limits.Server(own.handler(c))
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
		_ = srv.Close() // closes connections that still follow a log
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
