package ray

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
)

// Resolver finds the Ray to use. All fields are optional.
type Resolver struct {
	// Flag is the value of --ray-address.
	Flag string
	// Getenv returns the values of RAY_API_SERVER_ADDRESS, RAY_ADDRESS and the variables of the token. Default: no variables.
	Getenv func(string) string
	// Home is the directory that contains .ray/auth_token.
	Home string
	// CAFile contains the CA certificates for https addresses.
	CAFile string
	// Own is the Ray of this state directory, which rayorch has started or can start.
	Own *Head
	// Start allows to start Own if no other Ray is found.
	Start bool
	// TokenOverHTTP allows to send the token over plain http to an address that is not loopback.
	TokenOverHTTP bool
	// UsedFile is the path of a file that records which Ray was discovered, so that runs keep using it (see resolveAgain). If it is
	// empty, nothing is recorded.
	UsedFile string
	// Dashboards lists the dashboards that run on this machine. Default: LocalDashboards.
	Dashboards func() ([]Dashboard, error)
}

// Found is a Ray that a Resolver found.
type Found struct {
	// Address is the http or https address of the dashboard. Source describes to the user how the Ray was found.
	Address, Source string
	// TokenSource is the variable or file that contains the token.
	Token, TokenSource string
	// Withheld means that a token exists but is not sent, because the connection is not encrypted.
	Withheld bool
	CAFile   string
	Version  Version
	// Own means that rayorch started the Ray.
	Own bool
	// Started means that this call of Resolve started the Ray.
	Started bool
	// Discovered means that the user did not set an address.
	Discovered bool
}

// String describes the Ray to the user.
func (f Found) String() string {
	return fmt.Sprintf("Ray %s at %s (%s)", f.Version.RayVersion, f.Address, f.Source)
}

// Client returns a client of the Ray.
func (f Found) Client() (*Client, error) {
	return New(Config{Address: f.Address, Token: f.Token, Withheld: f.Withheld, CAFile: f.CAFile})
}

// ErrNoRay reports that no address was set and that no usable Ray is running on this machine.
var ErrNoRay = errors.New("no Ray address is set and no Ray is running on this machine: set --ray-address http://HOST:8265, or run rayorch ray start")

// Resolve finds a Ray and gets its version. It uses the first of these: the flag, RAY_API_SERVER_ADDRESS, RAY_ADDRESS, a Ray that runs on
// this machine, and the Ray of this state directory. After it has discovered a Ray on this machine, it only returns that Ray or the one of
// this state directory.
func (r Resolver) Resolve(ctx context.Context) (Found, error) {
	for _, named := range []struct{ source, address string }{
		{"--ray-address", r.Flag},
		{"RAY_API_SERVER_ADDRESS", r.getenv("RAY_API_SERVER_ADDRESS")},
		{"RAY_ADDRESS", r.getenv("RAY_ADDRESS")},
	} {
		if named.address != "" {
			return r.Named(ctx, named.address, named.source)
		}
	}
	found, err := r.discover(ctx)
	found.Discovered = true
	if err == nil && r.Start {
		err = r.keepUsed(found)
	}
	return found, err
}

// discover finds a Ray if no address is set, or starts one.
func (r Resolver) discover(ctx context.Context) (Found, error) {
	found, err := r.resolveAgain(ctx)
	if err == nil || !errors.Is(err, ErrNoRay) {
		return found, err
	}
	if r.Own == nil || !r.Start {
		return Found{}, err
	}
	if reason, ok := strings.CutPrefix(err.Error(), ErrNoRay.Error()+"; "); ok {
		r.Own.progress(reason)
	}
	state, err := r.Own.Start(ctx)
	if err != nil {
		return Found{}, err
	}
	found, err = r.own(ctx, state)
	found.Started = true
	return found, err
}

func (r Resolver) getenv(name string) string {
	if r.Getenv == nil {
		return ""
	}
	return r.Getenv(name)
}

// Named resolves an address in any form. source is the flag or variable that contains the address.
func (r Resolver) Named(ctx context.Context, address, source string) (Found, error) {
	form, base, err := ParseAddress(address)
	if err != nil {
		return Found{}, fmt.Errorf("%s: %w", source, err)
	}
	switch form {
	case FormHTTP:
		return r.connect(ctx, base, source)
	case FormAuto:
		found, err := r.running(ctx)
		if err != nil {
			return Found{}, fmt.Errorf("%s is auto: %w", source, err)
		}
		found.Source = source + " auto, " + found.Source
		return found, nil
	case FormGCS, FormClient:
	}
	return r.other(ctx, form, base, source)
}

