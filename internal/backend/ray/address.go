package ray

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// DashboardPort is where a Ray's dashboard listens unless it was told otherwise.
const DashboardPort = "8265"

// httpAddress checks the one form that the Jobs API has, and takes off a slash at its end.
func httpAddress(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return "", fmt.Errorf("%q is no address of a ray dashboard: http://HOST:%s or https://... is expected", address, DashboardPort)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("the ray address %s://%s must have neither a user nor a query", u.Scheme, u.Host)
	}
	return strings.TrimRight(u.Scheme+"://"+u.Host+u.EscapedPath(), "/"), nil
}

// Form is what kind of address somebody wrote.
type Form int

// The forms.
const (
	FormHTTP   Form = iota // http://host:8265, the dashboard: the one that serves the Jobs API
	FormAuto               // auto: a Ray of this machine
	FormGCS                // host:6379, what ray start prints
	FormClient             // ray://host:10001, the Ray client's
)

// ParseAddress tells the forms of RAY_ADDRESS apart. Base is the http form of FormHTTP, else HOST:PORT.
func ParseAddress(address string) (form Form, base string, err error) {
	address = strings.TrimSpace(address)
	scheme, rest, hasScheme := strings.Cut(address, "://")
	switch {
	case address == "auto":
		return FormAuto, "", nil
	case address == "local" || address == "":
		return 0, "", fmt.Errorf("the ray address %q names no ray: http://HOST:%s is expected, or auto", address, DashboardPort)
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

func hostPort(address, port string) (string, error) {
	host, given, err := net.SplitHostPort(address)
	if err != nil && port != "" {
		host, given, err = net.SplitHostPort(net.JoinHostPort(address, port))
	}
	if err != nil || !hostName.MatchString(host) || !isPort(given) {
		return "", fmt.Errorf("%q is no ray address: http://HOST:%s, HOST:6379, ray://HOST:10001 or auto is expected", address, DashboardPort)
	}
	return net.JoinHostPort(host, given), nil
}

// hostName is a name, an IPv4 address or an IPv6 one with its zone.
var hostName = regexp.MustCompile(`^[A-Za-z0-9._:-]+(%[A-Za-z0-9._-]+)?$`)

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}
