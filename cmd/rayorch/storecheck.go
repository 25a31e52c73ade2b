package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/store"
)

func (a *app) storeCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "check the database for damage without changing it",
		Long: "check reads all blocks of the database and all executions, and reports what is damaged or missing, with the affected " +
			"executions. It writes nothing to the state directory. If the database is damaged, check needs space for a copy of it in " +
			"TMPDIR. The exit code is 1 if there are problems.",
		Example: "  rayorch store check",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.storeCheck(c.Context()) },
	}
}

// checked is the result of check, and its JSON.
type checked struct {
	Counts   store.Counts     `json:"counts"`
	Problems []engine.Problem `json:"problems"`
	Damage   []store.Loss     `json:"damage"`
}

func (a *app) storeCheck(ctx context.Context) error {
	dir, err := a.stateDirectory()
	if err != nil {
		return err
	}
	found := checked{Problems: []engine.Problem{}, Damage: []store.Loss{}}
	err = store.Survey(dir, store.Options{Logger: a.logger()}, func(l store.Loss) { found.Damage = append(found.Damage, l) })
	var damaged *store.DamagedError
	var lost *store.LostError
	if err != nil && !errors.As(err, &damaged) && !errors.As(err, &lost) {
		return err
	}
	if err != nil {
		found.add(engine.Problem{Text: err.Error()})
	}
	if damaged != nil || len(found.Damage) > 0 {
		err = a.tryOut(ctx, dir, &found)
	} else {
		err = a.checkSound(ctx, dir, &found)
	}
	if err != nil {
		return err
	}
	return a.showChecked(dir, &found, damaged != nil || lost != nil)
}

func (c *checked) add(p engine.Problem) { c.Problems = append(c.Problems, p) }

// checkSound checks the executions in a database all blocks of which can be read.
func (a *app) checkSound(ctx context.Context, dir string, found *checked) error {
	return a.withStoreIn(ctx, dir, true, func(_ context.Context, st *store.Store) (err error) {
		found.Counts, err = engine.Check(st, found.add)
		return err
	})
}

// tryOut finds the executions that can be salvaged from a damaged database: it salvages them to a temporary directory.
func (a *app) tryOut(ctx context.Context, dir string, found *checked) error {
	tmp, err := os.MkdirTemp("", "rayorch-check-")
	if err != nil {
		return fmt.Errorf("create a temporary directory for the readable part of the database: %w", err)
	}
	defer os.RemoveAll(tmp)
	to := filepath.Join(tmp, "state")
	s, err := engine.Salvage(ctx, dir, to, store.Options{Logger: a.logger()}, func(store.Loss) {})
	if err != nil {
		return err
	}
	for _, p := range s.Left {
		p.Text = "cannot be read completely: " + p.Text
		found.add(p)
	}
	return a.checkSound(ctx, to, found)
}

func (a *app) showChecked(dir string, found *checked, refused bool) error {
	if a.json() {
		if err := a.print(found); err != nil {
			return err
		}
	} else {
		a.printChecked(found)
	}
	if refused || len(found.Damage) > 0 {
		return fail(exitError, "to copy what is complete to a new state directory: rayorch store salvage DIRECTORY", "the database in %s is damaged", dir)
	}
	if len(found.Problems) > 0 {
		return silent(exitError)
	}
	return nil
}

func (a *app) printChecked(found *checked) {
	for _, l := range found.Damage {
		fmt.Fprintln(a.out, l)
	}
	for _, p := range found.Problems {
		fmt.Fprintln(a.out, p)
	}
	fmt.Fprintf(a.out, "%d executions (%d open), %d problems", found.Counts.Runs, found.Counts.Open, len(found.Problems)+len(found.Damage))
	if n := unreadable(found.Damage); n > 0 {
		fmt.Fprintf(a.out, ", %d bytes cannot be read", n)
	}
	fmt.Fprintln(a.out)
}

// unreadable returns the number of bytes that cannot be read.
func unreadable(losses []store.Loss) (n int64) {
	for _, l := range losses {
		n += l.Bytes
	}
	return n
}
