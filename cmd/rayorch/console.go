package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/api"
	"github.com/rayorch/rayorch/internal/api/limit"
	"github.com/rayorch/rayorch/internal/view/console"
)

type consoleOptions struct {
	listen string
	keys   []string
	own    bool // serve the pages even if a server has them
	ray    rayOptions
}

func (a *app) consoleCommand() *cobra.Command {
	var o consoleOptions
	c := &cobra.Command{
		Use:   "console",
		Short: "serve the web console on this machine",
		Long: "console serves the pages for the executions of the state directory; with --endpoint or --aws for those of a\n" +
			"Step Functions API elsewhere, whose requests it signs with the AWS CLI's credentials. If rayorch serve owns the\n" +
			"state directory, console prints a link to the server's own pages and exits, unless --listen or --access-key is given.\n\n" +
			"It listens on loopback only. The link that it prints signs one browser in, once and within 5 minutes. If a server owns\n" +
			"the directory, run the command again for another link. With --access-key, browsers can also sign in with a key.",
		Example: "  rayorch console\n  rayorch console --aws --region eu-central-1",
		RunE: func(c *cobra.Command, _ []string) error {
			o.own = c.Flags().Changed("listen") || len(o.keys) > 0
			return a.console(c.Context(), o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:0", "loopback address to serve the console on; port 0 takes a free one")
	f.StringArrayVar(&o.keys, "access-key", nil, "FILE[=read|run|admin]: file with an access key for signing in, ID:SECRET, and its role (default admin); the secret has at least 16 characters, the file mode 600; may be repeated")
	o.ray.flags(c)
	return c
}

func (a *app) console(ctx context.Context, o consoleOptions) (err error) {
	keys, err := readKeys(o.keys)
	if err != nil {
		return err
	}
	if err := api.CheckListen(o.listen, false, false); err != nil {
		return &failure{code: exitUsage, err: err}
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	s, err := a.attach(ctx, ownerOptions{Run: true, Ray: o.ray})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if !o.own {
		link, err := s.client.ConsoleLink(ctx)
		if err != nil {
			return fmt.Errorf("ask the server for a link to its console: %w", err)
		}
		if link != "" {
			a.printLink(link)
			return nil
		}
	}
	up, where, err := s.upstream(ctx)
	if err != nil {
		return err
	}
	site, err := a.serveConsole(ctx, o.listen, console.Config{Keys: keys, Where: where, Version: version}, up)
	if err != nil {
		return err
	}
	a.printLink(site.link(""))
	<-ctx.Done()
	return site.close()
}

func (a *app) printLink(link string) {
	fmt.Fprintf(a.out, "the console is at %s\n", link)
	fmt.Fprintln(a.err, "the link signs one browser in, once and within 5 minutes; run the command again for another link")
}

// upstream is the API that the console stands in front of: the state directory's owner, who is this process where there is none, or
// one elsewhere.
func (s *session) upstream(ctx context.Context) (up console.Upstream, where string, err error) {
	site, err := s.client.Site(ctx)
	return console.Upstream{
		URL: site.URL, Transport: site.Transport, Sign: site.Sign, Extras: site.Extras, Logger: s.app.logger(),
	}, site.Name, err
}

// consoleSite is a console that this process serves.
type consoleSite struct {
	url    string
	con    *console.Console
	srv    *http.Server
	served chan error
}

// serveConsole begins to serve a console with its API.
func (a *app) serveConsole(ctx context.Context, listen string, c console.Config, up console.Upstream) (*consoleSite, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return nil, fail(exitError, "name another port by --listen", "listen: %w", err)
	}
	guard := api.Guard{Keys: len(c.Keys) > 0}
	c.Limits = limit.New(limit.Config{Logger: a.logger()})
	site := &consoleSite{url: consoleURL("http", l.Addr()), con: console.New(c), served: make(chan error, 1)}
	site.srv = c.Limits.Server(site.con.Front(guard.Check, up))
	go func() { site.served <- site.srv.Serve(c.Limits.Listener(l)) }()
	return site, nil
}

// link signs a browser in, once, and shows a page.
func (s *consoleSite) link(page string) string { return s.url + s.con.Link(page) }

// close cuts off whoever looks: nothing is lost by it.
func (s *consoleSite) close() error {
	err := s.srv.Close()
	if end := <-s.served; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	return err
}

// showConsole serves a console for the time of a run, and says where the run is to be seen. It stands before the API that
// the terminal's own view reads, so that both tell the same.
func (s *session) showConsole(ctx context.Context, arn string, w *watcher) (*consoleSite, error) {
	up, where, err := s.upstream(ctx)
	if err != nil {
		return nil, err
	}
	site, err := s.app.serveConsole(ctx, "127.0.0.1:0", console.Config{Where: where, Version: version}, up)
	if err == nil {
		w.screen.Say("console %s", site.link("execution/"+url.PathEscape(arn)))
	}
	return site, err
}

// keepConsole serves the console of a run that has ended until Ctrl-C if the command runs on a terminal. The exit code is still
// the run's.
func (w *watcher) keepConsole(site *consoleSite, ended error) {
	var code silent
	if !w.live || ended != nil && (!errors.As(ended, &code) || code != exitFailed) {
		return
	}
	w.screen.Say("the console stays available at %s until Ctrl-C", site.link(""))
	<-w.signals
}

// consoleURL is what a user opens.
func consoleURL(scheme string, at net.Addr) string {
	return scheme + "://" + at.String() + "/console/"
}
