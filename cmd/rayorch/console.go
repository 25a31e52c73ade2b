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
	"github.com/rayorch/rayorch/internal/api/console"
	"github.com/rayorch/rayorch/internal/api/limit"
)

// accessKeyFile is the part of the usage of --access-key that console and serve share.
const accessKeyFile = "the file has mode 600 and contains ID:SECRET, the secret with at least 16 characters; can be repeated"

// consoleOptions are the flags of console.
type consoleOptions struct {
	listen string
	keys   []string
	own    bool // serve a console even if the server has one
	ray    rayOptions
}

func consoleCommand(a *app) *cobra.Command {
	var o consoleOptions
	c := &cobra.Command{
		Use:   "console",
		Short: "serve the web console on this machine",
		Long: "console serves the web console for the executions of the state directory or, with --endpoint or --aws, of a remote Step " +
			"Functions API, whose requests it signs with the AWS CLI's credentials. If rayorch serve owns the state directory, console " +
			"prints a link to the server's own console and exits, unless --listen or --access-key is given.\n\n" +
			"The console listens on loopback only. The link signs in one browser, once, and expires after 5 minutes. If a server owns the " +
			"state directory, run the command again to get another link. With --access-key, browsers can also sign in with a key.",
		Example: "  rayorch console\n  rayorch console --aws --region eu-central-1",
		RunE: func(c *cobra.Command, _ []string) error {
			o.own = c.Flags().Changed("listen") || len(o.keys) > 0
			return a.console(c.Context(), o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:0", "loopback address to serve the console on; port 0 selects a free port")
	f.StringArrayVar(&o.keys, "access-key", nil, "file with an access key for signing in, and its role: FILE[=read|run|admin] (default: admin); "+accessKeyFile)
	o.ray.flags(c)
	return c
}

// console prints a link to the console of the server that owns the state directory or, without a server, serves a console until Ctrl-C.
func (a *app) console(ctx context.Context, o consoleOptions) (err error) {
	keys, err := readKeys(o.keys)
	if err != nil {
		return err
	}
	if err := api.CheckListen(o.listen, false, false); err != nil {
		return fail(exitUsage, listenHint(o.listen, "listen on 127.0.0.1; to serve the console on other addresses, use rayorch serve"), "%w", err)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	s, err := a.attach(ctx, ownerOptions{Run: true, Ray: o.ray})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if !o.own { // the server's console is enough
		link, err := s.client.ConsoleLink(ctx)
		if err != nil {
			return fmt.Errorf("request a link to the server's console: %w", err)
		}
		if link != "" {
			printLink(a.out, link)
			return nil
		}
	}
	up, where, err := s.upstream(ctx)
	if err != nil {
		return err
	}
	site, err := serveConsole(ctx, o.listen, console.Config{Keys: keys, Where: where, Version: version}, up)
	if err != nil {
		return err
	}
	printLink(a.out, site.link(""))
	<-ctx.Done()
	return site.close()
}

// printLink prints the link to stdout alone, so that scripts can read it.
func printLink(p *printer, link string) {
	p.printf("the console is at %s\n", link)
	p.say("the link signs in one browser, once, and expires after 5 minutes; to get another link, run the command again")
}

// upstream returns the API that the console is a proxy for: that of the state directory's owner, which may be this process, or a remote
// one.
func (s *session) upstream(ctx context.Context) (up console.Upstream, where string, err error) {
	site, err := s.client.Site(ctx)
	return console.Upstream{
		URL: site.URL, Transport: site.Transport, Sign: site.Sign, Extras: site.Extras, Logger: s.app.out.logger(),
	}, site.Name, err
}

// consoleSite is a console that this process serves.
type consoleSite struct {
	url    string
	con    *console.Console
	srv    *http.Server
	served chan error
}

// serveConsole starts to serve a console and the API that its pages use. The caller closes it.
func serveConsole(ctx context.Context, listen string, c console.Config, up console.Upstream) (*consoleSite, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return nil, fail(exitError, "choose another port with --listen", "listen: %w", err)
	}
	// The guard checks the Host and Origin headers, so that other websites cannot use the console through the user's browser.
	guard := api.Guard{Keys: len(c.Keys) > 0}
	c.Limits = limit.New(limit.Config{Logger: up.Logger})
	site := &consoleSite{url: consoleURL("http", l.Addr()), con: console.New(c), served: make(chan error, 1)}
	site.srv = c.Limits.Server(site.con.Front(guard.Check, up))
	go func() { site.served <- site.srv.Serve(c.Limits.Listener(l)) }()
	return site, nil
}

// link returns a URL that signs in one browser, once, and opens a page of the console; "" is the first page.
func (s *consoleSite) link(page string) string { return s.url + s.con.Link(page) }

// close stops serving. It does not wait for open requests: the API behind the console keeps what it has acknowledged.
func (s *consoleSite) close() error {
	err := s.srv.Close()
	if end := <-s.served; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	return err
}

// showConsole serves a console while a run is watched, and prints the link to the run. The console uses the API that the terminal's view
// reads, so that both show the same.
func (s *session) showConsole(ctx context.Context, arn string, w *watcher) (*consoleSite, error) {
	up, where, err := s.upstream(ctx)
	if err != nil {
		return nil, err
	}
	site, err := serveConsole(ctx, "127.0.0.1:0", console.Config{Where: where, Version: version}, up)
	if err == nil {
		w.screen.Printf("console %s", site.link("execution/"+url.PathEscape(arn)))
	}
	return site, err
}

// keepConsole continues to serve the console of a run that has ended, until Ctrl-C, if the command runs on a terminal. It returns if the
// watch ended before the run (ended is another error than exitFailed). The exit code remains that of the run.
func (w *watcher) keepConsole(site *consoleSite, ended error) {
	var code silent
	if !w.live || ended != nil && (!errors.As(ended, &code) || code != exitFailed) {
		return
	}
	w.screen.Printf("the console stays available at %s until Ctrl-C", site.link(""))
	<-w.signals
}

// consoleURL returns the URL of the console on a server that listens at an address.
func consoleURL(scheme string, at net.Addr) string {
	return scheme + "://" + at.String() + "/console/"
}
