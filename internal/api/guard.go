package api

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// CheckListen returns an error if a server must not listen at an address: other than on loopback, it needs keys and TLS.
func CheckListen(addr string, keys, tls bool) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("listen address must be HOST:PORT, such as 127.0.0.1:8080, got %q: %w", addr, err)
	}
	if isLoopback(host) || keys && tls {
		return nil
	}
	var missing []string
	if !keys {
		missing = append(missing, "access keys")
	}
	if !tls {
		missing = append(missing, "a TLS certificate")
	}
	return fmt.Errorf("listen address %s can be reached from other machines and needs %s",
		addr, strings.Join(missing, " and "))
}

// isLoopback reports whether a host is loopback by its name or IP address. It does not resolve names, because attackers can make
// their own domain names resolve to loopback.
func isLoopback(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.IsLoopback()
}

// Guard rejects requests that a malicious web page makes a browser on this machine send: requests of other sites (CSRF), and
// requests to a name that the attacker made resolve to loopback (DNS rebinding).
type Guard struct {
	// Keys is true if callers must authenticate. Any Host header is then accepted.
	Keys bool
	// Hosts are host names, in addition to loopback names, that are accepted if Keys is false. Defaults to none.
	Hosts map[string]bool
}

// Check returns an error if the request must be rejected.
func (g Guard) Check(r *http.Request) error {
	if !g.Keys && !g.knownHost(r.Host) {
		return fmt.Errorf("the host %q is not a loopback name: call the server as 127.0.0.1 or localhost", r.Host)
	}
	if origin := r.Header.Get("Origin"); origin != "" && !sameOrigin(origin, r.Host) {
		return errors.New("requests from pages of other sites are not allowed")
	}
	if site := r.Header.Get("Sec-Fetch-Site"); (site == "same-site" || site == "cross-site") && !isVisit(r) {
		return errors.New("requests from pages of other sites are not allowed")
	}
	return nil
}

// isVisit reports whether a user followed a link on another site to the console. This is allowed: the other site cannot read
// the response, and the request changes nothing.
func isVisit(r *http.Request) bool {
	return r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" &&
		r.Header.Get("Sec-Fetch-Dest") == "document" && (r.URL.Path == "/" || r.URL.Path == "/console/")
}

// knownHost checks a Host header. SDKs add the prefix "sync-" to the host for StartSyncExecution and TestState.
func (g Guard) knownHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimPrefix(host, "sync-")
	return host == "" || isLoopback(host) || g.Hosts[host]
}

// sameOrigin compares host and port. It ignores the scheme: one address serves either http or https.
func sameOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host == host
}
