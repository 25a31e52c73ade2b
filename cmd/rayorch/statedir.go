package main

import (
	"errors"
	"os"

	"github.com/rayorch/rayorch/internal/engine/home"
)

// checkStateDirOwner checks the owner and the mode of a state directory before a command writes to it, or passes secrets to the process
// that serves it. In a directory that another user can write to, that user could replace packages, tokens and sockets.
func checkStateDirOwner(dir string) error {
	err := home.CheckPrivate(dir)
	if errors.Is(err, home.ErrNotPrivate) {
		return fail(exitError, "use a directory that only you can write to, with --state-dir", "%w", err)
	}
	return err
}

// makeStateDir creates a state directory if it does not exist. Only this user can enter it.
func makeStateDir(dir string) error {
	if err := checkStateDirOwner(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(exitError, "use another directory with --state-dir", "create the state directory: %w", err)
	}
	return nil
}

// checkStateDir checks the state directory for a command that removes directories that histories name.
func (a *app) checkStateDir() error {
	if a.isRemote() {
		return nil
	}
	dir, err := a.stateDirectory()
	if err != nil {
		return err
	}
	return checkStateDirOwner(dir)
}
