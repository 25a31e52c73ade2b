package main

// This file decides how a command reaches the executions. One process at a time owns a state directory: it has the engine open and serves
// the API on a socket in the directory. A command looks for the owner and is its client. If there is none, the command opens the directory
// and is the owner itself, until it exits. Owners come and go: each request may find another one (over), and a command that watches a run
// takes over when the owner exits (keepUp in watcher.go).

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

	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/rayorch/rayorch/internal/api"
	"github.com/rayorch/rayorch/internal/api/client"
	"github.com/rayorch/rayorch/internal/backend/proc"
	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/catalog"
	"github.com/rayorch/rayorch/internal/engine/freeze"
	"github.com/rayorch/rayorch/internal/engine/home"
	"github.com/rayorch/rayorch/internal/engine/store"
	"github.com/rayorch/rayorch/internal/engine/vault"
	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/task/policy"
)

// session is a command's connection to the process that runs the executions: a remote server, or the owner of the state directory. If no
// process owns the directory, the command opens it and is the owner until it exits; then owner is set.
type session struct {
	client *client.Client
	sfn    *sfn.Client // of client
	app    *app
	dir    string       // empty with --endpoint and --aws
	owner  *owner       // nil if another process is the owner
	addr   home.Address // of the owner, if that is another process
	opts   ownerOptions // for the case that this process becomes the owner
	arns   []string     // the runs that this command watches
}

// use makes the session use a server.
func (s *session) use(c *client.Client) { s.client, s.sfn = c, c.SFN }

// joinOwner makes the session use the process that owns the directory.
func (s *session) joinOwner(at home.Address) {
	s.addr = at
	s.use(client.Local(at))
}

