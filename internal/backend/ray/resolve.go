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

// Resolver finds the Ray to use. The zero value of each field leaves its way out.
type Resolver struct {
	// Flag is what --ray-address says.
	Flag string
	// Getenv reads RAY_API_SERVER_ADDRESS, RAY_ADDRESS and the token's variables. Defaults to an empty environment.
	Getenv func(string) string
	// Home is where .ray/auth_token is looked for.
	Home string
	// CAFile is for https addresses.
	CAFile string
	// Own is the head that rayorch itself started or may start, if any.
	Own *Head
	// Start lets Own be started when no other Ray is found.
	Start bool
	// TokenOverHTTP sends the token also over plain http to an address that is not loopback.
	TokenOverHTTP bool
	// UsedFile keeps which Ray was found here or started, so that runs stay with it (see resolveAgain). Defaults to none.
	UsedFile string
	// Dashboards lists the dashboards that run on this machine. Defaults to LocalDashboards.
	Dashboards func() ([]Dashboard, error)
}

// Found is a Ray and how it was found, for the user.
type Found struct {
	Address, Source    string
	Token, TokenSource string
	// Withheld says that there is a token, which is not sent because the connection is not encrypted.
	Withheld bool
	CAFile   string
	Version  Version
	// Own tells that it is the one that rayorch started.
	Own bool
	// Started tells that this very call started it.
	Started bool
	// Discovered tells that nobody named it.
	Discovered bool
}

// String names the Ray in a line for people.
func (f Found) String() string {
	return fmt.Sprintf("ray %s at %s (%s)", f.Version.RayVersion, f.Address, f.Source)
}

// Client makes a client for what was found.
func (f Found) Client() (*Client, error) {
	return New(Config{Address: f.Address, Token: f.Token, Withheld: f.Withheld, CAFile: f.CAFile})
}

// ErrNoRay says that no Ray was named and none runs here.
var ErrNoRay = errors.New("no ray was named and none runs here: give --ray-address http://HOST:8265, or run rayorch ray start")

// Resolve finds a Ray by the flag, RAY_API_SERVER_ADDRESS, RAY_ADDRESS, those running here, and our own, in this order,
// and asks it for its version. Once one was found here, it is that one or our own.
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

// Named resolves an address in whichever form; source says who gave it, for errors.
func (r Resolver) Named(ctx context.Context, address, source string) (Found, error) {
	form, base, err := ParseAddress(address)
	if err != nil {
		return Found{}, fmt.Errorf("%s: %w", source, err)
	}
	switch form {
	case FormHTTP:
		return r.ask(ctx, base, source)
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

// other finds the dashboard that belongs to a GCS or Ray client address: only Ray itself knows, by a protocol that is no
// HTTP, so what runs here is compared, then the usual port asked.
func (r Resolver) other(ctx context.Context, form Form, base, source string) (Found, error) {
	host, _, _ := net.SplitHostPort(base)
	if d, ok := r.local(form, base); ok {
		return r.ask(ctx, d.Address, fmt.Sprintf("%s %s, whose dashboard runs here", source, base))
	}
	guesses := []string{"http://" + net.JoinHostPort(host, DashboardPort)}
	if form == FormGCS {
		guesses = slices.Insert(guesses, 0, "http://"+base)
	}
	for _, guess := range guesses {
		if found, err := r.ask(ctx, guess, fmt.Sprintf("%s %s, by its dashboard at %s", source, base, guess)); err == nil || KindOf(err) == Unauthorized {
			return found, err
		}
	}
	what := "ray's GCS"
	if form == FormClient {
		what = "the ray client's server"
	}
	return Found{}, fmt.Errorf("%s: %s is %s, and no dashboard answers at %s: jobs go to the dashboard, so give its address, as in http://%s",
		source, base, what, guesses[len(guesses)-1], net.JoinHostPort(host, DashboardPort))
}

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

// running takes a Ray of this machine: the one that the last ray start wrote down, else the newest; our own comes last.
// It is one that this user started by hand: a Ray of another state directory, and one that does not take the token of this
// user, belong to somebody else.
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
		found, err := r.ask(ctx, d.Address, "a ray running here")
		if err == nil && found.Version.SessionName == d.Session {
			return found, nil
		}
		if KindOf(err) == Unauthorized {
			none = fmt.Errorf("%w; not using the ray at %s, which does not accept this user's token", none, d.Address)
		}
	}
	if ours {
		return r.own(ctx, state)
	}
	return Found{}, none
}

// byHand are the dashboards but for those that a rayorch started: they belong to its state directory.
func (r Resolver) byHand() ([]Dashboard, error) {
	all, err := r.dashboards()
	return slices.DeleteFunc(slices.Clone(all), func(d Dashboard) bool { return ofHead(d.TempDir) }), err
}

func order(first bool) int {
	if first {
		return -1
	}
	return 1
}

func (r Resolver) ownState(ctx context.Context) (State, bool) {
	if r.Own == nil {
		return State{}, false
	}
	state, err := r.Own.Status(ctx)
	return state, err == nil && state.Running
}

func (r Resolver) own(ctx context.Context, state State) (Found, error) {
	if err := closeTemp(state.TempDir); err != nil {
		return Found{}, err
	}
	found := Found{Address: state.Address, Source: "the ray that rayorch started", Own: true, TokenSource: state.TokenFile}
	if state.TokenFile != "" {
		token, err := readToken(state.TokenFile)
		if err != nil {
			return found, err
		}
		found.Token = token
	}
	return found.verify(ctx)
}

func (r Resolver) ask(ctx context.Context, address, source string) (Found, error) {
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
	found.Token, found.TokenSource, found.Withheld = "", "", true // this Ray may need none, and anybody in between could read it
	return found.verify(ctx)
}

// Confidential reports whether only the two ends can read what is sent to an address.
func Confidential(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "https" || isLoopback(u.Hostname()))
}

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
