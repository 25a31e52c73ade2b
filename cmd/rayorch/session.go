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

// session is a command's connection to whoever runs the executions. Where nobody does, the command opens the state
// directory itself and is the owner for its time (owner is set then).
type session struct {
	client *client.Client
	sfn    *sfn.Client // the client's
	app    *app
	dir    string // empty with --endpoint and --aws
	owner  *owner
	addr   home.Address // the owner's, where this process is a client
	opts   ownerOptions // should this process become the owner
	arns   []string     // the runs that this command watches: it drives them, or has another process drive them
}

// speakTo has the session ask a server from now on.
func (s *session) speakTo(c *client.Client) { s.client, s.sfn = c, c.SFN }

// joinOwner has the session ask the process that owns the directory.
func (s *session) joinOwner(at home.Address) {
	s.addr = at
	s.speakTo(client.Local(at))
}

// with connects for the time of do.
func (a *app) with(ctx context.Context, o ownerOptions, do func(*session) error) (err error) {
	s, err := a.attach(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	return do(s)
}

// look connects for one question, which is asked again of the next owner when the first goes away (see over). Nothing is set
// going by it.
func (a *app) look(ctx context.Context, ask func(*session) error) error {
	return a.with(ctx, ownerOptions{ReadOnly: true}, func(s *session) error {
		return s.over(ctx, func() error { return ask(s) })
	})
}

// attach finds the owner of the state directory or, when there is none, becomes it.
//
// A command that only looks opens the directory with every execution at rest: to list runs must not set one going.
func (a *app) attach(ctx context.Context, o ownerOptions) (*session, error) {
	if a.elsewhere() {
		c, err := a.awsClient(ctx)
		if err != nil {
			return nil, err
		}
		s := &session{app: a}
		s.speakTo(c)
		return s, nil
	}
	dir, err := home.Dir(a.stateDir, os.Getenv)
	if err != nil {
		return nil, err
	}
	if !o.ReadOnly {
		if err := oursToWrite(dir); err != nil {
			return nil, err
		}
	}
	s := &session{app: a, dir: dir, opts: o}
	return s, s.join(ctx)
}

// joinTime is how long a command waits for an owner that holds the directory but does not answer yet: it may be
// reading a large directory. Another owner gets the time anew.
const joinTime = 60 * time.Second

// joinPoll is how often it looks again. Commands that only look hold the directory for some tens of milliseconds.
const joinPoll = 20 * time.Millisecond

// holders are the processes that hold the directory one after another while a command waits for it.
type holders struct {
	pid   int
	since time.Time
}

// late tells whether the one that holds it now has had its time.
func (h *holders) late(pid int) bool {
	if h.pid != pid || h.since.IsZero() {
		h.pid, h.since = pid, time.Now()
	}
	return time.Since(h.since) > joinTime
}

func (s *session) join(ctx context.Context) error {
	var held holders
	for {
		addr, err := home.Find(ctx, s.dir)
		if err == nil {
			s.joinOwner(addr)
			return nil
		}
		if !errors.Is(err, home.ErrNobody) {
			return err
		}
		s.owner, err = s.app.own(ctx, s.dir, s.opts)
		var locked *store.LockedError
		if !errors.As(err, &locked) {
			if err == nil {
				s.speakTo(client.Local(s.owner.addr))
			}
			return err
		}
		if held.late(locked.PID) {
			return fmt.Errorf("process %d holds the state directory %s but does not answer: %w", locked.PID, s.dir, err)
		}
		if err := pause(ctx, joinPoll); err != nil {
			return err
		}
	}
}

// ownSoon becomes the owner as soon as those have gone that only look. An owner that others may use stays: then it fails
// at once.
func (a *app) ownSoon(ctx context.Context, dir string, o ownerOptions) (*owner, error) {
	var held holders
	for {
		own, err := a.own(ctx, dir, o)
		var locked *store.LockedError
		if !errors.As(err, &locked) || held.late(locked.PID) {
			return own, err
		}
		if _, found := home.Find(ctx, dir); found == nil {
			return own, err
		}
		if err := pause(ctx, joinPoll); err != nil {
			return nil, err
		}
	}
}

// over does what a command asks of the API, and does it again with the next owner when the one that it spoke to goes
// away meanwhile: another command that ends must not take this one with it. So whatever do does may be done twice, which
// the API's own actions may: a run is named before it is started.
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

// lost says that an error came of an owner that went away. It asks who owns the directory now instead of reading the
// error: a Ray or a bucket that cannot be reached looks the same.
func (s *session) lost(ctx context.Context, err error) bool {
	if s.owner != nil || s.dir == "" || ctx.Err() != nil || isAnswer(err) {
		return false
	}
	now, err := home.Find(ctx, s.dir)
	return errors.Is(err, home.ErrNobody) || err == nil && now != s.addr
}

func (s *session) close() error {
	if s.owner == nil {
		return nil
	}
	o := s.owner
	s.owner = nil
	return o.close()
}

// ownerOptions says how an owner runs the executions.
type ownerOptions struct {
	// Resume takes up every open execution. Else they rest until they are resumed one by one.
	Resume bool
	// Run makes runners for the tasks. Commands that only look need none, and nobody else can use an owner without.
	Run bool
	// ReadOnly opens the directory without writing to it, even if it cannot be written.
	ReadOnly bool
	// Ray says which Ray the runners use.
	Ray rayOptions
	// Policy says what executions that came over the network may use. Defaults to nothing that they name.
	Policy policy.Policy
	// Server says that the owner stays, and drives every execution.
	Server bool
	// Reserve is the free space below which no execution starts. Defaults to the engine's.
	Reserve uint64
	// Buckets says where distributed Maps find buckets. Defaults to buckets in the state directory.
	Buckets string
}

// owner is this process as the owner of a state directory.
type owner struct {
	eng     *engine.Engine
	cat     *catalog.Catalog
	sdk     *api.SDKTasks
	signIn  signIn
	vault   *vault.Vault
	code    *freeze.Freezer
	runners *runners
	addr    home.Address
	srv     *http.Server
	remove  func()
	served  chan struct{}
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
	if err := o.open(ctx, a, dir, opts); err != nil {
		return nil, errors.Join(err, o.close())
	}
	return o, nil
}

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
			Logger: a.logger(), Version: version, SDK: o.sdk, Secrets: o.vault, Owner: true, ConsoleLink: o.signIn.create,
		}),
		ReadHeaderTimeout: time.Minute,
	}
	go o.serve(l, a.logger())
	return nil
}

