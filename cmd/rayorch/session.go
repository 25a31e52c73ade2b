package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/rayorch/rayorch/internal/api"
	"github.com/rayorch/rayorch/internal/catalog"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/home"
	"github.com/rayorch/rayorch/internal/store"
)

// session is a command's connection to whoever runs the executions. Where nobody does, the command opens the state
// directory itself and is the owner for its time (owner is set then).
type session struct {
	*remote
	app   *app
	dir   string // empty with --endpoint and --aws
	owner *owner
}

// attach finds the owner of the state directory or, when there is none, becomes it.
//
// A command that only looks (resume is false) opens the directory with every execution at rest: to list runs must not
// set one going.
func (a *app) attach(ctx context.Context, o ownerOptions) (*session, error) {
	if a.aws || a.endpoint != "" {
		r, err := a.awsClient(ctx)
		return &session{remote: r, app: a}, err
	}
	dir, err := home.Dir(a.stateDir, os.Getenv)
	if err != nil {
		return nil, err
	}
	s := &session{app: a, dir: dir}
	return s, s.join(ctx, o)
}

// joinTime is how long a command waits for an owner that holds the directory but does not answer yet: it may be
// reading a large directory.
const joinTime = 60 * time.Second

func (s *session) join(ctx context.Context, o ownerOptions) error {
	deadline := time.Now().Add(joinTime)
	for {
		addr, err := home.Find(ctx, s.dir)
		if err == nil {
			s.remote = localClient(addr)
			return nil
		}
		if !errors.Is(err, home.ErrNobody) {
			return err
		}
		s.owner, err = s.app.own(ctx, s.dir, o)
		var locked *store.LockedError
		if !errors.As(err, &locked) {
			if err == nil {
				s.remote = localClient(s.owner.addr)
			}
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d holds the state directory %s but does not answer: %w", locked.PID, s.dir, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (s *session) close() error {
	if s.owner == nil {
		return nil
	}
	return s.owner.close()
}

// ownerOptions says how an owner runs the executions.
type ownerOptions struct {
	// Resume takes up every open execution. Else they rest until they are resumed one by one.
	Resume bool
	// Run makes runners for the tasks. Commands that only look need none.
	Run bool
	// Ray says which Ray the runners use.
	Ray rayOptions
	// Buckets says where distributed Maps find buckets. Defaults to buckets in the state directory.
	Buckets string
}

// owner is this process as the owner of a state directory.
type owner struct {
	eng     *engine.Engine
	cat     *catalog.Catalog
	sdk     *api.SDKTasks
	runners *runners
	addr    home.Address
	srv     *http.Server
	remove  func()
	served  chan struct{}
}

// own opens the engine and serves the API on the directory's socket.
func (a *app) own(ctx context.Context, dir string, opts ownerOptions) (*owner, error) {
	o := &owner{served: make(chan struct{}), remove: func() {}}
	if opts.Run {
		var err error
		if o.runners, err = a.newRunners(dir, opts.Ray); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		o.runners.close()
		return nil, fail(exitError, "name another place by --state-dir", "make the state directory: %w", err)
	}
	if err := o.open(ctx, a, dir, opts); err != nil {
		return nil, errors.Join(err, o.close())
	}
	return o, nil
}

func (o *owner) open(ctx context.Context, a *app, dir string, opts ownerOptions) error {
	if err := o.openEngine(ctx, a, dir, opts); err != nil {
		return err
	}
	l, addr, err := home.Listen(dir, version)
	if err != nil {
		return err
	}
	o.addr = addr
	if o.remove, err = home.Announce(dir, addr); err != nil {
		return errors.Join(err, l.Close())
	}
	o.srv = &http.Server{
		Handler:           o.handler(api.Config{Logger: a.logger(), Version: version, SDK: o.sdk}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	go o.serve(l, a.logger())
	return nil
}

func (o *owner) openEngine(ctx context.Context, a *app, dir string, opts ownerOptions) (err error) {
	kept, err := a.buckets(ctx, opts.Buckets, dir)
	if err != nil {
		return err
	}
	var catErr error
	o.sdk = api.NewSDKTasks()
	acting := o.runners.byPrefix()
	acting[api.SDKPrefix] = o.sdk
	o.eng, err = engine.Open(ctx, engine.Config{
		Dir: dir, Runners: acting, Paused: !opts.Resume, Logger: a.logger(), Objects: kept,
		Machines: func(st *store.Store) engine.Machines {
			o.cat, catErr = catalog.Open(catalog.Config{Docs: st})
			return api.Machines(o.cat)
		},
	})
	return errors.Join(err, catErr)
}

func (o *owner) handler(c api.Config) http.Handler {
	c.Engine, c.Catalog = o.eng, o.cat
	return api.New(c)
}

func (o *owner) serve(l net.Listener, log *slog.Logger) {
	defer close(o.served)
	if err := o.srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		log.Error("the API's socket failed", "error", err)
	}
}

// close stops serving, lets running jobs go on, and gives the directory back.
func (o *owner) close() error {
	var errs []error
	o.remove()
	if o.srv != nil {
		errs = append(errs, o.srv.Close())
		<-o.served
	}
	o.runners.closeLogs()
	if o.eng != nil {
		errs = append(errs, o.eng.Close())
	}
	o.runners.close()
	return errors.Join(errs...)
}

func (a *app) logger() *slog.Logger {
	level := slog.LevelError
	if a.verbose {
		level = slog.LevelInfo
	}
	return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: level}))
}

// storageDir is where a local run's storage is when the pipeline's target names none.
func storageDir(state string) string { return filepath.Join(state, "storage") }

// stateDir is the session's, or the one that would be used here: a remote API does not say where its own is.
func (s *session) stateDir() string {
	if s.dir != "" {
		return s.dir
	}
	dir, _ := s.app.stateDirectory() // without one, a pipeline must name its storage
	return dir
}
