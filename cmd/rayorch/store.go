package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/engine"
	"github.com/rayorch/rayorch/internal/store"
)

func (a *app) storeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "store",
		Short:   "check, dump or compact the database of the state directory",
		Example: "  rayorch store check",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(
		&cobra.Command{
			Use: "check", Short: "read everything and tell what is wrong; changes nothing", Example: "  rayorch store check",
			RunE: func(c *cobra.Command, _ []string) error { return a.withStore(c.Context(), true, a.storeCheck) },
		},
		&cobra.Command{
			Use: "dump", Short: "print every record, one JSON object a line", Example: "  rayorch store dump > state.jsonl",
			RunE: func(c *cobra.Command, _ []string) error {
				return a.withStore(c.Context(), true, func(_ context.Context, st *store.Store) error { return engine.Dump(st, a.out) })
			},
		},
		&cobra.Command{
			Use: "compact", Short: "give back the room of what was deleted", Example: "  rayorch store compact",
			RunE: func(c *cobra.Command, _ []string) error { return a.withStore(c.Context(), false, a.storeCompact) },
		},
	)
	return c
}

// withStore opens the database alone, without an engine: nothing runs meanwhile.
func (a *app) withStore(ctx context.Context, readOnly bool, do func(context.Context, *store.Store) error) (err error) {
	dir, err := a.stateDirectory()
	if err != nil {
		return err
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

func (a *app) storeCheck(_ context.Context, st *store.Store) error {
	problems := []engine.Problem{}
	counts, err := engine.Check(st, func(p engine.Problem) { problems = append(problems, p) })
	if err != nil {
		return err
	}
	if a.json() {
		if err := a.print(map[string]any{"counts": counts, "problems": problems}); err != nil {
			return err
		}
	} else {
		for _, p := range problems {
			fmt.Fprintln(a.out, p)
		}
		fmt.Fprintf(a.out, "%d executions (%d open), %d problems\n", counts.Runs, counts.Open, len(problems))
	}
	if len(problems) > 0 {
		return silent(exitError)
	}
	return nil
}

func (a *app) storeCompact(ctx context.Context, st *store.Store) error {
	before := st.Size()
	if err := st.Compact(ctx); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.out, "%.1f MB before, %.1f MB now\n", float64(before)/1e6, float64(st.Size())/1e6)
	return err
}