// with calls do with a session, and closes the session.
func (a *app) with(ctx context.Context, o ownerOptions, do func(*session) error) (err error) {
	s, err := a.attach(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	return do(s)
}

// readOnly calls do with a session that only reads: it drives no execution. If the owner exits, do is called again with the next one (see
// over).
func (a *app) readOnly(ctx context.Context, do func(*session) error) error {
	return a.with(ctx, ownerOptions{ReadOnly: true}, func(s *session) error {
		return s.over(ctx, func() error { return do(s) })
	})
}

// attach finds the owner of the state directory or, if there is none, becomes the owner. The caller closes the session.
func (a *app) attach(ctx context.Context, o ownerOptions) (*session, error) {
	if a.isRemote() {
		c, err := a.awsClient(ctx)
		if err != nil {
			return nil, err
		}
		s := &session{app: a}
		s.use(c)
		return s, nil
	}
	dir, err := home.Dir(a.stateDir, os.Getenv)
	if err != nil {
		return nil, err
	}
	if !o.ReadOnly {
		if err := checkStateDirOwner(dir); err != nil {
			return nil, err
		}
	}
	s := &session{app: a, dir: dir, opts: o}
	return s, s.join(ctx)
}

// joinTime is how long a command waits for a process that holds the directory but does not answer yet: it may be reading a large directory.
// The time starts again when another process holds the directory.
const joinTime = 60 * time.Second

// joinPoll is the interval at which a command tries again. Commands that only read hold the directory for some tens of milliseconds.
const joinPoll = 20 * time.Millisecond

// holders measures how long the current one of the processes that hold the directory, one after another, has held it.
type holders struct {
	pid   int
	since time.Time
}

// late reports whether the process that holds the directory now has held it longer than joinTime.
func (h *holders) late(pid int) bool {
	if h.pid != pid || h.since.IsZero() {
		h.pid, h.since = pid, time.Now()
	}
	return time.Since(h.since) > joinTime
}

// join connects to the owner of the directory, or becomes the owner. It waits while another process opens or closes the directory.
func (s *session) join(ctx context.Context) error {
	var held holders
	for {
		addr, err := home.Find(ctx, s.dir)
		if err == nil {
			s.joinOwner(addr)
			return nil
		}
		if !errors.Is(err, home.ErrNoOwner) {
			return err
		}
		// No process has announced a socket. The lock of the store decides between processes that try to become the owner now.
		s.owner, err = s.app.own(ctx, s.dir, s.opts)
		var locked *store.LockedError
		if !errors.As(err, &locked) {
			if err == nil {
				s.use(client.Local(s.owner.addr))
			}
			return err
		}
		if held.late(locked.PID) {
			return fmt.Errorf("process %d holds the state directory %s but does not answer: %w", locked.PID, s.dir, err)
		}
		if err := client.Sleep(ctx, joinPoll); err != nil {
			return err
		}
	}
}

// ownWhenFree becomes the owner as soon as commands that only read have closed the directory. If the owner serves other commands, it will
// not exit soon, and ownWhenFree fails immediately.
func (a *app) ownWhenFree(ctx context.Context, dir string, o ownerOptions) (*owner, error) {
	var held holders
	for {
		own, err := a.own(ctx, dir, o)
		var locked *store.LockedError
		if !errors.As(err, &locked) || held.late(locked.PID) {
			return own, err
		}
		if _, found := home.Find(ctx, dir); found == nil { // the owner answers: it serves other commands
			return own, err
		}
		if err := client.Sleep(ctx, joinPoll); err != nil {
			return nil, err
		}
	}
}

// over calls do, and calls it again with the next owner if the owner exits meanwhile: another command that ends must not make this one
// fail. Therefore do must be idempotent. The API's actions are: a run, for example, is named before it is started.
func (s *session) over(ctx context.Context, do func() error) error {
	for {
		err := do()
		if err == nil || !s.lost(ctx, err) {
			return err
		}
		if err := s.join(ctx); err != nil {
			return err
		}
	}
}

// lost reports whether an error was caused by an owner that exited. It compares the current owner instead of inspecting the error, because
// an unreachable Ray or bucket causes the same errors.
func (s *session) lost(ctx context.Context, err error) bool {
	if s.owner != nil || s.dir == "" || ctx.Err() != nil || isAnswer(err) {
		return false
	}
	now, err := home.Find(ctx, s.dir) // no owner, or another one
	return errors.Is(err, home.ErrNoOwner) || err == nil && now != s.addr
}

// close closes the state directory if this process owns it.
func (s *session) close() error {
	if s.owner == nil {
		return nil
	}
	o := s.owner
	s.owner = nil
	return o.close()
}

// ownerOptions are the options of an owner. The zero value is an owner that runs no tasks.
type ownerOptions struct {
	// Resume resumes all open executions. Otherwise they rest until each is resumed.
	Resume bool
	// Run creates runners for the tasks. Commands that only read need none. An owner without runners does not announce itself to others.
	Run bool
	// ReadOnly opens the directory without writing to it, even if it cannot be written.
	ReadOnly bool
	// Ray selects the Ray that the runners use.
	Ray rayOptions
	// Policy is what executions from the network may use; default: nothing.
	Policy policy.Policy
	// Server announces that the owner is a server: it does not exit when a command ends, and drives all executions.
	Server bool
	// Reserve is the free disk space, in bytes, below which no execution starts; default: that of the engine.
	Reserve uint64
	// Buckets is the store for the buckets of distributed Maps; default: the directory buckets in the state directory.
	Buckets string
}

// owner is this process as the owner of a state directory.
type owner struct {
	eng     *engine.Engine
	cat     *catalog.Catalog // state machines, in the engine's store
	sdk     *api.SDKTasks    // runs tasks that call the Step Functions API itself
	signIn  signIn           // links to the console, if one is served
	vault   *vault.Vault     // secrets, in memory
	code    *freeze.Freezer  // packs the code of new executions
	runners *runners         // nil if this process only reads
	addr    home.Address     // of the socket
	srv     *http.Server     // on the socket
	remove  func()           // removes the announcement of the socket
	served  chan struct{}    // closed when srv has stopped
}

// own opens the engine and serves the API on the directory's socket.
func (a *app) own(ctx context.Context, dir string, opts ownerOptions) (*owner, error) {
	o := &owner{served: make(chan struct{}), remove: func() {}, vault: vault.New(), code: freeze.New(dir, opts.Policy)}
	if opts.Run {
		var err error
		if o.runners, err = a.newRunners(dir, opts.Ray, opts.Policy, o.vault, o.code.Store); err != nil {
			return nil, err
		}
	}
	if !opts.ReadOnly {
		if err := makeStateDir(dir); err != nil {
			o.runners.close()
			return nil, err
		}
	}
	if err := o.open(ctx, a, dir, opts); err != nil { // close what has been opened
		return nil, errors.Join(err, o.close())
	}
	return o, nil
}

// open opens the engine and serves the API on the socket.
func (o *owner) open(ctx context.Context, a *app, dir string, opts ownerOptions) error {
	if err := o.openEngine(ctx, a, dir, opts); err != nil {
		return err
	}
	l, err := o.listen(dir, opts)
	if err != nil {
		return err
	}
	o.srv = &http.Server{
		Handler: o.handler(api.Config{
			Logger: a.out.logger(), Version: version, SDK: o.sdk, Secrets: o.vault, Owner: true, ConsoleLink: o.signIn.create,
		}),
		ReadHeaderTimeout: time.Minute,
	}
	go o.serve(l, a.out.logger())
	return nil
}

// listen opens the socket. An owner that only reads exits soon and cannot run anything: it does not announce its socket, so that other
// commands wait for the directory instead of using it.
func (o *owner) listen(dir string, opts ownerOptions) (l net.Listener, err error) {
	if !opts.Run {
		l, o.addr = home.ListenAlone(version)
		return l, nil
	}
	if l, o.addr, err = home.Listen(dir, version); err != nil {
		return nil, err
	}
	// The socket exists. From the announcement on, other commands use it.
	o.addr.Server = opts.Server
	if o.remove, err = home.Announce(dir, o.addr); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// openEngine opens the engine and the catalog on the same store.
func (o *owner) openEngine(ctx context.Context, a *app, dir string, opts ownerOptions) (err error) {
	kept, err := openBuckets(ctx, opts.Buckets, dir, a.aws.region)
	if err != nil {
		return err
	}
	var catErr error
	o.sdk = api.NewSDKTasks()
	all := o.runners.byPrefix()
	all[api.SDKPrefix] = o.sdk
	o.eng, err = engine.Open(ctx, engine.Config{
		Dir: dir, Runners: all, Paused: !opts.Resume, ReadOnly: opts.ReadOnly, Reserve: opts.Reserve, Logger: a.out.logger(), Objects: kept,
		Uptime: proc.Uptime, Boot: proc.Boot(),
		Prepare: o.code.Prepare,
		// The engine opens the store, and the catalog needs it before the engine resumes executions.
		Machines: func(st *store.Store) engine.Machines {
			o.cat, catErr = catalog.Open(catalog.Config{Docs: st})
			o.vault.SetStore(st)
			return api.Machines(o.cat)
		},
	})
	o.vault.SetEngine(o.eng)
	o.code.SetEngine(o.eng)
	if err := errors.Join(err, catErr); err != nil || !opts.Run {
		return err
	}
	open, err := o.eng.List(engine.ListFilter{Children: true, Status: stepfn.Running, Limit: 1})
	if err == nil && len(open.Executions) == 0 { // no open run has to keep the Ray that it started on
		err = o.runners.find.resolver.Forget()
	}
	return err
}

// handler returns the API of this owner.
func (o *owner) handler(c api.Config) http.Handler {
	c.Engine, c.Catalog, c.Code = o.eng, o.cat, o.code
	return api.New(c)
}

// serve serves the API on the socket until the server is closed.
func (o *owner) serve(l net.Listener, log *slog.Logger) {
	defer close(o.served)
	if err := o.srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		log.Error("failed to serve the API on the socket", "error", err)
	}
}

// close stops serving and releases the directory. Running jobs continue.
func (o *owner) close() error {
	// The order matters: no new requests, then nothing that writes to the engine, then the engine, and last what it may still call.
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

// storageDir returns the default storage directory of targets of kind local.
func storageDir(state string) string { return filepath.Join(state, "storage") }

// stateDir returns the state directory of the session or, for a remote API, which does not report its own, the default one of this machine.
func (s *session) stateDir() string {
	if s.dir != "" {
		return s.dir
	}
	dir, _ := s.app.stateDirectory() // on an error "": then the pipeline or --storage must name the storage
	return dir
}
