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

func storeCheckCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "check the database for damage without changing it",
		Long: "check reads all blocks of the database and all executions, and reports what is damaged or missing, with the affected " +
			"executions. It writes nothing to the state directory. If the database is damaged, check needs space for a copy of it in " +
			"TMPDIR. The exit code is 1 if there are problems.",
		Example: "  rayorch store check",
		RunE: func(c *cobra.Command, _ []string) error {
			dir, err := a.stateDirectory()
			if err != nil {
				return err
			}
			return checkStore(c.Context(), a.out, dir)
		},
	}
}

// checked is the result of check, and its JSON.
type checked struct {
	Counts   store.Counts     `json:"counts"`
	Problems []engine.Problem `json:"problems"`
	Damage   []store.Loss     `json:"damage"`
}

// checkStore checks the database in a state directory, and prints what it finds.
func checkStore(ctx context.Context, p *printer, dir string) error {
	o := store.Options{Logger: p.logger(), ReadOnly: true}
	found := checked{Problems: []engine.Problem{}, Damage: []store.Loss{}}
	err := store.Survey(dir, o, func(l store.Loss) { found.Damage = append(found.Damage, l) })
	var damaged *store.DamagedError
	var lost *store.LostError
	if err != nil && !errors.As(err, &damaged) && !errors.As(err, &lost) {
		return err
	}
	if err != nil {
		found.add(engine.Problem{Text: err.Error()})
	}
	if damaged != nil || len(found.Damage) > 0 {
		err = trySalvage(ctx, dir, o, &found)
	} else {
		err = checkSound(ctx, dir, o, &found)
	}
	if err != nil {
		return err
	}
	return showChecked(p, dir, &found, damaged != nil || lost != nil)
}

func (c *checked) add(p engine.Problem) { c.Problems = append(c.Problems, p) }

// checkSound checks the executions in a database all blocks of which can be read.
func checkSound(ctx context.Context, dir string, o store.Options, found *checked) error {
	return withStoreIn(ctx, dir, o, func(_ context.Context, st *store.Store) (err error) {
		found.Counts, err = engine.Check(st, found.add)
		return err
	})
}

// trySalvage finds the executions that can be salvaged from a damaged database: it salvages them to a temporary directory.
func trySalvage(ctx context.Context, dir string, o store.Options, found *checked) error {
	tmp, err := os.MkdirTemp("", "rayorch-check-")
	if err != nil {
		return fmt.Errorf("create a temporary directory for the readable part of the database: %w", err)
	}
	defer os.RemoveAll(tmp)
	to := filepath.Join(tmp, "state")
	s, err := engine.Salvage(ctx, dir, to, store.Options{Logger: o.Logger}, func(store.Loss) {})
	if err != nil {
		return err
	}
	for _, p := range s.Left {
		p.Text = "cannot be read completely: " + p.Text
		found.add(p)
	}
	return checkSound(ctx, to, o, found)
}

// showChecked prints the result and returns an error if there are problems. refused reports whether the database cannot be opened.
func showChecked(p *printer, dir string, found *checked, refused bool) error {
	if err := p.result(found, func() { printChecked(p, found) }); err != nil {
		return err
	}
	if refused || len(found.Damage) > 0 {
		return fail(exitError, "to copy what is complete to a new state directory: rayorch store salvage DIRECTORY",
			"the database in %s is damaged", dir)
	}
	if len(found.Problems) > 0 {
		return silent(exitError)
	}
	return nil
}

// printChecked prints one line for each damage and problem, and a summary.
func printChecked(p *printer, found *checked) {
	for _, l := range found.Damage {
		p.printf("%s\n", l)
	}
	for _, problem := range found.Problems {
		p.printf("%s\n", problem)
	}
	p.printf("%d executions (%d open), %d problems", found.Counts.Runs, found.Counts.Open, len(found.Problems)+len(found.Damage))
	if n := unreadable(found.Damage); n > 0 {
		p.printf(", %d bytes cannot be read", n)
	}
	p.printf("\n")
}

// unreadable returns the number of bytes that cannot be read.
func unreadable(losses []store.Loss) (n int64) {
	for _, l := range losses {
		n += l.Bytes
	}
	return n
}
