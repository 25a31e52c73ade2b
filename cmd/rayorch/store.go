package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/store"
)

func storeCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "store",
		Short: "check, salvage, dump or compact the state directory's database",
		Long: "store works on the database of the state directory, which no other process may own at the same time: stop the server and " +
			"the runs first.",
		Example: "  rayorch store check",
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(
		storeCheckCommand(a), storeSalvageCommand(a),
		&cobra.Command{
			Use: "dump", Short: "print all records as JSON, one object per line",
			Long:    "dump prints all records of the database, including those that the API does not show, for debugging.",
			Example: "  rayorch store dump > state.jsonl",
			RunE: func(c *cobra.Command, _ []string) error {
				return a.withStore(c.Context(), true, func(_ context.Context, st *store.Store) error { return engine.Dump(st, a.out.stdout) })
			},
		},
		&cobra.Command{
			Use: "compact", Short: "free the disk space of deleted records",
			Long:    "compact rewrites the database without deleted records, and prints its size before and after.",
			Example: "  rayorch store compact",
			RunE: func(c *cobra.Command, _ []string) error {
				return a.withStore(c.Context(), false, func(ctx context.Context, st *store.Store) error { return compact(ctx, a.out, st) })
			},
		},
	)
	return c
}

// withStore calls do with the database, opened without an engine. While it is open, no other process can own the state directory.
func (a *app) withStore(ctx context.Context, readOnly bool, do func(context.Context, *store.Store) error) error {
	dir, err := a.stateDirectory()
	if err != nil {
		return err
	}
	return withStoreIn(ctx, dir, store.Options{Logger: a.out.logger(), ReadOnly: readOnly}, do)
}

// withStoreIn is withStore for any directory.
func withStoreIn(ctx context.Context, dir string, o store.Options, do func(context.Context, *store.Store) error) (err error) {
	if !o.ReadOnly {
		if err := checkStateDirOwner(dir); err != nil {
			return err
		}
	}
	st, err := store.Open(dir, o)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := st.Close(); err == nil {
			err = cerr
		}
	}()
	return do(ctx, st)
}

// compact compacts the database and prints its size before and after.
func compact(ctx context.Context, p *printer, st *store.Store) error {
	before := st.Size()
	if err := st.Compact(ctx); err != nil {
		return err
	}
	p.printf("%s before, %s after\n", byteSize(before), byteSize(st.Size()))
	return nil
}
