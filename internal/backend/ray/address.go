package ray

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// DashboardPort is the default port of Ray's dashboard.
const DashboardPort = "8265"

// httpAddress checks the address of a dashboard and removes trailing slashes.
func httpAddress(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return "", fmt.Errorf("%q is not the address of a Ray dashboard: it must be http://HOST:%s or https://...", address, DashboardPort)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("the Ray address %s://%s must not contain a user, a query or a fragment", u.Scheme, u.Host)
	}
	return strings.TrimRight(u.Scheme+"://"+u.Host+u.EscapedPath(), "/"), nil
}

// Form is the form of a Ray address.
type Form int

// Forms of Ray addresses.
const (
	FormHTTP   Form = iota // http://host:8265: the dashboard, which serves the Jobs API
	FormAuto               // auto: a Ray on this machine
	FormGCS                // host:6379: the GCS; `ray start` prints this form
	FormClient             // ray://host:10001: the Ray client server
)

// ParseAddress parses an address in any of the forms that RAY_ADDRESS can have. For FormHTTP, base is the URL without trailing slashes;
// for FormGCS and FormClient, it is HOST:PORT.
func ParseAddress(address string) (form Form, base string, err error) {
	address = strings.TrimSpace(address)
	scheme, rest, hasScheme := strings.Cut(address, "://")
	switch {
	case address == "auto":
		return FormAuto, "", nil
	case address == "local" || address == "":
		return 0, "", fmt.Errorf("the Ray address %q is not supported: it must be http://HOST:%s or auto", address, DashboardPort)
	case hasScheme && scheme == "ray":
		base, err := hostPort(rest, "10001")
		return FormClient, base, err
	case hasScheme:
		base, err := httpAddress(address)
		return FormHTTP, base, err
	}
	base, err = hostPort(address, "")
	return FormGCS, base, err
}

// hostPort checks an address HOST:PORT. port is the default port, or "" if the address must contain one.
func hostPort(address, port string) (string, error) {
	host, given, err := net.SplitHostPort(address)
	if err != nil && port != "" {
		host, given, err = net.SplitHostPort(net.JoinHostPort(address, port))
	}
	if err != nil || !hostName.MatchString(host) || !isPort(given) {
		return "", fmt.Errorf("%q is not a Ray address: it must be http://HOST:%s, HOST:6379, ray://HOST:10001 or auto", address, DashboardPort)
	}
	return net.JoinHostPort(host, given), nil
}

// hostName matches a host name, an IPv4 address, or an IPv6 address with an optional zone.
var hostName = regexp.MustCompile(`^[A-Za-z0-9._:-]+(%[A-Za-z0-9._-]+)?$`)

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}
