package main

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/rayorch/rayorch/internal/api"
	"github.com/rayorch/rayorch/internal/api/access"
	"github.com/rayorch/rayorch/internal/api/client"
	"github.com/rayorch/rayorch/internal/api/console"
	"github.com/rayorch/rayorch/internal/engine/home"
)

// signIn creates sign-in links for the console that an owner serves. It creates none until the console is served.
type signIn struct{ link atomic.Pointer[func() string] }

// create returns a new link; ok is false if no console is served.
func (s *signIn) create() (link string, ok bool) {
	if create := s.link.Load(); create != nil {
		return (*create)(), true
	}
	return "", false
}

// checkAccess allows a server without keys only on loopback, and requires TLS on other addresses.
func (o *serveOptions) checkAccess() error {
	err := api.CheckListen(o.listen, !o.insecure, o.cert != "")
	switch {
	case o.insecure && len(o.keys) > 0:
		return fail(exitUsage, "use only one of them", "--insecure-no-auth and --access-key are mutually exclusive")
	case o.insecure && err != nil:
		return fail(exitUsage, "remove --insecure-no-auth, or listen on 127.0.0.1", "--insecure-no-auth works on loopback only: %w", err)
	case err != nil:
		return fail(exitUsage, listenHint(o.listen, "set --tls-cert and --tls-key, or listen on 127.0.0.1"), "%w", err)
	}
	return nil
}

// listenHint returns the hint for an address that must not be listened on; "" for text that is not an address.
func listenHint(addr, hint string) string {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return ""
	}
	return hint
}

// serverKeys returns the keys from --access-key or, without that flag, the key in the state directory, which it creates if necessary.
func serverKeys(o *serveOptions, dir string, given access.Keys) (access.Keys, error) {
	if len(given) > 0 || o.insecure {
		return given, nil
	}
	keys, err := access.Own(dir)
	var exposed *access.ExposedError
	if errors.As(err, &exposed) {
		return nil, fail(exitError, "if no other user has read the file, run chmod 600 "+exposed.File+"; otherwise, delete it: serve creates a new key", "%w", err)
	}
	return keys, err
}

// printSignIn prints how to sign in. Secrets are printed only on a terminal, because other users may be able to read a log.
func (a *app) printSignIn(o *serveOptions, dir string, keys access.Keys, con *console.Console, url string) {
	if o.insecure {
		a.out.warning("--insecure-no-auth: every user and program of this machine can run commands as you through this server")
		return
	}
	_, terminal := terminalOf(a.out.stdout)
	if con != nil && terminal {
		a.out.printf("sign in once, within 5 minutes: %s%s\n", url, con.Link(""))
	}
	if len(o.keys) > 0 {
		return
	}
	if !terminal {
		a.out.printf("the access key is in %s; to get a link to the console, run: rayorch console%s\n",
			filepath.Join(dir, access.FileName), a.stateDirFlag())
		return
	}
	for id, key := range keys {
		a.out.printf("for SDKs and the AWS CLI (the key is in %s):\n  export AWS_ACCESS_KEY_ID=%s\n  export AWS_SECRET_ACCESS_KEY=%s\n",
			filepath.Join(dir, access.FileName), id, key.Secret)
	}
}

// stateDirFlag returns the --state-dir flag, with a leading space, that another command needs to use the same directory, or "".
func (a *app) stateDirFlag() string {
	if a.stateDir == "" {
		return ""
	}
	dir, _ := filepath.Abs(a.stateDir)
	return " --state-dir " + dir
}

// keyHint returns which key to use if a server has rejected the credentials of this command, or "".
func (a *app) keyHint(err error) string {
	if a.endpoint == "" || !client.Refused(err) {
		return ""
	}
	file := access.FileName + " in its state directory"
	if dir, err := home.Dir(a.stateDir, os.Getenv); err == nil && fileExists(filepath.Join(dir, access.FileName)) {
		file = filepath.Join(dir, access.FileName)
	}
	return "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to an access key of the server: it is ID:SECRET in the file of its\n" +
		"--access-key flag or in " + file + "\n" +
		"on the server's machine, its user needs no key: use --state-dir instead of --endpoint"
}

func fileExists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
