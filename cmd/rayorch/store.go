package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/engine/store"
)

func (a *app) storeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "store",
		Short:   "check, salvage, dump or compact the state directory's database",
		Example: "  rayorch store check",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(
		a.storeCheckCommand(), a.storeSalvageCommand(),
		&cobra.Command{
			Use: "dump", Short: "print all records as JSON, one object per line", Example: "  rayorch store dump > state.jsonl",
			RunE: func(c *cobra.Command, _ []string) error {
				return a.withStore(c.Context(), true, func(_ context.Context, st *store.Store) error { return engine.Dump(st, a.out) })
			},
		},
		&cobra.Command{
			Use: "compact", Short: "free the disk space of deleted records", Example: "  rayorch store compact",
			RunE: func(c *cobra.Command, _ []string) error { return a.withStore(c.Context(), false, a.storeCompact) },
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
	return a.withStoreIn(ctx, dir, readOnly, do)
}

func (a *app) withStoreIn(ctx context.Context, dir string, readOnly bool, do func(context.Context, *store.Store) error) (err error) {
	if !readOnly {
		if err := oursToWrite(dir); err != nil {
			return err
		}
	}
	st, err := store.Open(dir, store.Options{Logger: a.logger(), ReadOnly: readOnly})
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

func (a *app) storeCompact(ctx context.Context, st *store.Store) error {
	before := st.Size()
	if err := st.Compact(ctx); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.out, "%.1f MB before, %.1f MB after\n", float64(before)/1e6, float64(st.Size())/1e6)
	return err
}
