package main

import (
	"errors"
	"os"

	"github.com/rayorch/rayorch/internal/engine/home"
)

// oursToWrite checks a state directory before a command writes to it or passes secrets to the process that serves it. Another
// user could replace packages, tokens and sockets in a directory that is theirs.
func oursToWrite(dir string) error {
	err := home.Ours(dir)
	if errors.Is(err, home.ErrNotOurs) {
		return fail(exitError, "use a directory that only you can write to, with --state-dir", "%w", err)
	}
	return err
}

// makeStateDir creates a state directory unless it exists.
func makeStateDir(dir string) error {
	if err := oursToWrite(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(exitError, "use another directory with --state-dir", "create the state directory: %w", err)
	}
	return nil
}

// trustedStateDir checks the state directory of a command that removes what histories there name.
func (a *app) trustedStateDir() error {
	if a.elsewhere() {
		return nil
	}
	dir, err := a.stateDirectory()
	if err != nil {
		return err
	}
	return oursToWrite(dir)
}