// listen opens the socket. An owner that only looks is through in a moment and could run nothing: it tells nobody of
// its own, so that whoever comes meanwhile waits for the directory itself.
func (o *owner) listen(dir string, opts ownerOptions) (l net.Listener, err error) {
	if !opts.Run {
		l, o.addr = home.ListenAlone(version)
		return l, nil
	}
	if l, o.addr, err = home.Listen(dir, version); err != nil {
		return nil, err
	}
	o.addr.Server = opts.Server
	if o.remove, err = home.Announce(dir, o.addr); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
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
		Dir: dir, Runners: acting, Paused: !opts.Resume, ReadOnly: opts.ReadOnly, Reserve: opts.Reserve, Logger: a.logger(), Objects: kept,
		Uptime: proc.Uptime, Boot: proc.Boot(),
		Prepare: o.code.Prepare,
		Machines: func(st *store.Store) engine.Machines {
			o.cat, catErr = catalog.Open(catalog.Config{Docs: st})
			o.vault.Keep(st)
			return api.Machines(o.cat)
		},
	})
	o.vault.Of(o.eng)
	o.code.Of(o.eng)
	if err := errors.Join(err, catErr); err != nil || !opts.Run {
		return err
	}
	open, err := o.eng.List(engine.ListFilter{Children: true, Status: stepfn.Running, Limit: 1})
	if err == nil && len(open.Executions) == 0 { // no run has to stay with the Ray that it began on
		err = o.runners.find.resolver.Forget()
	}
	return err
}

func (o *owner) handler(c api.Config) http.Handler {
	c.Engine, c.Catalog, c.Code = o.eng, o.cat, o.code
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