// other finds the dashboard that belongs to the address of a GCS or of a Ray client server. Only Ray knows the address of its dashboard,
// and returns it by a protocol other than HTTP. So other compares the address with the Rays on this machine, then tries the default port
// of the dashboard.
func (r Resolver) other(ctx context.Context, form Form, base, source string) (Found, error) {
	host, _, _ := net.SplitHostPort(base)
	if d, ok := r.local(form, base); ok {
		return r.connect(ctx, d.Address, fmt.Sprintf("%s %s, whose dashboard runs on this machine", source, base))
	}
	guesses := []string{"http://" + net.JoinHostPort(host, DashboardPort)}
	if form == FormGCS {
		guesses = slices.Insert(guesses, 0, "http://"+base)
	}
	for _, guess := range guesses {
		if found, err := r.connect(ctx, guess, fmt.Sprintf("%s %s, with its dashboard at %s", source, base, guess)); err == nil || KindOf(err) == Unauthorized {
			return found, err
		}
	}
	what := "ray's GCS"
	if form == FormClient {
		what = "a Ray client server"
	}
	return Found{}, fmt.Errorf("%s: %s is %s, and no dashboard responds at %s: rayorch submits jobs to the dashboard, so set its address, "+
		"for example http://%s", source, base, what, guesses[len(guesses)-1], net.JoinHostPort(host, DashboardPort))
}

// local returns the dashboard on this machine that belongs to the address of a GCS.
func (r Resolver) local(form Form, base string) (Dashboard, bool) {
	all, _ := r.dashboards()
	host, port, _ := net.SplitHostPort(base)
	for _, d := range all {
		gcsHost, gcsPort, _ := net.SplitHostPort(d.GCS)
		if form == FormGCS && gcsPort == port && (gcsHost == host || isLoopback(host)) {
			return d, true
		}
	}
	return Dashboard{}, false
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

func (r Resolver) dashboards() ([]Dashboard, error) {
	if r.Dashboards != nil {
		return r.Dashboards()
	}
	return LocalDashboards()
}

// running finds a Ray on this machine that this user started manually: the one that the last `ray start` recorded, otherwise the newest.
// If there is none, it returns the Ray of this state directory. It skips Rays of other state directories, and those that do not accept
// this user's token, because they belong to another user.
func (r Resolver) running(ctx context.Context) (Found, error) {
	all, err := r.byHand()
	if err != nil {
		return Found{}, err
	}
	current := r.currentCluster()
	slices.SortStableFunc(all, func(a, b Dashboard) int {
		if (a.GCS == current) != (b.GCS == current) && current != "" {
			return order(a.GCS == current)
		}
		return strings.Compare(b.Session, a.Session)
	})
	state, ours := r.ownState(ctx)
	none := ErrNoRay
	for _, d := range all {
		if ours && d.Session == state.SessionName {
			continue
		}
		found, err := r.connect(ctx, d.Address, "a Ray running on this machine")
		if err == nil && found.Version.SessionName == d.Session {
			return found, nil
		}
		if KindOf(err) == Unauthorized {
			none = fmt.Errorf("%w; not using the Ray at %s, which does not accept this user's token", none, d.Address)
		}
	}
	if ours {
		return r.own(ctx, state)
	}
	return Found{}, none
}

// byHand returns the dashboards of the Rays that were not started by any rayorch.
func (r Resolver) byHand() ([]Dashboard, error) {
	all, err := r.dashboards()
	return slices.DeleteFunc(slices.Clone(all), func(d Dashboard) bool { return ofHead(d.TempDir) }), err
}

// order is the result of a comparison function for two different elements, of which the first comes first or not.
func order(first bool) int {
	if first {
		return -1
	}
	return 1
}

// ownState returns the state of the Ray of this state directory, and whether it is running.
func (r Resolver) ownState(ctx context.Context) (State, bool) {
	if r.Own == nil {
		return State{}, false
	}
	state, err := r.Own.Status(ctx)
	return state, err == nil && state.Running
}

// own connects to the Ray of this state directory.
func (r Resolver) own(ctx context.Context, state State) (Found, error) {
	if err := closeTemp(state.TempDir); err != nil {
		return Found{}, err
	}
	found := Found{Address: state.Address, Source: "the Ray that rayorch started", Own: true, TokenSource: state.TokenFile}
	if state.TokenFile != "" {
		token, err := readToken(state.TokenFile)
		if err != nil {
			return found, err
		}
		found.Token = token
	}
	return found.verify(ctx)
}

// connect connects to a dashboard and gets its version. It sends this user's token if the connection is encrypted or loopback.
func (r Resolver) connect(ctx context.Context, address, source string) (Found, error) {
	found := Found{Address: address, Source: source, CAFile: r.CAFile}
	if !strings.HasPrefix(address, "https:") {
		found.CAFile = ""
	}
	if state, ours := r.ownState(ctx); ours && state.Address == address {
		return r.own(ctx, state)
	}
	var err error
	if found.Token, found.TokenSource, err = LoadToken(r.getenv, r.Home); err != nil {
		return found, err
	}
	if found.Token == "" || r.TokenOverHTTP || Confidential(address) {
		return found.verify(ctx)
	}
	found.Token, found.TokenSource, found.Withheld = "", "", true // others could read the token, and this Ray may not require one
	return found.verify(ctx)
}

// Confidential reports whether nobody else can read what is sent to an address: it uses TLS, or is a loopback address.
func Confidential(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "https" || isLoopback(u.Hostname()))
}

// verify gets the version of the Ray.
func (f Found) verify(ctx context.Context) (Found, error) {
	client, err := f.Client()
	if err != nil {
		return f, fmt.Errorf("%s: %w", f.Source, err)
	}
	f.Version, err = client.Version(ctx)
	if err != nil {
		return f, fmt.Errorf("%s: %w", f.Source, err)
	}
	return f, nil
}
