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

// CheckListen says whether a server may listen at an address: off loopback it needs keys and TLS.
func CheckListen(addr string, keys, tls bool) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("listen address %q: %w: write it as 127.0.0.1:8080", addr, err)
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
	return fmt.Errorf("listen address %s can be reached from other machines: give %s, or listen on 127.0.0.1",
		addr, strings.Join(missing, " and "))
}

// isLoopback goes by the name, never by looking it up: what a name resolves to is the attacker's choice.
func isLoopback(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.IsLoopback()
}

// Guard refuses what a web page might send through a browser on this machine: a name that was bound to loopback only to
// get past the browser (DNS rebinding), and requests of other sites.
type Guard struct {
	// Keys says that callers must prove who they are: then any Host will do.
	Keys bool
	// Hosts are names besides loopback's under which the server may be called without keys. Defaults to none.
	Hosts map[string]bool
}

// Check is nil when a request may go on.
func (g Guard) Check(r *http.Request) error {
	if !g.Keys && !g.knownHost(r.Host) {
		return errors.New("the Host header names no loopback host: call the server as 127.0.0.1 or localhost")
	}
	if origin := r.Header.Get("Origin"); origin != "" && !sameOrigin(origin, r.Host) {
		return errors.New("requests from other sites are not answered")
	}
	if site := r.Header.Get("Sec-Fetch-Site"); (site == "same-site" || site == "cross-site") && !isVisit(r) {
		return errors.New("requests from other sites are not answered")
	}
	return nil
}

// isVisit says that somebody followed a link to the console, which tells the other site nothing and changes nothing.
func isVisit(r *http.Request) bool {
	return r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" &&
		r.Header.Get("Sec-Fetch-Dest") == "document" && (r.URL.Path == "/" || r.URL.Path == "/console/")
}

// knownHost takes a Host header as it comes. SDKs put "sync-" before the host for StartSyncExecution and TestState.
func (g Guard) knownHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimPrefix(host, "sync-")
	return host == "" || isLoopback(host) || g.Hosts[host]
}

// sameOrigin compares host and port; the scheme is the connection's own.
func sameOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host == host
}
